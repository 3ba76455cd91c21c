"""The parameter `moderation`: input and output of a response are scored, or blocked, over the wire."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import ADD, Json, message, refused, whole
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.moderators import CATEGORIES, ServedModerator, scores
from tests.papers import png
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.mcp_servers import Toolset, served
from websockets.sync.client import connect

from antiphon.config import Config, Moderation, Outbound

WORDS = {"idiot": "harassment", "blood": "violence/graphic", "dynamite": "illicit/violent"}
BLOODY = f"data:image/png;base64,{base64.b64encode(png() + b'blood').decode()}"
OMNI = "omni-moderation-latest"
TERMINAL = ("completed", "incomplete", "failed", "cancelled")

Asked = Callable[..., Json]


def policy(given: str | None = None, written: str | None = None) -> Json:
    """The parameter, with a mode for each side."""
    modes = {"input": given, "output": written}
    return {"model": OMNI, "policy": {side: {"mode": mode} for side, mode in modes.items() if mode}}


BLOCKS_INPUT = policy("block", "score")
BLOCKS_OUTPUT = policy("score", "block")


@pytest.fixture
def moderator() -> Iterator[ServedModerator]:
    with ServedModerator(WORDS) as moderator:
        yield moderator
        moderator.release()


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path, moderator: ServedModerator) -> Config:
    named = Moderation(base_url=f"{moderator.url}/v1", model="m1")
    return replace(config_for(upstream, tmp_path), moderation=named, outbound=Outbound(allow_private=True))


@pytest.fixture
def running(config: Config) -> Iterator[Running]:
    with Running(config) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def ask(client: OpenAI, given: Any = "Hi", moderation: Any = None, **members: Any) -> Json:
    answer: Json = whole(
        client.responses.create(model="m", input=given, moderation=moderation or {"model": OMNI}, **members)
    )
    return answer


def stream(client: OpenAI, given: Any = "Hi", moderation: Any = None, **members: Any) -> Iterator[Json]:
    """The events, as they come."""
    events = client.responses.create(
        model="m", input=given, moderation=moderation or {"model": OMNI}, stream=True, **members
    )
    return (whole(event) for event in events)


def flagged(moderated: Json) -> list[str]:
    assert moderated["type"] == "moderation_result"
    assert moderated["categories"].keys() >= {*CATEGORIES}
    return [name for name, is_so in moderated["categories"].items() if is_so]


def by_sides(response: Json) -> list[list[str]]:
    """What input and output were found to be."""
    return [flagged(response["moderation"][side]) for side in ("input", "output")]


# ---- scores ------------------------------------------------------------------------------------------


@covers("param.moderation", "param.moderation.model", "field.moderation")
def test_input_and_output_are_scored(client: OpenAI, upstream: Upstream, moderator: ServedModerator) -> None:
    upstream.script(Answer("Mind the dynamite.", reasoning="This idiot"))
    response = ask(client, "You idiot")

    assert (response["status"], by_sides(response)) == (
        "completed",
        [["harassment"], ["harassment", "illicit/violent"]],
    )
    found = response["moderation"]["output"]
    assert (found["model"], found["flagged"]) == ("m1", True)
    assert found["category_scores"]["illicit/violent"] == 0.9
    assert found["category_applied_input_types"]["illicit/violent"] == ["text"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]


@covers("param.moderation.policy")
@pytest.mark.parametrize(
    "given", [{"model": OMNI, "policy": None}, policy(), policy("score"), policy(None, "score")]
)
def test_what_has_no_policy_is_scored(client: OpenAI, upstream: Upstream, given: Json) -> None:
    upstream.script(Answer("dynamite"))
    assert by_sides(ask(client, "blood", given)) == [["violence/graphic"], ["illicit/violent"]]


def test_nothing_is_judged_that_was_not_to_be(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    upstream.script(Answer("Hello"))
    assert whole(client.responses.create(model="m", input="idiot"))["moderation"] is None
    assert moderator.asked == []


def test_a_score_delays_neither_the_model_nor_its_words(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    moderator.hold()
    upstream.script(Answer("Hello you", size=5))
    events = stream(client)

    told = [event for event, _ in zip(iter(lambda: next(events), None), range(6), strict=False)]
    assert [event["type"] for event in told][-2:] == ["response.output_text.delta"] * 2
    moderator.wait_asked()
    moderator.release()
    told += events

    assert by_sides(told[-1]["response"]) == [[], []]
    assert [event["response"]["moderation"] for event in told[:-1] if "response" in event] == [None, None]


def test_what_was_said_before_is_not_judged_again(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    upstream.script(Answer("blood"), Answer("Fine."))
    first = ask(client, "You idiot")
    second = ask(client, "Sorry.", previous_response_id=first["id"])

    assert by_sides(second) == [[], []]
    assert sorted(moderator.texts) == sorted(["You idiot", "blood", "Sorry.", "Fine."])


def test_all_that_a_request_brings_for_the_model_is_judged(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    upstream.script(Answer("Fine."))
    text = base64.b64encode(b"About dynamite.").decode()
    given = [
        {"role": "developer", "content": "Say nothing of blood."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Read this."},
                {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{text}"},
                {"type": "input_image", "image_url": BLOODY},
            ],
        },
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "You idiot"},
    ]
    response = ask(client, given)

    assert by_sides(response) == [["harassment", "illicit/violent", "violence/graphic"], []]
    applied = response["moderation"]["input"]["category_applied_input_types"]
    assert (applied["violence/graphic"], applied["illicit/violent"]) == (["text", "image"], ["text"])
    assert "Say nothing" not in json.dumps(moderator.asked)


def test_texts_that_go_into_a_prompt_template_are_judged(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Fine."))
    template = {"instructions": "Talk about {{what}}."}
    made = client.post("/prompts", body=template, cast_to=dict[str, Any])
    response = ask(client, prompt={"id": made["id"], "variables": {"what": "dynamite"}})
    assert by_sides(response) == [["illicit/violent"], []]


def test_an_answer_that_was_cut_short_is_judged_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("It takes dynamite and", finish="length"))
    response = ask(client)
    assert (response["status"], by_sides(response)) == ("incomplete", [[], ["illicit/violent"]])


def test_calls_are_judged_with_what_is_said(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a": 1, "b": 2, "c": "dynamite"}')]))
    assert by_sides(ask(client, tools=[ADD])) == [[], ["illicit/violent"]]


def test_an_empty_output_is_judged_by_nobody(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    upstream.script(Answer(""))
    assert by_sides(ask(client)) == [[], []]
    assert moderator.texts == ["Hi"]


@covers("param.moderation")
def test_a_score_that_cannot_be_had_is_an_error_beside_the_answer(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    moderator.mood = "broken"
    upstream.script(Answer("Hello"))
    response = ask(client)

    assert (response["status"], response["output"]) == ("completed", [{**message("Hello")}])
    for side in ("input", "output"):
        error = response["moderation"][side]
        assert (error["type"], error["code"]) == ("error", "moderation_failed")
        assert "HTTP 401" in error["message"]


def test_a_background_response_is_scored(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("dynamite"))
    assert by_sides(ended(client, ask(client, background=True)["id"])) == [[], ["illicit/violent"]]


# ---- the input is blocked ----------------------------------------------------------------------------


@covers("failure.invalid_prompt")
@pytest.mark.parametrize("members", [{}, {"stream": True}, {"background": True}], ids=str)
def test_an_input_that_is_blocked_reaches_no_model(
    client: OpenAI, upstream: Upstream, tmp_path: Path, members: Json
) -> None:
    conversation = client.conversations.create()
    with refused(400, "invalid_prompt", "input") as raised:
        ask(client, "You zephyr idiot", BLOCKS_INPUT, conversation=conversation.id, **members)

    assert "(harassment)" in raised.message
    assert upstream.requests == []
    assert client.conversations.items.list(conversation.id).data == []
    assert kept(tmp_path, b"zephyr") == []


@covers("failure.image_content_policy_violation")
def test_an_image_that_is_blocked_has_a_code_of_its_own(client: OpenAI, upstream: Upstream) -> None:
    image = {"role": "user", "content": [{"type": "input_image", "image_url": BLOODY}]}
    with refused(400, "image_content_policy_violation", "input"):
        ask(client, [image], BLOCKS_INPUT)
    assert upstream.requests == []


def test_a_frame_that_is_blocked_ends_no_connection(running: Running, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    with connect(running.url.replace("http", "ws") + "/v1/responses") as socket:
        socket.send(frame("idiot", BLOCKS_INPUT))
        refusal = json.loads(socket.recv(timeout=60))
        assert (refusal["type"], refusal["status"], refusal["error"]["code"]) == (
            "error",
            400,
            "invalid_prompt",
        )
        socket.send(frame("Hi", BLOCKS_INPUT))
        assert by_sides(last(socket)["response"]) == [[], []]


def test_an_input_that_passes_is_judged_once(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    upstream.script(Answer("Hello"))
    assert by_sides(ask(client, "Hi", BLOCKS_INPUT)) == [[], []]
    assert moderator.texts == ["Hi", "Hello"]


def test_an_input_that_cannot_be_judged_is_blocked(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    moderator.mood = "broken"
    with refused(502, "moderation_failed", kind="server_error"):
        ask(client, "Hi", BLOCKS_INPUT)
    assert upstream.requests == []


# ---- the output is blocked ---------------------------------------------------------------------------


def kept(data_dir: Path, secret: bytes) -> list[str]:
    """The files of the server's data that hold a word."""
    files = (path for path in data_dir.rglob("*") if path.is_file())
    return [path.name for path in files if secret in path.read_bytes()]


