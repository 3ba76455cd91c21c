"""What was sent to upstreams for a response, and what came back: byte for byte, bounded, without secrets."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from msgspec.structs import replace
from tests import messages_script, responses_script
from tests.api.asking import ADD
from tests.api.test_activity import activity
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.moderators import ServedModerator
from tests.papers import png
from tests.scripted import Answer, Called, Gate, Upstream, refusal
from tests.tools.mcp_servers import Toolset, served

from antiphon.api.recording_setup import sweeps_of
from antiphon.config import BackendSettings, Config, Dashboard, Moderation, Outbound, Project
from antiphon.engine.recorded import KEPT_BYTES
from antiphon.store.open import open_store
from antiphon.store.recordings import Recording

HELLO = Answer("Hello")
CALL = Answer(calls=[Called("add", '{"a": 1, "b": 2}')])
SSE = [
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % word
    for word in (b"one", b" two", b" three", b" \\u00e9", b" four")
]
END = [
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b": a comment\n\ndata: [DONE]\n\n",
]


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    return config_for(upstream, tmp_path)


class Found(NamedTuple):
    recording: Recording
    request: bytes | None
    answer: bytes | None


def recorded(config: Config, response_id: str | None = None) -> Sequence[Found]:
    """Those of a response, or of the last one, of a server that has stopped."""
    if response_id is None:
        response_id = activity(Path(config.data_dir))[0].response_id

    async def read() -> Sequence[Found]:
        store = await open_store(config.store_url)
        try:
            found = []
            for entry in await store.recordings.of("default", response_id):
                bodies = await store.recordings.bodies("default", response_id, entry.key)
                both = (None, None) if bodies is None else (bodies.request, bodies.answer)
                found.append(Found(entry.recording, *both))
            return found
        finally:
            await store.close()

    return asyncio.run(read())


def ask(config: Config, **request: Any) -> None:
    """A response by a server of its own, whatever becomes of it."""
    with Running(config) as running, httpx2.Client(base_url=running.url, timeout=30) as http:
        http.post("/v1/responses", json={"model": "m", "input": "Hi", **request})


@pytest.mark.parametrize("text_runs", [True, False])
def test_the_request_and_the_stream_are_kept_byte_for_byte(
    upstream: Upstream, config: Config, text_runs: bool
) -> None:
    upstream.script(Answer(raw=SSE + END, content_type="text/event-stream"))
    backend = replace(config.backends["upstream"], text_runs=text_runs)

    ask(replace(config, backends={"upstream": backend}), stream=True, instructions="Be é")

    (found,) = recorded(config)
    assert found.answer == b"".join(SSE + END)
    assert found.request is not None
    assert json.loads(found.request) == upstream.last.body
    assert found.recording.request_bytes == len(found.request)
    assert found.recording.answer_bytes == len(found.answer)
    assert (found.recording.backend, found.recording.method, found.recording.turn) == ("upstream", "POST", 1)
    assert found.recording.url == f"{upstream.base_url}/chat/completions"
    assert (found.recording.status, found.recording.content_type, found.recording.error) == (
        200,
        "text/event-stream",
        None,
    )
    assert found.recording.first_milliseconds is not None
    assert 0 <= found.recording.first_milliseconds <= found.recording.milliseconds


def test_an_answer_in_one_piece_is_kept_as_it_came(upstream: Upstream, config: Config) -> None:
    upstream.script(Answer("Hello", plain=True))

    ask(config)

    (found,) = recorded(config)
    assert found.answer is not None
    assert json.loads(found.answer)["choices"][0]["message"]["content"] == "Hello"
    assert found.recording.content_type == "application/json"


def test_every_attempt_is_there_with_its_refusal(upstream: Upstream, config: Config) -> None:
    upstream.script(refusal(503, "Loading", retry_after="0"), HELLO)

    ask(config)

    first, second = recorded(config)
    assert (first.recording.status, second.recording.status) == (503, 200)
    assert first.answer is not None
    assert b"Loading" in first.answer
    assert first.request == second.request
    assert first.recording.started_at <= second.recording.started_at


def test_a_response_that_its_upstream_refuses_is_recorded_too(upstream: Upstream, config: Config) -> None:
    upstream.script(refusal(400, "No such thing"))

    ask(config)

    (found,) = recorded(config)
    assert found.recording.status == 400
    assert found.answer is not None
    assert b"No such thing" in found.answer


def test_a_fallback_is_recorded_under_its_own_name(upstream: Upstream, config: Config) -> None:
    away = BackendSettings(base_url="http://127.0.0.1:9/v1", default=True, fallbacks=["upstream"])
    there = replace(config.backends["upstream"], default=False, models=["other"])
    upstream.script(HELLO)

    ask(replace(config, backends={"away": away, "upstream": there}))

    *failed, found = recorded(config)
    assert {(each.recording.backend, each.recording.status) for each in failed} == {("away", None)}
    assert all(each.recording.error and each.request for each in failed)
    assert (found.recording.backend, found.recording.status) == ("upstream", 200)


def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(upstream: Upstream, config: Config) -> None:
    upstream.script(Answer("one two three", size=4, cut_after=2))

    ask(config, stream=True)

    (found,) = recorded(config)
    assert found.recording.error is not None
    assert found.answer is not None
    assert b"one" in found.answer


def test_who_goes_away_leaves_what_came_until_then(upstream: Upstream, config: Config) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("one two three", size=4, gate=gate))
    with Running(config) as running, httpx2.Client(base_url=running.url, timeout=30) as http:
        with http.stream("POST", "/v1/responses", json={"model": "m", "input": "Hi", "stream": True}) as it:
            next(line for line in it.iter_lines() if "output_text.delta" in line)
        upstream.last.wait_gone()
        gate.open()

    (found,) = recorded(config)
    assert found.recording.error == "The answer was not read to its end."
    assert found.answer is not None
    assert b"one" in found.answer


def test_turns_are_counted_and_items_are_timed(upstream: Upstream, config: Config) -> None:
    upstream.script(CALL)

    ask(config, tools=[ADD])

    (found,) = recorded(config)
    (mark,) = found.recording.marks
    assert (mark.what, mark.name) == ("item", "function_call")
    assert mark.milliseconds is not None
    assert found.recording.started_at <= mark.at


def test_a_response_in_the_background_is_recorded(upstream: Upstream, config: Config) -> None:
    upstream.script(HELLO)
    with Running(config) as running, checked_client(running.url) as client:
        response = ended(client, begin(client).id)

    (found,) = recorded(config, response.id)
    assert (found.recording.turn, found.recording.status) == (1, 200)
    assert found.answer


@pytest.mark.parametrize("script", [messages_script, responses_script])
@pytest.mark.parametrize("stream", [False, True])
def test_other_kinds_of_upstreams_are_recorded_as_well(
    upstream: Upstream, tmp_path: Path, script: Any, stream: bool
) -> None:
    config = script.config(upstream, str(tmp_path))
    (backend,) = config.backends
    said = script.answer(script.text("Hello there", size=3))
    upstream.script(said)

    ask(config, stream=stream)

    (found,) = recorded(config)
    assert (found.recording.backend, found.recording.status) == (backend, 200)
    assert found.recording.error is None
    assert found.answer == b"".join(said.raw)
    assert found.request is not None
    assert json.loads(found.request) == upstream.last.body


def test_what_one_server_began_and_another_ended_is_recorded_by_both(
    upstream: Upstream, config: Config
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("one two three", size=4, gate=gate), Answer("four"))
    with Running(config) as running, checked_client(running.url) as client:
        response = begin(client)
        gate.wait_reached()
    gate.open()
    with Running(config) as running, checked_client(running.url) as client:
        assert ended(client, response.id).status == "completed"

    first, second = recorded(config, response.id)
    assert first.recording.error is not None
    assert second.recording.error is None
    assert second.answer is not None
    assert b"four" in second.answer


# ---- what is not kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_of_a_response_that_is_not_stored_no_content_is_kept(
    upstream: Upstream, config: Config, stream: bool
) -> None:
    upstream.script(Answer("a whisper"))

    ask(config, input="a murmur", store=False, stream=stream)

    (found,) = recorded(config)
    assert (found.request, found.answer, found.recording.status) == (None, None, 200)
    assert found.recording.request_bytes > 0 < found.recording.answer_bytes
    for file in Path(config.data_dir).glob("antiphon.db*"):
        content = file.read_bytes()
        assert b"a murmur" not in content
        assert b"a whisper" not in content


def test_a_project_can_wish_that_nothing_is_kept(upstream: Upstream, config: Config) -> None:
    upstream.script(HELLO, HELLO)
    silent = replace(config, projects={"default": Project(record=False), "other": Project()})
    ask(config)
    before = activity(Path(config.data_dir))[0].response_id
    assert len(recorded(config)) == 1

    ask(silent)
    assert recorded(config) == []

    async def sweep() -> None:
        store = await open_store(config.store_url)
        for each in sweeps_of(silent, store):
            await each()
        await store.close()

    asyncio.run(sweep())
    assert recorded(config, before) == []


def test_only_what_went_wrong_is_kept_where_that_is_wanted(upstream: Upstream, config: Config) -> None:
    config = replace(config, dashboard=Dashboard(record="errors"))
    upstream.script(HELLO)
    ask(config)
    assert recorded(config) == []

    upstream.script(refusal(400, "No such thing"))
    ask(config)
    upstream.script(refusal(503, "Loading", retry_after="0"), HELLO)
    with Running(config) as running, checked_client(running.url) as client:
        mended = client.responses.create(model="m", input="Hi")

    assert [each.recording.status for each in recorded(config, mended.id)] == [503, 200]
    assert [
        each.recording.status for each in recorded(config, activity(Path(config.data_dir))[1].response_id)
    ] == [400]


def test_that_a_client_went_away_is_nothing_that_went_wrong(upstream: Upstream, config: Config) -> None:
    config = replace(config, dashboard=Dashboard(record="errors"))
    gate = Gate(after=2)
    upstream.script(Answer("one two three", size=4, gate=gate))
    with Running(config) as running, httpx2.Client(base_url=running.url, timeout=30) as http:
        with http.stream("POST", "/v1/responses", json={"model": "m", "input": "Hi", "stream": True}) as it:
            next(line for line in it.iter_lines() if "output_text.delta" in line)
        upstream.last.wait_gone()
        gate.open()

    assert recorded(config) == []


def test_nothing_is_kept_where_it_is_switched_off(upstream: Upstream, config: Config) -> None:
    config = replace(config, dashboard=Dashboard(record="off"))
    upstream.script(refusal(400, "No such thing"))

    ask(config)

    assert recorded(config) == []


def test_a_server_for_others_keeps_errors_alone_unless_it_is_told_to(config: Config) -> None:
    everywhere = replace(config.server, host="0.0.0.0")

    assert config.dashboard.records(config.server) == "all"
    assert config.dashboard.records(everywhere) == "errors"
    assert Dashboard(record="all").records(everywhere) == "all"


def test_who_is_deleted_takes_along_what_was_sent(upstream: Upstream, config: Config) -> None:
    upstream.script(HELLO, HELLO)
    with Running(config) as running, checked_client(running.url) as client:
        first = client.responses.create(model="m", input="Hi")
        second = client.responses.create(model="m", input="Hi")
        client.responses.delete(first.id)

    assert recorded(config, first.id) == []
    assert len(recorded(config, second.id)) == 1


def test_who_is_deleted_while_it_is_made_is_not_recorded(upstream: Upstream, config: Config) -> None:
    gate = Gate(after=1)
    upstream.script(Answer("one two three", size=4, gate=gate))
    with Running(config) as running, checked_client(running.url) as client:
        response = begin(client)
        gate.wait_reached()
        client.responses.delete(response.id)
        gate.open()

    assert recorded(config, response.id) == []


def test_of_an_output_that_was_blocked_no_content_is_kept(upstream: Upstream, config: Config) -> None:
    upstream.script(Answer("You idiot"), Answer("You friend"))
    policy = {"model": "omni-moderation-latest", "policy": {"output": {"mode": "block"}}}
    with ServedModerator({"idiot": "harassment"}) as moderator:
        judged = replace(config, moderation=Moderation(base_url=f"{moderator.url}/v1", model="m1"))
        with Running(judged) as running, checked_client(running.url) as client:
            blocked, passed = (
                client.responses.create(model="m", input="Hi", extra_body={"moderation": policy})
                for _ in range(2)
            )
    assert (blocked.status, passed.status) == ("incomplete", "completed")

    assert [(each.request, each.answer) for each in recorded(config, blocked.id)] == [(None, None)] * 3
    assert any(each.answer and b"You friend" in each.answer for each in recorded(config, passed.id))


# ---- secrets and bounds -----------------------------------------------------------------------------


def test_no_key_is_recorded_though_the_server_repeats_it(
    upstream: Upstream, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    backend = replace(config.backends["upstream"], api_key_env="THE_KEY")
    upstream.script(refusal(401, "Incorrect API key provided: sk-very-secret"))

    ask(replace(config, backends={"upstream": backend}))

    (found,) = recorded(config)
    assert upstream.last.headers["Authorization"] == "Bearer sk-very-secret"
    assert b"sk-very-secret" not in repr(found).encode()
    assert found.answer is not None
    assert b"API key provided: ***" in found.answer


def test_credentials_of_a_url_are_not_recorded_in_the_form_of_a_header_either(
    upstream: Upstream, config: Config
) -> None:
    address = upstream.base_url.replace("http://", "http://me:hidden-word@")
    sent = base64.b64encode(b"me:hidden-word").decode()
    upstream.script(refusal(401, f"Basic {sent} is hidden-word"))

    ask(replace(config, backends={"upstream": replace(config.backends["upstream"], base_url=address)}))

    (found,) = recorded(config)
    assert upstream.last.headers["Authorization"] == f"Basic {sent}"
    assert found.answer is not None
    assert b"Basic *** is ***" in found.answer


def test_urls_are_kept_without_what_may_be_secret_in_them(upstream: Upstream, config: Config) -> None:
    address = upstream.base_url.replace("http://", "http://me:hidden-word@") + "?token=hidden-word"
    backend = replace(config.backends["upstream"], base_url=address)
    upstream.script(HELLO)

    ask(replace(config, backends={"upstream": backend}))

    (found,) = recorded(config)
    assert "hidden-word" not in repr(found)
    assert found.recording.url.startswith(f"{upstream.base_url}/chat/completions")


def test_pictures_are_left_out_and_the_words_behind_them_are_not(upstream: Upstream, config: Config) -> None:
    picture = base64.b64encode(png() + bytes(3_000_000)).decode()
    content = [
        {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"},
        {"type": "input_text", "text": "What is this?"},
    ]
    upstream.script(HELLO)

    ask(config, input=[{"role": "user", "content": content}])

    (found,) = recorded(config)
    assert found.request is not None
    assert found.recording.request_bytes > len(picture) > len(found.request)
    assert b"characters of base64 are left out]" in found.request
    assert b"What is this?" in found.request
    json.loads(found.request)


def test_an_answer_that_is_very_long_is_cut_and_says_so(upstream: Upstream, config: Config) -> None:
    words = "some words " * (KEPT_BYTES // 10)
    upstream.script(Answer(words, size=2**16))

    ask(config, stream=True)

    (found,) = recorded(config)
    assert found.answer is not None
    assert len(found.answer) == KEPT_BYTES < found.recording.answer_bytes
    assert found.answer.startswith(b"data: ")


def test_recordings_over_their_bytes_give_way_to_newer_ones(upstream: Upstream, config: Config) -> None:
    config = replace(config, dashboard=Dashboard(record="all", record_bytes=3_000))
    upstream.script(*[HELLO] * 6)
    with Running(config) as running, checked_client(running.url) as client:
        made = [client.responses.create(model="m", input="Hi").id for _ in range(6)]

    kept = [bool(recorded(config, each)) for each in made]
    assert kept == sorted(kept)
    assert kept[-1]
    assert not kept[0]


def test_words_that_are_no_secrets_though_they_stand_for_a_key_are_kept(
    upstream: Upstream, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "none")
    backend = replace(config.backends["upstream"], api_key_env="THE_KEY")
    upstream.script(Answer("There is none."))

    ask(replace(config, backends={"upstream": backend}))

    (found,) = recorded(config)
    assert found.answer is not None
    assert b"There is none." in found.answer


def test_calls_that_the_server_runs_are_timed(upstream: Upstream, config: Config) -> None:
    config = replace(config, outbound=Outbound(allow_private=True))
    calls = [Called("wiki__add", '{"a": 1, "b": 2}'), Called("wiki__fail")]
    upstream.script(Answer(calls=calls), Answer("Three."))
    with served(Toolset().server()) as mcp:
        tool = {
            "type": "mcp",
            "server_label": "wiki",
            "server_url": f"{mcp.url}/mcp",
            "require_approval": "never",
        }
        ask(config, tools=[tool])

    first, second = recorded(config)
    assert (first.recording.turn, second.recording.turn) == (1, 2)
    assert first.recording.marks == ()
    ran = {mark.name: mark.outcome for mark in second.recording.marks if mark.what == "tool"}
    assert ran == {"wiki__add": "completed", "wiki__fail": "failed"}
    assert all(mark.milliseconds is not None for mark in second.recording.marks)
    assert [mark.at for mark in second.recording.marks] == sorted(mark.at for mark in second.recording.marks)
    assert [mark.name for mark in second.recording.marks if mark.what == "item"] == [
        "mcp_list_tools",
        "mcp_call",
        "mcp_call",
        "message",
    ]
