"""What is nested so deeply that it can be read, and hardly be written again."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests import messages_script, responses_script
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream
from websockets.sync.client import ClientConnection, connect

from antiphon.config import BackendSettings

TYPES: Any = ("chat_completions", "anthropic", "responses")
DEEP = [200, 255, 400, *range(964, 980, 2)]
ANSWERS = {
    "chat_completions": Answer("Hi"),
    "anthropic": messages_script.answer(messages_script.text("Hi")),
    "responses": responses_script.answer(responses_script.text("Hi")),
}


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A backend of each type, by its name."""
    config = config_for(_upstream, tmp_path_factory.mktemp("nesting"))
    backends = {
        kind: BackendSettings(type=kind, base_url=_upstream.base_url, models=[kind]) for kind in TYPES
    }
    with Running(replace(config, backends=backends)) as running:
        yield running


def nested(levels: int, inner: str = "{}") -> str:
    return '{"a":' * levels + inner + "}" * levels


def tool(levels: int) -> str:
    properties = f'{{"type":"object","properties":{nested(levels)}}}'
    return f'"input":"Hi","tools":[{{"type":"function","name":"f","strict":false,"parameters":{properties}}}]'


def schema(levels: int) -> str:
    form = f'{{"type":"json_schema","name":"f","schema":{nested(levels)}}}'
    return f'"input":"Hi","text":{{"format":{form}}}'


def arguments(levels: int) -> str:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": nested(levels, "1")}
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    return f'"input":{json.dumps([{"role": "user", "content": "Hi"}, call, output])}'


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [tool, schema, arguments])
def test_a_request_is_answered_or_refused(running: Running, upstream: Upstream, kind: str, body: Any) -> None:
    upstream.default, upstream.lenient = ANSWERS[kind], True
    with httpx2.Client(base_url=running.url, headers={"content-type": "application/json"}) as http:
        for levels in DEEP:
            content = f'{{"model":"{kind}","store":false,{body(levels)}}}'
            answer = http.post("/v1/responses", content=content)
            assert answer.status_code in (200, 400), (levels, answer.text[:300])
            assert answer.status_code == 200 or levels > 128 or body is schema


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [tool, schema, arguments])
def test_so_is_a_frame_and_its_connection_stays(
    running: Running, upstream: Upstream, kind: str, body: Any
) -> None:
    upstream.default, upstream.lenient = ANSWERS[kind], True
    with connect(running.url.replace("http", "ws") + "/v1/responses") as socket:
        for levels in DEEP:
            socket.send(f'{{"type":"response.create","model":"{kind}","store":false,{body(levels)}}}')
            assert ended(socket) in (200, 400), levels
        socket.send(f'{{"type":"response.create","model":"{kind}","store":false,"input":"Hi"}}')
        assert ended(socket) == 200


@pytest.mark.parametrize("target", ["response.steer", "response.inject"])
def test_what_is_said_to_a_response_ends_no_connection(
    running: Running, upstream: Upstream, target: str
) -> None:
    name = {"response.steer": "previous_response_id", "response.inject": "response_id"}[target]
    with connect(running.url.replace("http", "ws") + "/v1/responses") as socket:
        for deep in [*map(nested, (*DEEP, *range(980, 1030))), '"\\ud800"', "\ud800", "{"]:
            for members in (f'"{name}":"resp_x","input":{deep}', f'"{name}":{deep},"input":"Hi"'):
                socket.send(f'{{"type":"{target}",{members}}}'.encode(errors="surrogatepass"))
                assert json.loads(socket.recv(timeout=60))["error"]["message"], deep


def ended(socket: ClientConnection) -> int:
    """The status of the next answer, when all of it has come."""
    while (event := json.loads(socket.recv(timeout=60)))["type"] not in ("response.completed", "error"):
        pass
    return event.get("status", 200)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [tool, schema, arguments])
def test_so_is_what_is_counted(running: Running, upstream: Upstream, kind: str, body: Any) -> None:
    upstream.lenient, upstream.tokenizer = True, "messages"
    for levels in DEEP:
        content = f'{{"model":"{kind}",{body(levels)}}}'
        answer = httpx2.post(
            f"{running.url}/v1/responses/input_tokens",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code in (200, 400), (levels, answer.text[:300])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("levels", [*DEEP, 100_000])
def test_an_answer_is_one_or_a_fault_of_the_server(
    running: Running, upstream: Upstream, kind: str, levels: int
) -> None:
    """An event, a whole answer, and the words of a refusal."""
    deep = nested(levels).encode()
    for raw in ([b"data: " + deep + b"\n\n"], [b"event: error\ndata: " + deep + b"\n\n"], [deep]):
        upstream.reset()
        upstream.default = Answer(raw=raw)
        assert (
            httpx2.post(f"{running.url}/v1/responses", json={"model": kind, "input": "Hi"}).status_code == 502
        )
    upstream.default = Answer(status=400, error=deep.decode())
    assert httpx2.post(f"{running.url}/v1/responses", json={"model": kind, "input": "Hi"}).status_code == 400
