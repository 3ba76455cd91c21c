"""Models behind a server that speaks the Responses API itself, through the official client: state, tools and
all ids stay ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import APIError, BadRequestError, OpenAI
from tests.api.asking import ADD, CITY
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.messages_script import answer as claude_answer
from tests.messages_script import thinking, tool
from tests.responses_script import (
    answer,
    call,
    config,
    refusal,
    sealed,
    searched,
    stream,
    text,
    thought,
    written,
)
from tests.scripted import Answer, Upstream
from tests.scripted import refusal as refused

from antiphon.config import BackendSettings

SEALED: Any = ["reasoning.encrypted_content"]


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(config(_upstream, str(tmp_path_factory.mktemp("responses")))) as running:
        yield running


@pytest.fixture
def gpt(running: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def ask(client: OpenAI, given: Any = "Hi", model: str = "gpt", **members: Any) -> Any:
    return client.responses.create(model=model, input=given, **members)


def sent(upstream: Upstream) -> Any:
    return upstream.last.body


# ---- answers ----------------------------------------------------------------------------------------


def test_a_text_is_streamed_with_ids_and_numbers_of_our_own(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Hello there", 3)))
    events = list(ask(gpt, instructions="Be brief.", stream=True, temperature=0.5))

    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [each.delta for each in deltas] == ["Hel", "lo ", "the", "re"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {each.item_id for each in deltas} == {events[-1].response.output[0].id} != {"msg_0"}
    assert events[-1].response.id != "resp_67c9fdcecf488190bdd9a0409de3a1ec"
    assert events[-1].response.usage.input_tokens_details.cache_write_tokens == 3
    body = sent(upstream)
    assert (body["store"], body["stream"], body["instructions"]) == (False, True, "Be brief.")
    assert body["temperature"] == 0.5


def test_the_whole_history_is_sent_and_nothing_is_stored_there(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        answer(text("Adding."), call("add", '{"a": 1, "b": 2}', "call_1"), call("add", "{}", "call_2")),
        answer(text("3")),
    )
    first = ask(gpt, tools=[ADD])
    assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
    outputs = [
        {"type": "function_call_output", "call_id": each.call_id, "output": "3"} for each in first.output[1:]
    ]
    second = ask(gpt, outputs, previous_response_id=first.id, tools=[ADD])

    assert second.output_text == "3"
    body = sent(upstream)
    assert "previous_response_id" not in body
    assert [each.get("role") or each["type"] for each in body["input"]] == [
        "user",
        "assistant",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert body["tools"][0]["strict"] is False


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
def test_sealed_reasoning_goes_back_to_the_server_that_sealed_it(
    gpt: OpenAI, upstream: Upstream, stored: bool
) -> None:
    upstream.script(
        answer(sealed("gAAAA-theirs", "Adding helps."), call("add", '{"a": 1, "b": 2}', "call_s")),
        answer(text("3")),
    )
    summary: Any = {"effort": "low", "summary": "auto"}
    first = ask(gpt, tools=[ADD], reasoning=summary, store=stored, include=SEALED)
    assert sent(upstream)["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent(upstream)["include"] == SEALED
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.output[0].summary[0].text == "Adding helps."
    assert "gAAAA-theirs" not in first.model_dump_json(), "it is sealed once more, with where it comes from"
    output = {"type": "function_call_output", "call_id": "call_s", "output": "3"}
    if stored:
        ask(gpt, [output], previous_response_id=first.id, tools=[ADD])
    else:
        items = [item.model_dump(exclude_none=True) for item in first.output]
        ask(gpt, [{"role": "user", "content": "Hi"}, *items, output], tools=[ADD], store=False)

    assert sent(upstream)["input"][1] == {
        "id": "rs_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Adding helps."}],
        "encrypted_content": "gAAAA-theirs",
    }


def test_reasoning_that_is_shown_goes_back_as_it_is(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        answer(thought("I had better add."), call("add", '{"a": 1, "b": 2}', "call_t")), answer(text("3"))
    )
    first = ask(gpt, model="open", tools=[ADD])
    assert first.output[0].content[0].text == "I had better add."
    output = {"type": "function_call_output", "call_id": "call_t", "output": "3"}
    ask(gpt, [output], model="open", previous_response_id=first.id, tools=[ADD])

    back = sent(upstream)["input"][1]
    assert back["type"] == "reasoning"
    assert back["content"] == [{"type": "reasoning_text", "text": "I had better add."}]


def test_tools_that_the_server_ran_unasked_are_left_out(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(searched("x"), text("Found.")))

    assert [item.type for item in ask(gpt).output] == ["message"]


def test_a_refusal_is_a_part_of_the_answer(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(refusal("I would rather not.")))

    assert ask(gpt).output[0].content[0].refusal == "I would rather not."


def test_an_answer_that_was_cut_short_is_incomplete(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        answer(text("Once"), status="incomplete", incomplete_details={"reason": "content_filter"})
    )
    assert ask(gpt).incomplete_details.reason == "content_filter"

    upstream.script(answer(text("Once")))
    usage = {"input_tokens": 1, "output_tokens": 16}
    upstream.reset()
    upstream.script(answer(text("Once"), usage=usage))
    assert ask(gpt, max_output_tokens=16).status == "incomplete", "the server did not say so"


# ---- what goes wrong --------------------------------------------------------------------------------


def test_a_server_that_failed_before_a_word_is_asked_once_more(gpt: OpenAI, upstream: Upstream) -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Oh."}}}
    upstream.script(Answer(raw=written([*stream()[:2], failed])), answer(text("Hi")))

    assert ask(gpt).output_text == "Hi"


def test_one_that_fails_behind_half_a_text_fails_the_response(gpt: OpenAI, upstream: Upstream) -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Oh."}}}
    upstream.script(Answer(raw=written([*stream(text("Half"))[:-1], failed])))

    with pytest.raises(APIError, match=r"Oh\."):
        list(ask(gpt, stream=True))
    assert len(upstream.requests) == 1


def test_a_stream_that_is_cut_off_fails_the_response(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(raw=written(stream(text("Half", 1))), cut_after=6))

    with pytest.raises(APIError, match="broke off"):
        list(ask(gpt, stream=True))


def test_a_server_without_this_api_is_told_as_such(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(status=404, error={"detail": "Not Found"}))

    with pytest.raises(APIError, match="speaks no Responses API there"):
        ask(gpt)


# ---- what is asked for ------------------------------------------------------------------------------


def test_a_forced_call_that_does_not_come_is_made_all_the_same(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("No.")), answer(text('{"a": 1, "b": 2}')))
    response = ask(gpt, tools=[ADD], tool_choice={"type": "function", "name": "add"})

    assert upstream.requests[0].body["tool_choice"] == {"type": "function", "name": "add"}
    assert [(item.type, item.arguments) for item in response.output] == [
        ("function_call", '{"a": 1, "b": 2}')
    ]


def test_a_schema_is_sent_and_the_answer_checked(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(text("Rome, I think.")), answer(text('{"name": "Rome"}')))

    assert ask(gpt, text={"format": CITY}).output_text == '{"name": "Rome"}'
    assert upstream.requests[0].body["text"]["format"] == CITY


@covers("param.reasoning.mode", "param.access_programs", "param.access_programs.cyber")
def test_what_openai_alone_has_is_told_where_it_is_known(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.default = answer(text("Hi"))
    asked: Any = {
        "reasoning": {"mode": "pro", "effort": "low"},
        "extra_body": {"access_programs": {"cyber": "standard"}},
    }
    told = gpt.responses.with_raw_response.create(model="gpt", input="Hi", **asked)

    assert sent(upstream)["reasoning"] == {"effort": "low", "mode": "pro"}
    assert sent(upstream)["access_programs"] == {"cyber": "standard"}
    assert "x-antiphon-warnings" not in told.headers
    assert told.parse().model_dump()["reasoning"]["mode"] == "pro"

    upstream.script(refused(400, "Unknown parameter: 'reasoning.mode'."))
    told = gpt.responses.with_raw_response.create(model="plain", input="Hi", **asked)
    assert sent(upstream)["reasoning"] == {"effort": "low"}, "what it knows it is told all the same"
    assert "reasoning.mode" in told.headers["x-antiphon-warnings"]


@pytest.mark.parametrize("status", [200, 400], ids=["in the stream", "at once"])
def test_a_refusal_keeps_its_code(gpt: OpenAI, upstream: Upstream, status: int) -> None:
    error = {"code": "image_parse_error", "message": "The image cannot be read."}
    failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
    late = Answer(raw=written([*stream()[:2], failed]))
    upstream.script(late if status == 200 else refused(400, error["message"], error["code"]))

    with pytest.raises(BadRequestError, match="cannot be read") as raised:
        ask(gpt)
    assert raised.value.code == "image_parse_error"


LESSONS = {
    "effort": ({"reasoning": {"effort": "low"}}, "Unsupported parameter: 'reasoning.effort'", "reasoning"),
    "a summary": (
        {"reasoning": {"summary": "auto"}},
        "Your organization must be verified to generate reasoning summaries.",
        "reasoning",
    ),
    "sealed reasoning": ({}, "Encrypted content is not supported with this model.", "include"),
    "a schema": ({"text": {"format": CITY}}, "text.format.json_schema is not supported", "json_schema"),
    "one call at a time": (
        {"tools": [ADD], "parallel_tool_calls": False},
        "Unknown parameter: 'parallel_tool_calls'",
        "parallel_tool_calls",
    ),
    "a cache key": (
        {"prompt_cache_key": "k"},
        "Unrecognized request argument supplied: prompt_cache_key",
        "prompt_cache_key",
    ),
}


@pytest.mark.parametrize(("asked", "words", "name"), LESSONS.values(), ids=LESSONS)
def test_what_is_refused_is_not_sent_again(
    gpt: OpenAI, upstream: Upstream, asked: Any, words: str, name: str
) -> None:
    upstream.script(refused(400, words))
    upstream.default = answer(text('{"name": "Rome"}'))
    model = f"without {name}: {words}"
    ask(gpt, model=model, **asked)
    ask(gpt, model=model, **asked)

    had = [f'"{name}"' in json.dumps(each.body) for each in upstream.requests]
    assert had == [True, False, False]


def test_logprobs_are_asked_for_and_passed_on(gpt: OpenAI, upstream: Upstream) -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    delta = {"type": "response.output_text.delta", "item_id": "m", "delta": "Hi", "logprobs": [token]}
    upstream.script(Answer(raw=written([delta, {"type": "response.completed", "response": {}}])))
    include: Any = ["message.output_text.logprobs"]
    response = ask(gpt, top_logprobs=0, include=include)

    assert response.output[0].content[0].logprobs[0].logprob == -0.5
    assert sent(upstream)["include"] == [*SEALED, *include]


def test_results_with_pictures_are_sent(gpt: OpenAI, upstream: Upstream) -> None:
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
        "WjR9awAAAABJRU5ErkJggg=="
    )
    upstream.script(answer(call("look", "{}", "call_p")), answer(text("A dot.")))
    look: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    first = ask(gpt, tools=[{**look, "strict": False}])
    output = {
        "type": "function_call_output",
        "call_id": "call_p",
        "output": [{"type": "input_image", "image_url": pixel}],
    }
    ask(gpt, [output], previous_response_id=first.id)

    result, picture = sent(upstream)["input"][-2:]
    assert result["output"] == "The result follows."
    assert picture["content"] == [{"type": "input_image", "image_url": pixel, "detail": "auto"}]


def test_logprobs_that_are_refused_are_told_as_refused(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(refused(400, "top_logprobs is not supported"))

    with pytest.raises(BadRequestError, match="'top_logprobs' is not supported with this model"):
        ask(gpt, model="mute", top_logprobs=2, include=["message.output_text.logprobs"])


# ---- reasoning across backends ----------------------------------------------------------------------


def test_a_chain_over_three_kinds_of_backends_keeps_what_each_can_read(
    upstream: Upstream, tmp_path: Path
) -> None:
    found = config(upstream, str(tmp_path), models=["gpt"])
    more = {
        "claude": BackendSettings(type="anthropic", base_url=upstream.base_url, models=["claude"]),
        "local": BackendSettings(base_url=upstream.base_url, models=["local"], dialect="generic"),
    }
    with (
        Running(replace(found, backends={**found.backends, **more})) as running,
        checked_client(running.url) as client,
    ):
        upstream.script(
            answer(sealed("gAAAA-theirs", "First I add."), call("add", '{"a": 1, "b": 2}', "call_g")),
            claude_answer(
                thinking("Then I add again.", "sig-2"),
                tool("add", '{"a": 3, "b": 4}', "toolu_c"),
                reason="tool_use",
            ),
            Answer(text="Ten."),
            answer(text("Ten it is.")),
        )
        response = ask(client, "Add.", tools=[ADD], reasoning={"summary": "auto"})
        for model, result in (("claude", "call_g"), ("local", "toolu_c")):
            output = {"type": "function_call_output", "call_id": result, "output": "3"}
            response = ask(client, [output], model, previous_response_id=response.id, tools=[ADD])
        ask(client, "Sure?", previous_response_id=response.id, tools=[ADD])

    _, at_claude, at_local, at_gpt = (json.dumps(each.body) for each in upstream.requests)
    assert "First I add." in at_claude
    assert "gAAAA-theirs" not in at_claude + at_local
    assert "First I add." in at_local
    assert "Then I add again." in at_local
    assert "sig-2" not in at_local + at_gpt
    assert "gAAAA-theirs" in at_gpt
    assert "Ten." in at_gpt
