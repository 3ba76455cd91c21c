"""Tools that a Responses server runs itself, through the official client: its items are ours to store and
show."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import BadRequestError, OpenAI
from tests.api.asking import ADD, Json, events_of, some_id, whole
from tests.conftest import Running, checked_client
from tests.hosted_script import PICTURE, cited, code, picture, web
from tests.ledger import covers
from tests.responses_script import answer, call, config, sealed, text, written
from tests.responses_script import stream as told
from tests.scripted import Answer, Upstream
from tests.scripted import refusal as refused
from tests.tools.using import ask, emitted, stream

from antiphon.config import Server, hash_key
from antiphon.stream.fold import fold

HOSTED = ["web_search", "code_interpreter", "image_generation"]
WEB: Json = {"type": "web_search"}
PYTHON: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
PAINT: Json = {"type": "image_generation", "partial_images": 1}
SOURCES: Any = ["web_search_call.action.sources"]
OUTPUTS: Any = ["code_interpreter_call.outputs"]
RECORDED = Path(__file__).parents[1] / "tools" / "recorded"


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(
        config(_upstream, str(tmp_path_factory.mktemp("hosted")), hosted=HOSTED, text_calls=False)
    ) as running:
        yield running


@pytest.fixture
def gpt(running: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def sent(upstream: Upstream, which: int = -1) -> Any:
    return upstream.requests[which].body


def types(response: Json) -> list[str]:
    return [item["type"] for item in response["output"]]


# ---- what is asked, and what is shown ---------------------------------------------------------------


def test_a_search_that_the_server_runs_is_an_item_of_ours(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        answer(web("weather", "https://a.example/"), cited("It is ", "(warm)", "https://a.example/"))
    )

    events = stream(gpt, {**WEB, "search_context_size": "low"}, include=SOURCES)

    assert emitted(events) == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    search, message = events[-1]["response"]["output"]
    assert search == {
        "type": "web_search_call",
        "id": some_id("ws"),
        "status": "completed",
        "action": {
            "type": "search",
            "query": "weather",
            "queries": ["weather"],
            "sources": [{"type": "url", "url": "https://a.example/"}],
        },
    }
    (note,) = message["content"][0]["annotations"]
    assert (note["start_index"], note["end_index"], note["url"]) == (6, 12, "https://a.example/")
    assert events[-1]["response"]["tool_usage"]["web_search"]["num_requests"] == 1
    body = sent(upstream)
    assert body["tools"] == [{"type": "web_search", "search_context_size": "low"}]
    assert set(SOURCES) <= set(body["include"])
    assert body["store"] is False


@covers("param.prompt_cache_options.prewarm")
@pytest.mark.parametrize("choice", ["auto", "required", {"type": "code_interpreter"}])
def test_a_prompt_that_is_prewarmed_has_its_tools_and_they_do_not_run(
    gpt: OpenAI, upstream: Upstream, choice: Any
) -> None:
    """A server that does not know `prewarm` would answer."""
    upstream.script(answer(text("The")), answer(text("Hi")))
    members = {"tool_choice": choice, "extra_body": {"prompt_cache_options": {"prewarm": True}}}

    assert ask(gpt, WEB, PYTHON, ADD, **members)["output"] == []
    ask(gpt, WEB, PYTHON, ADD, tool_choice=choice)

    warmed, asked = (sent(upstream, which) for which in (0, 1))
    assert warmed["tool_choice"] == "none"
    assert (warmed["tools"], warmed["input"]) == (asked["tools"], asked["input"])


def test_what_it_found_is_kept_and_shown_to_who_asks(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(web("x", "https://a.example/"), code("1", "1\n"), text("Done")))

    response = ask(gpt, WEB, PYTHON)
    again = whole(gpt.responses.retrieve(response["id"], include=[*SOURCES, *OUTPUTS]))

    search, ran, _ = response["output"]
    assert "sources" not in search["action"]
    assert ran["outputs"] is None
    assert again["output"][0]["action"]["sources"] == [{"type": "url", "url": "https://a.example/"}]
    assert again["output"][1]["outputs"] == [{"type": "logs", "logs": "1\n"}]


def test_code_that_the_server_runs_is_told_while_it_is_written(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(code("print(1)", "1\n", size=3), text("One")))

    events = stream(gpt, PYTHON, include=OUTPUTS)

    assert emitted(events)[:9] == [
        "output_item.added",
        "code_interpreter_call.in_progress",
        "code_interpreter_call_code.delta",
        "code_interpreter_call_code.delta",
        "code_interpreter_call_code.delta",
        "code_interpreter_call_code.done",
        "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0] == {
        "type": "code_interpreter_call",
        "id": some_id("ci"),
        "status": "completed",
        "code": "print(1)",
        "container_id": "cntr_theirs",
        "outputs": [{"type": "logs", "logs": "1\n"}],
    }


def test_a_picture_that_the_server_makes_is_shown_while_it_is_made(gpt: OpenAI, upstream: Upstream) -> None:
    usage = {"image_gen": {"input_tokens": 11, "output_tokens": 272, "total_tokens": 283}}
    upstream.script(answer(picture("a cat"), tool_usage=usage))

    events = stream(gpt, PAINT)

    assert emitted(events)[:6] == [
        "output_item.added",
        "image_generation_call.in_progress",
        "image_generation_call.generating",
        "image_generation_call.partial_image",
        "image_generation_call.completed",
        "output_item.done",
    ]
    response = events[-1]["response"]
    made, message = response["output"]
    assert (made["result"], made["revised_prompt"], made["quality"]) == (PICTURE, "a cat", "low")
    assert message["content"][0]["text"] == ""
    assert response["tool_usage"]["image_gen"]["output_tokens"] == 272


@covers("field.tool_usage")
def test_what_pictures_read_of_a_cache_is_told_where_the_server_tells(
    gpt: OpenAI, upstream: Upstream
) -> None:
    counts = {"input_tokens": 11, "output_tokens": 272, "total_tokens": 283}
    details = {"cached_image_tokens": 5, "cached_text_tokens": 2}
    for cached in ({}, {"cached_tokens": 7}, {"cached_tokens": 7, "cached_tokens_details": details}):
        upstream.script(answer(picture("a cat"), tool_usage={"image_gen": {**counts, **cached}}))
        shown = stream(gpt, PAINT)[-1]["response"]["tool_usage"]["image_gen"]
        assert {name: shown[name] for name in shown if name.startswith("cached")} == cached


@pytest.mark.parametrize(
    "name",
    [
        "web_search_agentic",
        "web_search_simple",
        "code_interpreter_file",
        "code_interpreter_image",
        "image_generation",
    ],
)
def test_what_was_recorded_of_the_real_api_comes_out_as_it_went_in(
    gpt: OpenAI, upstream: Upstream, name: str
) -> None:
    (path,) = RECORDED.glob(f"*{name}.json")
    recorded = json.loads(path.read_text())["events"]
    upstream.script(Answer(raw=written(recorded)))

    events = stream(gpt, WEB, PYTHON, PAINT, include=[*SOURCES, *OUTPUTS])

    assert [bare(event) for event in visible(events)] == [bare(event) for event in visible(recorded)]


def visible(events: list[Json]) -> list[Json]:
    """Those of items, without reasoning of which nothing is to be seen."""
    found = [event for event in events if "output_index" in event]
    return [event for event in found if event.get("item", {}).get("type") != "reasoning"]


def bare(event: Json) -> Json:
    """Without what is each server's own."""
    own = ("sequence_number", "output_index", "item_id", "obfuscation", "id", "call_id", "phase", "logprobs")
    left = {name: value for name, value in event.items() if name not in own}
    for member in ("item", "part", "action"):
        if isinstance(left.get(member), dict):
            left[member] = bare(left[member])
    if "content" in left:
        left["content"] = [bare(part) for part in left["content"]]
    if left.get("type") == "search":
        left.pop("queries", None)  # told since 2026, as is an action from the beginning
    if left.get("status") == "in_progress":
        left.pop("action", None)
    return left


