"""Models behind Anthropic's Messages API, through the official client: a scripted server says what small
models cannot."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import APIError, APIStatusError, BadRequestError, InternalServerError, OpenAI
from tests.api.asking import ADD, CITY, whole
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.messages_script import answer, began, blocks, config, event, redacted, text, thinking, tool
from tests.scripted import Answer, Called, Upstream, refusal

from antiphon.config import BackendSettings, Config

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(config(_upstream, str(tmp_path_factory.mktemp("anthropic")))) as running:
        yield running


@pytest.fixture
def claude(running: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def ask(client: OpenAI, given: Any = "Hi", model: str = "claude", **members: Any) -> Any:
    return client.responses.create(model=model, input=given, **members)


def sent(upstream: Upstream) -> Any:
    return upstream.last.body


def contents(upstream: Upstream) -> list[tuple[str, list[str]]]:
    """The roles of what was sent last, with the types of their blocks."""
    return [(m["role"], [block["type"] for block in m["content"]]) for m in sent(upstream)["messages"]]


# ---- answers ----------------------------------------------------------------------------------------


def test_a_text_is_streamed_as_it_comes(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Hello there", size=3)))
    events = list(ask(claude, instructions="Be brief.", stream=True, temperature=0.5))

    deltas = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert deltas == ["Hel", "lo ", "the", "re"]
    assert events[-1].response.usage.input_tokens == 7
    body = sent(upstream)
    assert body["system"][0]["text"] == "Be brief."
    assert (body["max_tokens"], body["stream"], body["temperature"]) == (8192, True, 0.5)
    assert upstream.last.headers["anthropic-version"] == "2023-06-01"


def test_parallel_calls_are_made_and_their_results_come_first(claude: OpenAI, upstream: Upstream) -> None:
    calls = [tool("add", '{"a": 1, "b": 2}', "toolu_1", 4), tool("add", '{"a": 3, "b": 4}', "toolu_2", 4)]
    upstream.script(answer(text("Adding."), *calls, reason="tool_use"), answer(text("3 and 7")))
    first = ask(claude, tools=[ADD])
    assert [(i.name, i.arguments, i.call_id) for i in first.output if i.type == "function_call"] == [
        ("add", '{"a": 1, "b": 2}', "toolu_1"),
        ("add", '{"a": 3, "b": 4}', "toolu_2"),
    ]
    results = [
        {"role": "user", "content": "And quickly!"},
        {"type": "function_call_output", "call_id": "toolu_2", "output": "7"},
        {"type": "function_call_output", "call_id": "toolu_1", "output": "3"},
    ]
    second = ask(claude, results, previous_response_id=first.id, tools=[ADD])

    assert second.output_text == "3 and 7"
    assert contents(upstream) == [
        ("user", ["text"]),
        ("assistant", ["text", "tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text"]),
    ]
    assert sent(upstream)["messages"][1]["content"][2]["input"] == {"a": 3, "b": 4}


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
def test_thoughts_go_back_word_for_word_within_a_tool_loop(
    claude: OpenAI, upstream: Upstream, stored: bool
) -> None:
    upstream.script(
        answer(
            thinking("I had better add.", "sig-1"),
            redacted("c2VjcmV0"),
            tool("add", '{"a": 1, "b": 2}', "toolu_a"),
            reason="tool_use",
        ),
        answer(text("3")),
    )
    include: Any = ["reasoning.encrypted_content"]
    first = ask(claude, tools=[ADD], reasoning={"effort": "high"}, store=stored, include=include)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.output[0].content[0].text == "I had better add."
    assert "sig-1" not in first.model_dump_json()
    output = {"type": "function_call_output", "call_id": "toolu_a", "output": "3"}
    if stored:
        ask(claude, [output], previous_response_id=first.id, tools=[ADD], reasoning={"effort": "high"})
    else:
        items = [item.model_dump(exclude_none=True) for item in first.output]
        ask(claude, [{"role": "user", "content": "Hi"}, *items, output], tools=[ADD], store=False)

    assert sent(upstream)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "I had better add.", "signature": "sig-1"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "tool_use", "id": "toolu_a", "name": "add", "input": {"a": 1, "b": 2}},
    ]


def test_thoughts_that_are_not_shown_have_an_item_before_what_follows(
    claude: OpenAI, upstream: Upstream
) -> None:
    upstream.script(answer(redacted("c2VjcmV0"), text("3")))

    assert [item.type for item in ask(claude, "?").output] == ["reasoning", "message"]


def test_a_pause_is_gone_on_from(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Let me see. "), reason="pause_turn"), answer(text("It is 3.")))
    response = ask(claude, "What is it?")

    assert response.output_text == "Let me see. It is 3."
    assert response.usage.input_tokens == 14
    assert sent(upstream)["messages"][-1]["content"] == [{"type": "text", "text": "Let me see. "}]


def test_a_refusal_is_a_part_of_the_answer(claude: OpenAI, upstream: Upstream) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "This may do harm."}
    upstream.script(answer(reason="refusal", details=details))
    response = ask(claude)

    assert response.status == "completed"
    assert response.output[0].content[0].refusal == "This may do harm."


def test_an_answer_that_fills_the_window_is_incomplete(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Once"), reason="model_context_window_exceeded"))

    assert ask(claude).incomplete_details.reason == "max_output_tokens"


def test_usage_tells_what_the_cache_had_a_part_in(claude: OpenAI, upstream: Upstream) -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    upstream.script(answer(text("Hi"), usage=usage))
    told = ask(claude).usage

    assert told.input_tokens == 135
    assert told.input_tokens_details.cached_tokens == 100
    assert told.input_tokens_details.cache_write_tokens == 30
    assert told.input_tokens_details.cache_write_tokens_details.ttl_30m_tokens == 10
    assert told.input_tokens_details.cache_write_tokens_details.ttl_12h_tokens == 20


# ---- what goes wrong --------------------------------------------------------------------------------


def test_an_overloaded_server_is_asked_once_more(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(529, "Overloaded"), answer(text("Hi")))
    assert ask(claude).output_text == "Hi"

    upstream.script(
        Answer(raw=[began(), event("error", error={"type": "overloaded_error", "message": "Overloaded"})]),
        answer(text("Hi")),
    )
    assert ask(claude).output_text == "Hi"


def test_one_that_stays_overloaded_is_told_as_such(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(529, "Overloaded"), refusal(529, "Overloaded"))

    with pytest.raises(InternalServerError, match="HTTP 529: Overloaded"):
        ask(claude)


def test_an_error_behind_half_a_text_fails_the_response(claude: OpenAI, upstream: Upstream) -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    upstream.script(Answer(raw=[began(), *blocks(text("Half"))[:2], error]))

    with pytest.raises(APIError, match="Overloaded"):
        list(ask(claude, stream=True))
    assert len(upstream.requests) == 1, "what was half told is not told again"


def test_a_stream_that_is_cut_off_fails_the_response(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(raw=[began(), *blocks(text("Half"))], cut_after=3))

    with pytest.raises(APIError, match="broke off"):
        list(ask(claude, stream=True))


def test_a_prompt_that_is_too_long_is_told_as_one(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(400, "prompt is too long: 210000 tokens > 200000 maximum"))
    with pytest.raises(BadRequestError) as raised:
        ask(claude)
    assert raised.value.code == "context_length_exceeded"


def test_an_unknown_model_is_told_as_one(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        Answer(
            status=404, error={"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}
        )
    )
    with pytest.raises(APIStatusError) as raised:
        ask(claude, model="x")
    assert (raised.value.status_code, raised.value.code) == (404, "model_not_found")


# ---- what is asked for ------------------------------------------------------------------------------


def test_a_forced_call_is_asked_for_and_one_at_a_time(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(tool("add", '{"a": 1, "b": 2}', "toolu_f"), reason="tool_use")
    ask(claude, tools=[ADD], tool_choice="required", parallel_tool_calls=False)
    assert sent(upstream)["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}

    ask(claude, tools=[ADD], tool_choice={"type": "function", "name": "add"})
    assert sent(upstream)["tool_choice"] == {"type": "tool", "name": "add"}

    ask(claude, tools=[ADD], parallel_tool_calls=False)
    assert sent(upstream)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_forced_call_that_does_not_come_is_made_all_the_same(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("No.")), answer(text('{"a": 1, "b": 2}')))
    response = ask(claude, tools=[ADD], tool_choice={"type": "function", "name": "add"})

    assert [(item.type, item.arguments) for item in response.output] == [
        ("function_call", '{"a": 1, "b": 2}')
    ]


def test_a_schema_is_sent_and_the_answer_checked(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text('{"name": "Rome"}')))
    assert ask(claude, text={"format": CITY}).output_text == '{"name": "Rome"}'
    assert sent(upstream)["output_config"]["format"] == {"type": "json_schema", "schema": CITY["schema"]}

    upstream.script(answer(text("Rome, I think.")), answer(text('{"name": "Rome"}')))
    assert ask(claude, text={"format": CITY}).output_text == '{"name": "Rome"}'


def test_a_server_that_knows_no_schemas_is_asked_in_words(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(400, "output_config: Extra inputs are not permitted"))
    upstream.default = answer(text('{"name": "Rome"}'))

    assert ask(claude, model="old", text={"format": CITY}).output_text == '{"name": "Rome"}'
    assert "output_config" not in sent(upstream)
    assert '"additionalProperties":false' in sent(upstream)["system"][-1]["text"]


def test_effort_makes_the_model_think(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(text("Hi"))
    ask(claude, reasoning={"effort": "minimal"})
    assert sent(upstream)["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert sent(upstream)["output_config"] == {"effort": "low"}

    ask(claude, reasoning={"effort": "none"})
    assert sent(upstream)["thinking"] == {"type": "disabled"}

    ask(claude)
    assert "thinking" not in sent(upstream)


def test_a_model_that_thinks_within_a_budget_gets_one(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        refusal(400, "output_config.effort: this model does not support effort"),
        refusal(400, "adaptive thinking is not supported on this model"),
    )
    upstream.default = answer(text("Hi"))
    ask(claude, model="sonnet-4", reasoning={"effort": "medium"}, max_output_tokens=8000)
    assert sent(upstream)["thinking"] == {"type": "enabled", "budget_tokens": 4000, "display": "summarized"}
    assert "output_config" not in sent(upstream)

    ask(claude, model="sonnet-4", reasoning={"effort": "medium"}, max_output_tokens=1000)
    assert "thinking" not in sent(upstream), "there is no room for it"


def test_a_budget_and_a_forced_call_do_not_go_together(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(400, "adaptive thinking is not supported on this model"), answer(text("Hi")))
    ask(claude, model="opus-4", reasoning={"effort": "high"})
    upstream.default = answer(tool("add", '{"a": 1, "b": 2}', "toolu_g"), reason="tool_use")
    forced: Any = {"tools": [ADD], "tool_choice": "required", "reasoning": {"effort": "high"}}
    first = ask(claude, model="opus-4", **forced)

    assert "thinking" not in sent(upstream)
    upstream.default = answer(text("3"))
    output = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "3"}
    more: Any = {"previous_response_id": first.id, "tools": [ADD], "reasoning": {"effort": "high"}}
    ask(claude, [output], model="opus-4", **more)
    assert "thinking" not in sent(upstream), "a loop that was begun without thinking ends without"


def test_thinking_and_a_forced_call_do_not_go_together(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(tool("add", '{"a": 1, "b": 2}', "toolu_h"), reason="tool_use")
    forced: Any = {"tools": [ADD], "tool_choice": "required", "reasoning": {"effort": "high"}}
    first = ask(claude, **forced)
    assert "thinking" not in sent(upstream)
    assert sent(upstream)["output_config"] == {"effort": "high"}

    upstream.default = answer(text("3"))
    output = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "3"}
    ask(claude, [output], previous_response_id=first.id, tools=[ADD], reasoning={"effort": "high"})
    assert sent(upstream)["thinking"]["type"] == "adaptive"


def test_the_length_of_an_answer_is_learned(claude: OpenAI, upstream: Upstream) -> None:
    words = "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for haiku"
    upstream.script(refusal(400, words), answer(text("Hi")))

    assert ask(claude, model="haiku").output_text == "Hi"
    assert sent(upstream)["max_tokens"] == 4096


def test_images_and_documents_are_sent_as_they_are(
    upstream: Upstream, tmp_path: Path, running: Running
) -> None:
    pdf = "JVBERi0xLjQKJUVPRgo="
    parts = [
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"},
    ]
    upstream.told = {"sonnet-5": {"capabilities": {each: {"supported": True} for each in _READING}}}
    upstream.models = ("sonnet-5",)
    upstream.default = answer(text("Hi"))
    with (
        Running(config(upstream, str(tmp_path))) as knowing,
        checked_client(knowing.url) as client,
    ):
        ask(client, [{"role": "user", "content": parts}], model="sonnet-5")

    image, document = sent(upstream)["messages"][0]["content"]
    assert image == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
    }
    assert document["source"] == {"type": "base64", "media_type": "application/pdf", "data": pdf}


_READING = ("image_input", "pdf_input")


def test_what_a_model_takes_is_asked_once(upstream: Upstream, tmp_path: Path) -> None:
    levels = {level: {"supported": level in ("low", "high")} for level in ("low", "medium", "high", "max")}
    kinds = {kind: {"supported": kind == "enabled"} for kind in ("adaptive", "enabled", "disabled")}
    can = {
        "effort": {"supported": True, **levels},
        "thinking": {"supported": True, "types": kinds},
        "structured_outputs": {"supported": False},
        "image_input": {"supported": False},
    }
    upstream.models = ("sonnet-5",)
    upstream.told = {"sonnet-5": {"capabilities": can, "max_tokens": 64000, "max_input_tokens": 200000}}
    upstream.default = answer(text('{"name": "Rome"}'))
    with Running(config(upstream, str(tmp_path))) as knowing, checked_client(knowing.url) as client:
        effort: Any = {"effort": "xhigh"}
        response = ask(client, model="sonnet-5", reasoning=effort, text={"format": CITY})
        ask(client, model="sonnet-5", reasoning={"effort": "none"})
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
        with pytest.raises(BadRequestError, match="cannot read images"):
            ask(client, [{"role": "user", "content": [picture]}], model="sonnet-5")

    assert response.output_text == '{"name": "Rome"}'
    asked, without = (each.body for each in upstream.requests)
    assert asked["max_tokens"] == 64000
    assert asked["thinking"] == {"type": "enabled", "budget_tokens": 32768, "display": "summarized"}
    assert asked["output_config"] == {"effort": "high"}
    assert "thinking" not in without


def test_tokens_are_counted_by_the_server(claude: OpenAI, upstream: Upstream) -> None:
    upstream.tokenizer = "messages"

    assert claude.responses.input_tokens.count(model="claude", input="one two three").input_tokens > 3
    assert upstream.others[-1].path == "/v1/messages/count_tokens"


def test_the_user_is_told_under_the_name_that_the_server_has(claude: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Hi")))
    ask(claude, safety_identifier="ada")

    assert sent(upstream)["metadata"] == {"user_id": "ada"}


# ---- the cache --------------------------------------------------------------------------------------


def marks(upstream: Upstream) -> dict[str, Any]:
    """What is marked in the last request, by its text or name."""
    body = sent(upstream)
    found = [*body.get("tools", ()), *body.get("system", ())]
    found += [block for message in body["messages"] for block in message["content"]]
    return {b.get("text") or b.get("name"): b["cache_control"] for b in found if "cache_control" in b}


def test_instructions_and_history_are_cached_by_themselves(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(text("Hi"))
    ask(claude, instructions="Be brief.", tools=[ADD])
    assert marks(upstream) == {"Be brief.": {"type": "ephemeral"}, "Hi": {"type": "ephemeral"}}

    ask(claude, tools=[ADD], extra_body={"prompt_cache_options": {"ttl": "12h"}})
    assert marks(upstream) == {
        "add": {"type": "ephemeral", "ttl": "1h"},
        "Hi": {"type": "ephemeral", "ttl": "1h"},
    }


def test_breakpoints_of_the_client_are_the_servers(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(text("Hi"))
    point = {"mode": "explicit"}
    content = [
        {"type": "input_text", "text": "a long book", "prompt_cache_breakpoint": {**point, "ttl": "12h"}},
        {"type": "input_text", "text": "its sequel", "prompt_cache_breakpoint": point},
        {"type": "input_text", "text": "a question"},
    ]
    given: Any = [{"role": "user", "content": content}]
    ask(claude, given, instructions="Read.", extra_body={"prompt_cache_options": {"mode": "explicit"}})

    assert marks(upstream) == {
        "a long book": {"type": "ephemeral", "ttl": "1h"},
        "its sequel": {"type": "ephemeral"},
    }


def test_the_newest_breakpoints_count_when_there_are_too_many(claude: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(text("Hi"))
    content = [
        {"type": "input_text", "text": f"page {n}", "prompt_cache_breakpoint": {"mode": "explicit"}}
        for n in range(6)
    ]
    ask(claude, [{"role": "user", "content": content}])

    assert list(marks(upstream)) == ["page 2", "page 3", "page 4", "page 5"]


# ---- reasoning across backends ----------------------------------------------------------------------


def both(upstream: Upstream, data_dir: Path) -> Config:
    """With a backend of each type over one server."""
    local = BackendSettings(base_url=upstream.base_url, models=["local"], dialect="generic")
    found = config(upstream, str(data_dir), models=["claude"])
    return replace(found, backends={**found.backends, "local": local})


@covers("field.input_transformations")
def test_a_chain_that_moves_to_another_backend_keeps_what_can_be_read(
    upstream: Upstream, tmp_path: Path
) -> None:
    call = tool("add", '{"a": 1, "b": 2}', "toolu_x")
    with Running(both(upstream, tmp_path)) as running, checked_client(running.url) as client:
        upstream.script(
            answer(thinking("I had better add.", "sig-1"), redacted("c2VjcmV0"), call, reason="tool_use"),
            Answer(text="Three."),
            answer(text("Still three.")),
        )
        first = ask(client, tools=[ADD])
        output = {"type": "function_call_output", "call_id": "toolu_x", "output": "3"}
        second = ask(client, [output], model="local", previous_response_id=first.id, tools=[ADD])
        moved = json.dumps(sent(upstream))
        third = ask(client, "Sure?", previous_response_id=second.id, tools=[ADD])
        back = json.dumps(sent(upstream))
        thought = next(item for item in first.output if item.type == "reasoning")
        withheld = {"id": thought.id, "type": "reasoning", "action": "removed", "reason": "model_mismatch"}
        assert whole(client.responses.retrieve(second.id))["input_transformations"] == [withheld]
        assert whole(second)["input_transformations"] == [withheld]
        assert all("input_transformations" not in whole(each) for each in (first, third))

    assert "I had better add." in moved
    assert "sig-1" not in moved
    assert "c2VjcmV0" not in moved
    assert '"signature": "sig-1"' in back
    assert "c2VjcmV0" in back
    assert "Three." in back


def test_reasoning_of_another_model_is_read_as_words(upstream: Upstream, tmp_path: Path) -> None:
    with Running(both(upstream, tmp_path)) as running, checked_client(running.url) as client:
        upstream.script(
            Answer(reasoning="I had better add.", calls=[Called("add", '{"a": 1, "b": 2}', "call_y")]),
            answer(text("3")),
        )
        first = ask(client, model="local", tools=[ADD])
        output = {"type": "function_call_output", "call_id": "call_y", "output": "3"}
        ask(client, [output], previous_response_id=first.id, tools=[ADD])

    assert contents(upstream)[1] == ("assistant", ["text", "tool_use"])
    assert "I had better add." in sent(upstream)["messages"][1]["content"][0]["text"]