def ended(client: OpenAI, response_id: str) -> Json:
    while True:
        response: Json = whole(client.responses.retrieve(response_id))
        if response["status"] in TERMINAL:
            return response


def frame(given: str, moderation: Json, **members: Any) -> str:
    create = {"type": "response.create", "model": "m", "input": given, "moderation": moderation}
    return json.dumps(create | members)


def last(socket: Any) -> Json:
    """The terminal event of what is told over a WebSocket."""
    return frames(socket)[-1]


def frames(socket: Any) -> list[Json]:
    told: list[Json] = []
    while not told or told[-1]["type"] not in {f"response.{status}" for status in TERMINAL}:
        told.append(json.loads(socket.recv(timeout=60)))
    return told


def _plainly(running: Running, **members: Any) -> list[Json]:
    with checked_client(running.url) as client:
        return [{"response": ask(client, moderation=BLOCKS_OUTPUT, **members)}]


def _streamed(running: Running, **members: Any) -> list[Json]:
    with checked_client(running.url) as client:
        return list(stream(client, moderation=BLOCKS_OUTPUT, **members))


def _in_the_background(running: Running, **members: Any) -> list[Json]:
    with checked_client(running.url) as client:
        response = ask(client, moderation=BLOCKS_OUTPUT, background=True, **members)
        return [{"response": ended(client, response["id"])}]