# ---- every way to ask -------------------------------------------------------------------------------

ALL = (
    sealed("gAAAA-1", "Look it up."),
    web("x", "https://a.example/"),
    code("print(1)", "1\n"),
    picture("a cat"),
    cited("It is ", "one", "https://a.example/"),
)
KINDS = [
    "reasoning",
    "web_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "message",
]


@pytest.mark.parametrize("plain", [True, False], ids=["in one piece", "as a stream"])
def test_an_answer_that_nobody_reads_along_is_the_same(gpt: OpenAI, upstream: Upstream, plain: bool) -> None:
    whole_answer = answer(*ALL)
    upstream.script(Answer(raw=[in_one_piece(*ALL)]) if plain else whole_answer)

    response = ask(gpt, WEB, PYTHON, PAINT, include=[*SOURCES, *OUTPUTS])

    assert types(response) == KINDS
    assert response["output"][2]["outputs"] == [{"type": "logs", "logs": "1\n"}]
    assert response["output"][3]["result"] == PICTURE
    assert response["output"][4]["content"][0]["annotations"][0]["start_index"] == 6


def in_one_piece(*said: Any) -> bytes:
    return json.dumps(told(*said)[-1]["response"]).encode()


def test_the_background_keeps_them(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(*ALL))
    begun = gpt.responses.create(
        model="gpt", input="Hi", tools=[WEB, PYTHON, PAINT], background=True, stream=True
    )
    ended = [whole(event) for event in begun][-1]["response"]

    assert types(ended) == KINDS
    again = whole(gpt.responses.retrieve(ended["id"]))
    assert types(again) == KINDS


def test_a_web_socket_tells_them(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(*ALL))
    with gpt.responses.connect() as connection:
        connection.response.create(model="gpt", input="Hi", tools=[WEB, PYTHON, PAINT], store=False)
        for event in connection:
            if event.type == "response.completed":
                assert [item.type for item in event.response.output] == KINDS
                break


@pytest.mark.parametrize("background", [False, True], ids=["in the foreground", "in the background"])
def test_an_answer_that_breaks_off_leaves_no_item_open(
    running: Running, upstream: Upstream, background: bool
) -> None:
    events = told(*ALL)
    body = {"model": "gpt", "input": "Hi", "tools": [WEB, PYTHON, PAINT], "stream": True}
    for cut in range(6, len(events) - 1, 3):
        upstream.default = Answer(raw=written(events), cut_after=cut)
        answered = httpx2.post(f"{running.url}/v1/responses", json={**body, "background": background})
        frames = events_of(answered.content)

        response = frames[-1]["response"]
        assert response["status"] == "failed", cut
        assert fold(frames) == response
        assert not [item for item in response["output"] if item.get("status") == "in_progress"]


def test_code_that_is_cut_short_is_incomplete(gpt: OpenAI, upstream: Upstream) -> None:
    events = told(code("print(1)", "1", size=4))
    written_half = [event for event in events[:5] if "code_interpreter_call" in json.dumps(event)]
    end = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    upstream.script(Answer(raw=written([*written_half, {"type": "response.incomplete", "response": end}])))

    response = ask(gpt, PYTHON)

    (ran,) = response["output"]
    assert (response["status"], ran["status"], ran["code"]) == ("incomplete", "incomplete", "prin")