def _in_a_background_stream(running: Running, **members: Any) -> list[Json]:
    with checked_client(running.url) as client:
        return list(stream(client, moderation=BLOCKS_OUTPUT, background=True, **members))


def _over_a_websocket(running: Running, **members: Any) -> list[Json]:
    with connect(running.url.replace("http", "ws") + "/v1/responses") as socket:
        socket.send(frame("Hi", BLOCKS_OUTPUT, **members))
        return frames(socket)


WAYS = [_plainly, _streamed, _in_the_background, _in_a_background_stream, _over_a_websocket]


@pytest.mark.parametrize("way", WAYS)
def test_an_output_that_is_blocked_is_shown_nowhere_and_kept_nowhere(
    running: Running, upstream: Upstream, tmp_path: Path, way: Callable[..., list[Json]]
) -> None:
    upstream.script(
        Answer(
            "A zephyr of dynamite.", reasoning="A zephyr", calls=[Called("add", '{"a": "zephyr"}')], size=3
        )
    )
    told = way(running, tools=[ADD])

    assert "zephyr" not in json.dumps(told)
    response = told[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": "content_filter"},
    )
    assert (response["output"], by_sides(response)) == ([], [[], ["illicit/violent"]])
    assert response["usage"]["output_tokens"] == 5
    assert kept(tmp_path, b"zephyr") == []
    kinds = [event["type"] for event in told if "type" in event]
    assert kinds[-1:] in ([], ["response.incomplete"])
    assert set(kinds) <= {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.incomplete",
    }