def test_a_connection_remembers_what_is_not_stored(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(*ALL), answer(text("Yes.")))
    with gpt.responses.connect() as connection:
        previous: Any = {}
        for question in ("Hi", "Sure?"):
            connection.response.create(
                model="gpt", input=question, tools=[WEB, PYTHON, PAINT], store=False, **previous
            )
            for event in connection:
                if event.type == "response.completed":
                    previous = {"previous_response_id": event.response.id}
                    break

    kinds = [each.get("role") or each["type"] for each in sent(upstream)["input"]]
    assert {"web_search_call", "code_interpreter_call", "image_generation_call"} < set(kinds)


def test_a_conversation_keeps_them(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(*ALL), answer(text("Yes.")))
    conversation = gpt.conversations.create()
    for question in ("Hi", "Sure?"):
        gpt.responses.create(
            model="gpt", input=question, tools=[WEB, PYTHON, PAINT], conversation=conversation.id
        )

    items = [whole(item) for item in gpt.conversations.items.list(conversation.id, order="asc")]
    assert [item["type"] for item in items] == ["message", *KINDS, "message", "message"]
    kinds = [each.get("role") or each["type"] for each in sent(upstream)["input"]]
    assert {"web_search_call", "code_interpreter_call", "image_generation_call"} < set(kinds)


# ---- later turns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "carried by the client"])
def test_items_go_back_to_the_server_that_made_them(gpt: OpenAI, upstream: Upstream, stored: bool) -> None:
    upstream.script(answer(*ALL), answer(text("Bye")))
    seen: Any = [*SOURCES, *OUTPUTS, "reasoning.encrypted_content"]
    first = ask(gpt, WEB, PYTHON, PAINT, store=stored, include=seen)
    more: Json = {"role": "user", "content": "And now?"}
    if stored:
        ask(
            gpt,
            WEB,
            PYTHON,
            PAINT,
            given=[more],
            previous_response_id=first["id"],
            reasoning={"context": "all_turns"},
        )
    else:
        given = [{"role": "user", "content": "Hi"}, *first["output"], more]
        ask(gpt, WEB, PYTHON, PAINT, given=given, store=False, reasoning={"context": "all_turns"})

    ids = [item["id"] for item in first["output"]]
    _, reasoning, search, ran, made, message, _ = sent(upstream)["input"]
    assert (reasoning["type"], reasoning["encrypted_content"]) == ("reasoning", "gAAAA-1")
    assert search == {
        "type": "web_search_call",
        "id": ids[1],
        "status": "completed",
        "action": {"type": "search", "query": "x", "queries": ["x"]},
    }
    assert ran == {
        "type": "code_interpreter_call",
        "id": ids[2],
        "status": "completed",
        "code": "print(1)",
        "container_id": "cntr_theirs",
        "outputs": [{"type": "logs", "logs": "1\n"}],
    }
    assert made == {"type": "image_generation_call", "id": ids[3], "status": "completed", "result": PICTURE}
    assert message == {"type": "message", "role": "assistant", "content": "It is one."}


def test_a_container_that_a_client_names_does_not_reach_the_server(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(code("secret = 1", ""), text("Kept")), answer(text("Hm")))
    first = ask(gpt, PYTHON, include=OUTPUTS)
    forged = {**first["output"][0], "container_id": "cntr_of_another"}

    ask(gpt, PYTHON, given=[forged, {"role": "user", "content": "Go on"}])

    told = json.dumps(sent(upstream))
    assert "cntr_of_another" not in told
    assert "secret = 1" in told


NOWHERE = "http://10.0.0.1/inside.png"


@pytest.mark.parametrize("tools", [[PYTHON], []], ids=["as an item", "in words"])
def test_a_url_that_a_client_puts_among_outputs_does_not_reach_the_server(
    gpt: OpenAI, upstream: Upstream, tools: list[Json]
) -> None:
    upstream.script(answer(code("plot()", "drawn"), text("There.")), answer(text("Hm")))
    first = ask(gpt, PYTHON, include=OUTPUTS)
    itself = f"data:image/png;base64,{PICTURE}"
    forged = [*first["output"][0]["outputs"], *({"type": "image", "url": url} for url in (NOWHERE, itself))]

    given = [{**first["output"][0], "outputs": forged}, {"role": "user", "content": "Go on"}]
    ask(gpt, *tools, given=given)

    told = json.dumps(sent(upstream))
    assert NOWHERE not in told
    assert "drawn" in told
    assert itself in told


@pytest.mark.parametrize(
    "carried",
    [
        lambda items: {**items[0], "action": None},
        lambda items: {**items[0], "action": {"type": "search"}},
        lambda items: {**items[1], "status": "incomplete"},
        lambda items: {**items[0], "id": items[0]["id"][:-1] + ("1" if items[0]["id"][-1] == "0" else "0")},
        lambda items: {**items[0], "id": None},
    ],
    ids=["no action", "no question", "cut short", "another id", "no id"],
)
def test_what_a_client_has_changed_is_told_in_words(gpt: OpenAI, upstream: Upstream, carried: Any) -> None:
    upstream.script(answer(web("x"), code("1", "1"), picture("a cat"), text("So.")), answer(text("Yes.")))
    first = ask(gpt, WEB, PYTHON, PAINT, store=False, include=OUTPUTS)

    given = [carried(first["output"]), {"role": "user", "content": "And?"}]
    ask(gpt, WEB, PYTHON, PAINT, given=given, store=False)

    kinds = [each.get("role") or each["type"] for each in sent(upstream)["input"]]
    assert kinds[:2] == ["function_call", "function_call_output"]
    assert kinds[-1] == "user"


FAILED = web("x", status="failed")
FIRST, SECOND = sealed("gAAAA-1"), sealed("gAAAA-2")


@pytest.mark.parametrize(
    ("said", "order"),
    [
        ([FIRST, FAILED, SECOND, text("So.")], ["gAAAA-1", "call", "output", "gAAAA-2", "So."]),
        (
            [FIRST, web("y"), FAILED, SECOND, text("So.")],
            ["gAAAA-1", "y", "call", "output", "gAAAA-2", "So."],
        ),
        ([text("Hm."), FAILED, SECOND, text("So.")], ["Hm.", "call", "output", "gAAAA-2", "So."]),
        ([FIRST, web("y"), SECOND, text("So.")], ["gAAAA-1", "y", "gAAAA-2", "So."]),
    ],
    ids=["alone", "behind another", "behind a text", "none failed"],
)
def test_reasoning_stands_before_what_it_led_to_where_a_call_has_failed(
    gpt: OpenAI, upstream: Upstream, said: list[Any], order: list[str]
) -> None:
    upstream.script(answer(*said), answer(text("Bye")))
    first = ask(gpt, WEB)

    ask(gpt, WEB, previous_response_id=first["id"], reasoning={"context": "all_turns"})

    assert [brief(item) for item in sent(upstream)["input"]][1:-1] == order


def brief(item: Json) -> str:
    """What an item is known by."""
    match item["type"]:
        case "reasoning":
            return str(item["encrypted_content"])
        case "web_search_call":
            return str(item["action"]["query"])
        case "message":
            return str(item["content"])
        case kind:
            return str(kind).removeprefix("function_call").strip("_") or "call"


def test_a_compaction_reads_them_in_words(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(web("x"), code("1", "1"), text("So.")), answer(text("They looked for x.")))
    first = ask(gpt, WEB, PYTHON)

    gpt.responses.compact(model="gpt", previous_response_id=first["id"])

    body = sent(upstream)
    assert "tools" not in body
    assert not {"web_search_call", "code_interpreter_call"} & {each["type"] for each in body["input"]}
    assert '"x"' in json.dumps(body["input"]).replace("\\", "")