@pytest.mark.parametrize("way", WAYS)
def test_an_output_that_passes_is_as_without_moderation(
    running: Running, upstream: Upstream, way: Callable[..., list[Json]]
) -> None:
    upstream.script(Answer("HelloYou", reasoning="Well", calls=[Called("add", '{"a": 1, "b": 2}')], size=3))
    told = way(running, tools=[ADD])

    response = told[-1]["response"]
    assert (response["status"], by_sides(response)) == ("completed", [[], []])
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
    deltas = [event["delta"] for event in told if event.get("type") == "response.output_text.delta"]
    assert deltas in ([], ["Hel", "loY", "ou"])


def test_nothing_is_emitted_before_it_was_judged(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    moderator.hold()
    gate = Gate(after=3)
    upstream.script(Answer("Hello you", size=3, gate=gate))
    events = stream(client, moderation=BLOCKS_OUTPUT)

    opening = [next(events), next(events)]
    gate.wait_reached()
    gate.open()
    moderator.wait_asked(2)
    assert moderator.texts == ["Hi", "Hello you"]
    moderator.release()
    rest = list(events)

    assert [event["type"] for event in opening] == ["response.created", "response.in_progress"]
    assert rest[0]["type"] == "response.output_item.added"
    assert rest[-1]["type"] == "response.completed"


def test_a_call_of_ours_in_an_output_that_is_blocked_is_not_made(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("dynamite", calls=[Called("things__delete", '{"name": "all"}')]))
    things = Toolset()
    with served(things.server()) as mcp:
        tool = {
            "type": "mcp",
            "server_label": "things",
            "server_url": f"{mcp.url}/mcp",
            "require_approval": "never",
        }
        response = ask(client, moderation=BLOCKS_OUTPUT, tools=[tool])

    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert [item["type"] for item in response["output"]] == ["mcp_list_tools"]
    assert things.called == []


def test_each_turn_is_judged_with_those_before_it(
    client: OpenAI, upstream: Upstream, moderator: ServedModerator
) -> None:
    add = Called("things__add", '{"a": 1, "b": 2}')
    upstream.script(Answer("First.", calls=[add]), Answer("Then dynamite."))
    things = Toolset()
    with served(things.server()) as mcp:
        tool = {
            "type": "mcp",
            "server_label": "things",
            "server_url": f"{mcp.url}/mcp",
            "require_approval": "never",
        }
        response = ask(client, moderation=BLOCKS_OUTPUT, tools=[tool])

    assert (things.called, response["status"]) == (["add"], "incomplete")
    assert [item["type"] for item in response["output"]] == ["mcp_list_tools", "message", "mcp_call"]
    first, second = moderator.texts[-2:]
    assert first.split("\n\n") == ["First.", add.arguments]
    assert second.split("\n\n") == ["First.", add.arguments, "Then dynamite."]


@pytest.mark.parametrize("way", [_plainly, _in_the_background, _over_a_websocket])
def test_an_output_that_cannot_be_judged_is_not_let_through(
    running: Running,
    upstream: Upstream,
    moderator: ServedModerator,
    tmp_path: Path,
    way: Callable[..., list[Json]],
) -> None:
    moderator.mood = "broken"
    upstream.script(Answer("A zephyr"))
    if way is _plainly:
        with refused(502, "moderation_failed", kind="server_error"):
            way(running)
    else:
        told = way(running)
        response = told[-1]["response"]
        assert (response["status"], response["output"]) == ("failed", [])
        assert "The moderation failed" in response["error"]["message"]
        assert response["usage"]["output_tokens"] == 5
        assert "zephyr" not in json.dumps(told)
    assert kept(tmp_path, b"A zephyr") == []


@pytest.mark.parametrize("way", [_plainly, _in_the_background, _over_a_websocket])
def test_a_fault_of_the_model_quotes_nothing_that_is_blocked(
    running: Running, upstream: Upstream, way: Callable[..., list[Json]]
) -> None:
    upstream.default = Answer('{"word": "zephyr dynamite"}')
    word = {"type": "object", "properties": {"word": {"type": "integer"}}, "required": ["word"]}
    schema = {
        "type": "json_schema",
        "name": "a",
        "strict": True,
        "schema": word | {"additionalProperties": False},
    }
    told = way(running, text={"format": schema})

    assert told[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert "zephyr" not in json.dumps(told)


def test_a_fault_of_the_model_that_may_be_read_is_told(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer('{"word": "flowers"}')
    word = {"type": "object", "properties": {"word": {"type": "integer"}}, "required": ["word"]}
    schema = {
        "type": "json_schema",
        "name": "a",
        "strict": True,
        "schema": word | {"additionalProperties": False},
    }
    response = ask(client, moderation=BLOCKS_OUTPUT, text={"format": schema})

    assert response["status"] == "failed"
    assert "did not fit its schema" in response["error"]["message"]


def test_a_blocked_output_is_not_part_of_what_follows(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("dynamite"), Answer("Hello again"))
    blocked = ask(client, "Tell me", BLOCKS_OUTPUT)
    response = ask(client, "Hello", BLOCKS_OUTPUT, previous_response_id=blocked["id"])

    assert response["status"] == "completed"
    assert "dynamite" not in json.dumps(upstream.last.body)


# ---- what cannot be ----------------------------------------------------------------------------------


def test_a_model_that_does_not_judge_here_is_refused(client: OpenAI, upstream: Upstream) -> None:
    with refused(400, "model_not_found", "moderation.model"):
        ask(client, moderation={"model": "gpt-9"})
    assert upstream.requests == []


def test_a_compaction_has_no_place_for_it(client: OpenAI, upstream: Upstream) -> None:
    with refused(400, "unsupported_parameter", "moderation"):
        client.responses.compact(model="m", input="Hi", extra_body={"moderation": {"model": OMNI}})


def test_a_model_of_a_backend_judges_responses(upstream: Upstream, tmp_path: Path) -> None:
    upstream.on(lambda body: body["model"] == "judge", Answer(scores(hate=0.9)))
    config = replace(config_for(upstream, tmp_path), moderation=Moderation(judge="judge"))
    with (
        Running(config) as running,
        checked_client(running.url) as client,
        refused(400, "invalid_prompt", "input"),
    ):
        ask(client, "Hi", BLOCKS_INPUT)
    assert [request.body["model"] for request in upstream.requests] == ["judge"]


def test_where_nothing_judges_it_says_which_setting_helps(server: Running, upstream: Upstream) -> None:
    with checked_client(server.url) as client, refused(400, "unsupported_parameter", "moderation") as raised:
        ask(client)
    assert "base_url or judge of [moderation]" in raised.message
    assert upstream.requests == []