def test_a_container_of_another_project_is_not_gone_on_with(upstream: Upstream, tmp_path: Path) -> None:
    """Even where somebody has got hold of the item itself."""
    keyed = Server(verify=True, keys={"one": hash_key("k1"), "two": hash_key("k2")})
    settings = replace(config(upstream, str(tmp_path), hosted=HOSTED), server=keyed)
    upstream.script(answer(code("x = 1", ""), text("Kept")), answer(text("Hm")), answer(text("Yes")))
    question: Json = {"role": "user", "content": "Go on"}
    with (
        Running(settings) as running,
        checked_client(running.url, api_key="k1") as owner,
        checked_client(running.url, api_key="k2") as other,
    ):
        item = ask(owner, PYTHON, include=OUTPUTS)["output"][0]
        ask(other, PYTHON, given=[item, question])
        assert "cntr_theirs" not in json.dumps(sent(upstream))
        ask(owner, PYTHON, given=[item, question])
        assert "cntr_theirs" in json.dumps(sent(upstream))


def test_turns_of_one_response_go_on_with_them(gpt: OpenAI, upstream: Upstream) -> None:
    """The model calls a function behind a search: the next request has both, in their order."""
    upstream.script(
        answer(text("Looking."), web("x"), text("Adding."), call("add", '{"a": 1, "b": 2}', "call_1")),
        answer(text("3")),
    )
    first = ask(gpt, WEB, ADD)
    result = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    ask(gpt, WEB, ADD, given=[result], previous_response_id=first["id"])

    kinds = [each.get("role") or each["type"] for each in sent(upstream)["input"]]
    assert kinds == [
        "user",
        "assistant",
        "web_search_call",
        "assistant",
        "function_call",
        "function_call_output",
    ]


def test_a_container_that_is_gone_does_not_end_the_conversation(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(code("x = 1", "")), refused(400, "Container is expired."), answer(text("Anew")))
    first = ask(gpt, PYTHON)

    second = ask(gpt, PYTHON, previous_response_id=first["id"], given="Go on")

    assert second["output"][0]["content"][0]["text"] == "Anew"
    told = json.dumps(sent(upstream)["input"])
    assert "cntr_theirs" not in told
    assert "x = 1" in told


def test_a_container_that_is_there_still_is_gone_on_with(gpt: OpenAI, upstream: Upstream) -> None:
    gone = refused(400, "Container cntr_old is expired.")
    upstream.script(
        answer(code("x = 1", "", "cntr_old"), text("Kept")),
        gone,
        answer(code("x = 2", "", "cntr_new"), text("Anew")),
        gone,
        answer(text("Yes.")),
    )
    first = ask(gpt, PYTHON)
    second = ask(gpt, PYTHON, previous_response_id=first["id"])
    ask(gpt, PYTHON, previous_response_id=second["id"])

    given = sent(upstream)["input"]
    assert [each["container_id"] for each in given if "container_id" in each] == ["cntr_new"]
    assert "x = 1" in json.dumps(given)


def test_a_server_that_takes_no_such_items_back_reads_of_them_in_words(
    gpt: OpenAI, upstream: Upstream
) -> None:
    upstream.script(
        answer(*ALL), refused(400, "input[2]: unknown type 'web_search_call'"), answer(text("Yes."))
    )
    first = ask(gpt, WEB, PYTHON, PAINT)

    ask(gpt, WEB, PYTHON, PAINT, previous_response_id=first["id"])

    kinds = [each.get("role") or each["type"] for each in sent(upstream)["input"]]
    assert not {"web_search_call", "code_interpreter_call", "image_generation_call"} & set(kinds)
    assert kinds.count("function_call") == 3


def test_a_refusal_that_is_about_something_else_is_told(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(*ALL), refused(400, "That is odd."), refused(400, "Odder still."))
    first = ask(gpt, WEB, PYTHON, PAINT)

    with pytest.raises(BadRequestError, match="That is odd"):
        ask(gpt, WEB, PYTHON, PAINT, previous_response_id=first["id"])

    assert len(upstream.requests) == 3


# ---- choice and limits ------------------------------------------------------------------------------


def test_a_tool_can_be_demanded(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(web("x"), text("Found")))

    choice: Any = {"type": "web_search"}
    response = gpt.responses.create(model="gpt", input="Hi", tools=[WEB, ADD], tool_choice=choice)

    assert [item.type for item in response.output] == ["web_search_call", "message"]
    assert sent(upstream)["tool_choice"] == {"type": "web_search"}
    assert len(upstream.requests) == 1


def test_calls_of_the_server_count(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(web("x"), web("y"), text("Found")))

    ask(gpt, WEB, max_tool_calls=2)

    assert sent(upstream)["max_tool_calls"] == 2


def test_what_names_files_of_this_server_is_not_the_other_servers_to_run(
    gpt: OpenAI, upstream: Upstream
) -> None:
    upstream.script(answer(text("Hi")))
    ask(gpt, {"type": "code_interpreter", "container": "cntr_" + "0" * 48})

    assert "tools" not in sent(upstream)


@pytest.mark.parametrize("url", [NOWHERE, "file:///etc/passwd"])
def test_a_mask_that_stands_elsewhere_is_not_the_other_servers_to_fetch(
    gpt: OpenAI, upstream: Upstream, url: str
) -> None:
    upstream.script(answer(text("Hi")))
    ask(gpt, {**PAINT, "input_image_mask": {"image_url": url}})

    assert "tools" not in sent(upstream)


def test_a_mask_that_comes_by_value_goes_along(gpt: OpenAI, upstream: Upstream) -> None:
    mask = {"image_url": f"data:image/png;base64,{PICTURE}"}
    upstream.script(answer(picture("a cat")))
    ask(gpt, {**PAINT, "input_image_mask": mask})

    (tool,) = sent(upstream)["tools"]
    assert tool["input_image_mask"] == mask


def test_an_answer_in_a_form_waits_only_for_its_text(gpt: OpenAI, upstream: Upstream) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form: Any = {"format": {"type": "json_schema", "name": "f", "schema": schema, "strict": True}}
    upstream.script(answer(text("Let me see."), web("x"), text('{"a": 1}')))

    events = stream(gpt, WEB, text=form)

    response = events[-1]["response"]
    assert types(response) == ["message", "web_search_call", "message"]
    assert response["output"][2]["content"][0]["text"] == '{"a": 1}'


@covers("member.item.web_search_call.action[search].sources[][api]")
def test_a_source_without_an_address_is_shown_by_its_name(gpt: OpenAI, upstream: Upstream) -> None:
    def weather(at: int) -> list[Json]:
        events = web("weather")(at)
        events[-1]["item"]["action"]["sources"] = [{"type": "api", "name": "oai-weather"}]
        return events

    upstream.script(answer(weather, text("Warm.")), answer(text("Yes.")))
    raw = gpt.responses.with_raw_response.create(model="gpt", input="Hi", tools=[WEB], include=SOURCES)
    response = raw.http_response.json()

    assert response["output"][0]["action"]["sources"] == [{"type": "api", "name": "oai-weather"}]
    given = [*response["output"], {"role": "user", "content": "Sure?"}]
    assert ask(gpt, WEB, given=given)["output"][0]["content"][0]["text"] == "Yes."


def test_what_failed_is_shown_as_failed(gpt: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(web("x", status="failed"), text("Sorry")))

    events = stream(gpt, WEB)

    assert "web_search_call.completed" not in emitted(events)
    assert events[-1]["response"]["output"][0]["status"] == "failed"


def test_a_tool_that_the_server_does_not_have_is_refused_in_its_words(
    gpt: OpenAI, upstream: Upstream
) -> None:
    upstream.script(refused(400, "Hosted tool 'web_search' is not supported with this model."))

    with pytest.raises(BadRequestError, match="is not supported with this model"):
        ask(gpt, WEB)
