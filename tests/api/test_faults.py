"""What goes wrong: requests that are no requests, clients that leave, upstreams that fail. Every one of them
has a clear end, nothing of it is lost, and nobody is told what is not theirs to know."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import uvloop
from msgspec import structs
from openai import OpenAI
from structlog.testing import capture_logs
from tests.api.asking import (
    ADD,
    JSON_TYPE,
    Json,
    Like,
    events_of,
    fault,
    message,
    refused,
    response,
    whole,
    wholes,
)
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.ports import Port
from tests.scripted import Answer, Called, Gate, Upstream, refusal
from tests.served import Served

from antiphon.api.app import create_app
from antiphon.api.protocol import HttpProtocol
from antiphon.config import BackendSettings, Config, Limits, Server, hash_key

ASKED = {"model": "m", "input": "Hi"}
SECRET = "sk-upstream-0123456789abcdef"


# ---- requests that are none -------------------------------------------------------------------------


@covers("error.invalid_json")
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/conversations"])
@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b'{"model": "m",}', b"\xff\xfe", b"{}{}", b"model=m&input=x", b"[", b"\x00"]
)
def test_what_is_not_json_is_refused(http: httpx2.Client, path: str, body: bytes) -> None:
    assert fault(http.post(path, content=body, headers=JSON_TYPE)) == (
        400,
        "invalid_request_error",
        None,
        None,
    )


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/conversations"])
@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null", b"true"])
def test_what_is_no_object_is_refused(http: httpx2.Client, path: str, body: bytes) -> None:
    assert fault(http.post(path, content=body, headers=JSON_TYPE)) == (
        400,
        "invalid_request_error",
        None,
        None,
    )


def test_an_empty_body_is_no_response_to_make(http: httpx2.Client) -> None:
    assert fault(http.post("/v1/responses")) == (400, "invalid_request_error", None, None)


@covers("error.unknown_url")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/bogus",
        "/responses",
        "/v1/responses/",
        "/v1/responses/a/b",
    ],
)
def test_an_unknown_url_is_not_found(http: httpx2.Client, path: str) -> None:
    told = http.get(path)

    assert fault(told) == (404, "invalid_request_error", "unknown_url", None)
    assert "This server serves /v1/responses" in told.json()["error"]["message"]


def test_an_endpoint_of_the_api_that_is_not_here_names_what_is(http: httpx2.Client) -> None:
    told = http.get("/v1/audio/speech")

    assert fault(told) == (404, "invalid_request_error", "unknown_url", None)
    assert "input_audio at /v1/responses" in told.json()["error"]["message"]


@covers("error.method_not_allowed")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/responses"),
        ("DELETE", "/v1/responses"),
        ("PATCH", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/conversations"),
        ("PUT", "/v1/conversations/conv_1"),
        ("POST", "/v1/models"),
        ("POST", "/healthz"),
        ("POST", "/health"),
        ("GET", "/v1/chat/completions"),
    ],
)
def test_a_wrong_method_is_refused(http: httpx2.Client, method: str, path: str) -> None:
    told = http.request(method, path)

    assert fault(told) == (405, "invalid_request_error", "method_not_allowed", None)


@pytest.fixture
def small(upstream: Upstream, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A server that takes bodies of 2,000 bytes."""
    config = config_for(upstream, tmp_path, Server(verify=True, max_body_bytes=2000))
    with Running(config) as running, httpx2.Client(base_url=running.url) as http:
        yield http


@covers("error.request_too_large")
def test_a_huge_body_is_refused(small: httpx2.Client, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    body = json.dumps({**ASKED, "input": "x" * 3000}).encode()

    def in_chunks() -> Iterator[bytes]:
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    too_large = (413, "invalid_request_error", "request_too_large", None)
    for path in ("/v1/responses", "/v1/conversations", "/v1/conversations/conv_1/items"):
        assert fault(small.post(path, content=body, headers=JSON_TYPE)) == too_large
        assert fault(small.post(path, content=in_chunks(), headers=JSON_TYPE)) == too_large
    assert small.post("/v1/responses", json=ASKED).status_code == 200


def test_a_huge_body_in_one_piece_that_does_not_say_its_length_is_refused(small: httpx2.Client) -> None:
    url, body = small.base_url, json.dumps({**ASKED, "input": "x" * 3000}).encode()
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_lies_about_its_length_is_refused_unread(small: httpx2.Client) -> None:
    url = small.base_url
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


HUGE = "x" * 300_000


@pytest.mark.parametrize(
    "body",
    [
        ASKED | {"tools": [{"type": "function", "name": "f", "parameters": {"type": HUGE}, "strict": True}]},
        ASKED
        | {"tools": [{"type": "function", "name": "f", "strict": True, "parameters": {"required": [HUGE]}}]},
        ASKED | {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": HUGE}}}},
        ASKED | {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"$ref": f"#/{HUGE}"}}}},
        ASKED | {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"pattern": f"[{HUGE}"}}}},
        ASKED
        | {
            "tools": [
                {
                    "type": "custom",
                    "name": "f",
                    "format": {"type": "grammar", "syntax": "regex", "definition": f"({HUGE}"},
                }
            ]
        },
        ASKED | {"previous_response_id": f"resp_{HUGE}"},
        ASKED | {"model": HUGE},
        ASKED | {HUGE: 1},
        ASKED | {"input": [{"type": "item_reference", "id": f"msg_{HUGE}"}]},
        ASKED | {"input": [{"role": HUGE, "content": "x"}]},
        ASKED | {"tool_choice": {"type": "function", "name": HUGE}},
        ASKED | {"include": [HUGE]},
        ASKED | {"prompt": {"id": f"pmpt_{HUGE}"}},
        ASKED | {"conversation": f"conv_{HUGE}"},
        ASKED | {"tools": [{"type": "mcp", "server_label": HUGE}]},
    ],
    ids=lambda body: str(body)[32:100],
)
def test_an_error_repeats_little_of_what_was_sent(http: httpx2.Client, body: Json) -> None:
    told = http.post("/v1/responses", json=body)

    if told.status_code != 200:
        assert len(told.content) < 12_000


# ---- who is asking ----------------------------------------------------------------------------------

KEYS = {"one": "sk-one-secret", "two": "sk-two-secret"}


@pytest.fixture
def guarded(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server with two projects."""
    keys = {project: hash_key(key) for project, key in KEYS.items()}
    with Running(config_for(upstream, tmp_path, Server(verify=True, keys=keys))) as running:
        yield running


@covers("error.invalid_api_key")
@pytest.mark.parametrize(
    "key",
    [
        "",
        "Bearer",
        "Bearer sk-wrong-0123456789",
        "Bearer sk-one-secre",
        f"Bearer {hash_key('sk-one-secret')}",
        "Basic sk-one-secret",
        "sk-one-secret",
    ],
)
def test_a_wrong_key_is_refused_everywhere(guarded: Running, key: str) -> None:
    with httpx2.Client(base_url=guarded.url) as http:
        for method, path in (
            ("POST", "/v1/responses"),
            ("GET", "/v1/responses/resp_1"),
            ("GET", "/v1/models"),
            ("GET", "/v1/bogus"),
        ):
            told = http.request(method, path, headers={"authorization": key} if key else {})
            assert fault(told) == (401, "invalid_request_error", "invalid_api_key", None)
            assert "secre" not in told.text
            assert "0123456789" not in told.text


def test_health_needs_no_key(guarded: Running) -> None:
    assert httpx2.get(f"{guarded.url}/healthz").status_code == 200
    assert httpx2.get(f"{guarded.url}/health").status_code == 200


def test_metrics_need_a_key_where_there_are_any(guarded: Running) -> None:
    told = httpx2.get(f"{guarded.url}/metrics")
    assert fault(told) == (401, "invalid_request_error", "invalid_api_key", None)

    told = httpx2.get(f"{guarded.url}/metrics", headers={"authorization": f"Bearer {KEYS['two']}"})
    assert told.status_code == 200
    assert "antiphon_http_requests" in told.text


def test_the_scheme_of_a_key_may_be_spelt_in_any_case(guarded: Running) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        told = httpx2.get(f"{guarded.url}/v1/models", headers={"authorization": f"{scheme} {KEYS['one']}"})
        assert told.status_code == 200


def test_a_project_sees_nothing_of_another(guarded: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello", reasoning="Hm")
    with checked_client(guarded.url, KEYS["one"]) as one, checked_client(guarded.url, KEYS["two"]) as two:
        mine = one.responses.create(model="m", input="Hi")
        sealed = one.responses.create(**ASKED, store=False, include=["reasoning.encrypted_content"])  # type: ignore[call-overload]
        conv = one.conversations.create(items=[{"role": "user", "content": "Yo"}])
        (item,) = one.conversations.items.list(conv.id).data

        with refused(404, None, "id"):
            two.responses.retrieve(mine.id)
        with refused(404, None, "id"):
            two.responses.delete(mine.id)
        with refused(404, None, "id"):
            two.responses.input_items.list(mine.id)
        with refused(400, "previous_response_not_found", "previous_response_id"):
            two.responses.create(model="m", input="Hi", previous_response_id=mine.id)
        with refused(404, None, "input"):
            two.responses.create(model="m", input=[{"type": "item_reference", "id": mine.output[1].id}])
        with refused(400, "invalid_encrypted_content", "input"):
            thought = {k: v for k, v in whole(sealed.output[0]).items() if k != "content"}
            two.responses.create(model="m", input=[thought, {"role": "user", "content": "Hi"}])  # type: ignore[list-item]
        for use in (two.conversations.retrieve, two.conversations.delete, two.conversations.items.list):
            with refused(404):
                use(conv.id)
        with refused(404):
            two.conversations.items.retrieve(item.id or "", conversation_id=conv.id)
        with refused(404):
            two.responses.create(model="m", input="Hi", conversation=conv.id)

        assert whole(one.responses.retrieve(mine.id)) == whole(mine)
        assert wholes(one.conversations.items.list(conv.id)) == [whole(item)]


# ---- upstreams that fail ----------------------------------------------------------------------------

REFUSALS: dict[str, tuple[Answer, int, str, str | None, str | None]] = {
    "it does not understand": (refusal(400, "Bad tool."), 400, "invalid_request_error", None, None),
    "our key is wrong": (refusal(401, f"Wrong key {SECRET}"), 502, "server_error", None, None),
    "our key is not enough": (refusal(403, "No."), 502, "server_error", None, None),
    "the model is unknown": (
        refusal(404, "The model `m` does not exist.", "model_not_found"),
        404,
        "invalid_request_error",
        "model_not_found",
        "model",
    ),
    "it is somewhere else": (
        Answer(status=404, error="404 page not found", content_type="text/plain"),
        502,
        "server_error",
        None,
        None,
    ),
    "it is too much": (refusal(429, "Slow down."), 429, "rate_limit_error", "rate_limit_exceeded", None),
    "it is not paid": (
        refusal(429, "Pay.", "insufficient_quota"),
        429,
        "rate_limit_error",
        "insufficient_quota",
        None,
    ),
    "it has crashed": (refusal(500, "Out of memory"), 502, "server_error", None, None),
    "it is a web page": (Answer(status=503, error="<html>Bad</html>"), 502, "server_error", None, None),
    "it is a page of success": (
        Answer(raw=[b"<html>Hello</html>"], content_type="text/html"),
        502,
        "server_error",
        None,
        None,
    ),
    "it is too long": (
        refusal(400, "This model's maximum context length is 10 tokens.", "context_length_exceeded"),
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "input",
    ),
    "its policy forbids it": (
        refusal(400, "The response was filtered.", "content_filter"),
        400,
        "invalid_request_error",
        "invalid_prompt",
        "input",
    ),
    "its policy forbids a picture": (
        refusal(403, "The image is not allowed.", "image_content_policy_violation"),
        400,
        "invalid_request_error",
        "image_content_policy_violation",
        "input",
    ),
    "it talks nonsense": (Answer(raw=[b"data: nonsense\n\n"]), 502, "server_error", None, None),
    "it talks of nothing": (Answer(raw=[b"data: {}\n\n"]), 502, "server_error", None, None),
    "it says nothing": (Answer(raw=[]), 502, "server_error", None, None),
    "it hangs up": (Answer("Hello", cut_after=0), 502, "server_error", None, None),
}


@covers(
    "error.upstream_failed",
    "error.rate_limit_exceeded",
    "error.insufficient_quota",
    "error.context_length_exceeded",
    "error.model_not_found",
)
@pytest.mark.parametrize(("answer", "status", "kind", "code", "param"), REFUSALS.values(), ids=REFUSALS)
def test_an_upstream_that_refuses_is_reported_as_an_error(
    client: OpenAI,
    upstream: Upstream,
    answer: Answer,
    status: int,
    kind: str,
    code: str | None,
    param: str | None,
) -> None:
    upstream.script(answer)

    with refused(status, code, param, kind):
        client.responses.create(model="m", input="Hi")


AT_ONCE = {name: row for name, row in REFUSALS.items() if row[0].status != 200}


@pytest.mark.parametrize(("answer", "status", "kind", "code", "param"), AT_ONCE.values(), ids=AT_ONCE)
def test_an_upstream_that_refuses_a_stream_at_once_is_reported_as_an_error(
    client: OpenAI,
    upstream: Upstream,
    answer: Answer,
    status: int,
    kind: str,
    code: str | None,
    param: str | None,
) -> None:
    upstream.script(answer)

    with refused(status, code, param, kind):
        client.responses.create(model="m", input="Hi", stream=True)


LATE = {
    "it is too much": "rate_limit_exceeded",
    "it has crashed": "server_error",
    "it is too long": "context_length_exceeded",
    "its policy forbids it": "invalid_prompt",
    "its policy forbids a picture": "image_content_policy_violation",
    "it talks nonsense": "server_error",
    "it says nothing": "server_error",
    "it hangs up": "server_error",
}


@covers(
    "failure.rate_limit_exceeded",
    "failure.server_error",
    "failure.context_length_exceeded",
    "failure.invalid_prompt",
    "failure.image_content_policy_violation",
    "status.failed",
)
@pytest.mark.parametrize("name", LATE)
def test_an_upstream_that_refuses_late_fails_the_stream(
    server: Running, upstream: Upstream, name: str
) -> None:
    """Past the checks of the transport: the SDK's type does not know the code context_length_exceeded."""
    gate = Gate(after=0)
    upstream.script(replace(REFUSALS[name][0], gate=gate))
    body = b""

    with httpx2.stream(
        "POST", f"{server.url}/v1/responses", json={**ASKED, "stream": True}, timeout=20
    ) as told:
        for piece in told.iter_bytes():
            body += piece
            gate.open()

    *begun, error, failed = events_of(body)
    assert [event["type"] for event in begun] == ["response.created", "response.in_progress"]
    code = LATE[name]
    flat = {name: error[name] for name in ("code", "message", "param")}
    assert (error["code"], error["error"]) == (code, {"type": Like(".+"), **flat})
    assert failed["response"] == response(
        status="failed",
        completed_at=None,
        usage=None,
        error={"code": code, "message": error["message"]},
    )
    kept = httpx2.get(f"{server.url}/v1/responses/{failed['response']['id']}")
    assert kept.json() == failed["response"]


def test_when_to_come_back_is_passed_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(429, "Slow down.", retry_after="7"), refusal(503, "Soon.", retry_after="9"))

    for status, code, kind, wait in (
        (429, "rate_limit_exceeded", "rate_limit_error", "7"),
        (502, None, "server_error", "9"),
    ):
        with refused(status, code, None, kind) as refusal_:
            client.responses.create(model="m", input="Hi")
        assert refusal_.headers["retry-after"] == wait


def test_the_client_tries_again_when_the_upstream_was_too_busy(server: Running, upstream: Upstream) -> None:
    upstream.script(refusal(429, "Slow down.", retry_after="0"), Answer("Hello"))

    with OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=1) as client:
        assert client.responses.create(model="m", input="Hi").output_text == "Hello"


def always_streamed(config: Config) -> Config:
    """The same, with upstreams that are not asked for answers in one piece."""
    backends = {name: structs.replace(b, dialect="llama_cpp") for name, b in config.backends.items()}
    return structs.replace(config, backends=backends)


@pytest.fixture
def reader(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A client of a server that reads along whatever its upstream says."""
    config = always_streamed(config_for(upstream, tmp_path))
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.mark.parametrize(
    "broken",
    [
        Answer("Hello", size=2, cut_after=3),
        Answer("Hello", size=2, finish=None, done=False),
    ],
    ids=["cut", "ended"],
)
def test_an_answer_that_breaks_off_is_a_failed_response(
    reader: OpenAI, upstream: Upstream, broken: Answer
) -> None:
    upstream.script(broken)

    told = reader.responses.create(model="m", input="Hi")

    assert whole(told) == response(
        *whole(told)["output"],
        status="failed",
        completed_at=None,
        usage=None,
        error={"code": "server_error", "message": Like(".+")},
    )
    assert [item.status for item in told.output] == ["incomplete"]  # type: ignore[union-attr]


def test_a_call_that_breaks_off_is_incomplete(reader: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("I add.", calls=[Called("add", '{"a":1,"b":2}')], size=4, cut_after=6))

    told = reader.responses.create(model="m", input="Hi", tools=[ADD])  # type: ignore[list-item]

    first, second = wholes(told.output)
    assert first == message("I add.")
    assert (second["type"], second["status"]) == ("function_call", "incomplete")
    assert '{"a":1,"b":2}'.startswith(second["arguments"])


def test_an_upstream_that_is_down_is_reported_at_once(tmp_path: Path) -> None:
    port = Port()  # nobody listens there
    down = BackendSettings(base_url=f"http://127.0.0.1:{port.number}/v1", default=True)
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"down": down})
    with Running(config) as running, checked_client(running.url) as client:
        with refused(502, None, None, "server_error") as refusal_:
            client.responses.create(model="m", input="Hi")
        with pytest.raises(openai.APIError, match="cannot be reached"):
            list(client.responses.create(model="m", input="Hi", stream=True))

    assert "cannot be reached" in refusal_.message


def test_a_whole_answer_that_breaks_off_is_refused(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", cut_after=2))

    with refused(502, None, None, "server_error"):
        client.responses.create(model="m", input="Hi")


@pytest.fixture
def hurried(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A server that gives its upstream a second, from one piece of an answer to the next."""
    slow = BackendSettings(base_url=upstream.base_url, default=True, timeout=1)
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"slow": slow})
    with Running(always_streamed(config)) as running, checked_client(running.url) as client:
        yield client


def test_an_upstream_that_is_silent_times_out(hurried: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", gate=Gate(after=0)))

    with refused(504, None, None, "server_error") as refusal_:
        hurried.responses.create(model="m", input="Hi")

    assert "silent for more than 1 seconds" in refusal_.message
    upstream.last.wait_gone()


def test_an_upstream_that_falls_silent_fails_the_response(hurried: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello!", size=3, gate=Gate(after=2)))

    told = hurried.responses.create(model="m", input="Hi")

    assert (told.status, told.output_text) == ("failed", "Hel")
    upstream.last.wait_gone()


def test_a_whole_answer_may_take_longer_but_not_for_ever(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("Hello", gate=Gate()))
    slow = BackendSettings(base_url=upstream.base_url, default=True, timeout=0.2)
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"slow": slow})
    with Running(config) as running, checked_client(running.url) as client:
        with refused(504, None, None, "server_error") as refusal_:
            client.responses.create(model="m", input="Hi")
        upstream.last.wait_gone()

    assert "silent for more than 1.2 seconds" in refusal_.message


@pytest.mark.parametrize("after", [0, 2])
def test_a_response_may_take_only_so_long(upstream: Upstream, tmp_path: Path, after: int) -> None:
    upstream.script(Answer("Hello!", size=3, gate=Gate(after)), Answer("Hello!", size=3, gate=Gate(after)))
    limits = Limits(response_seconds=1)
    config = structs.replace(always_streamed(config_for(upstream, tmp_path)), limits=limits)
    with Running(config) as running, checked_client(running.url) as client:
        if after:
            plain = client.responses.create(model="m", input="Hi")
            assert (plain.status, plain.output_text) == ("failed", "Hel")
        else:
            with refused(504, None, None, "server_error"):
                client.responses.create(model="m", input="Hi")
        with pytest.raises(openai.APIError, match="longer than"):
            list(client.responses.create(model="m", input="Hi", stream=True))
        for received in upstream.requests:
            received.wait_gone()


# ---- servers that stop ------------------------------------------------------------------------------


def test_a_stream_that_a_stopping_server_cuts_says_so(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    app = create_app(config_for(upstream, tmp_path))
    served = Served(
        app, uvloop.run, loop="uvloop", http=HttpProtocol, timeout_graceful_shutdown=1, log_level="critical"
    )
    with (
        served as running,
        httpx2.Client(base_url=running.url, timeout=20) as http,
        http.stream("POST", "/v1/responses", json={**ASKED, "stream": True}) as answer,
    ):
        lines = answer.iter_lines()
        while "output_text.delta" not in next(lines):
            pass
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        data = [line for line in lines if line.startswith("data: ")]
        stopping.join()
    last = json.loads(data[-1].removeprefix("data: "))
    assert last["type"] == "error"
    assert "stopping" in last["message"]
    assert isinstance(last["sequence_number"], int)


# ---- clients that leave -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 2])
def test_a_client_that_leaves_a_stream_stops_the_upstream(
    http: httpx2.Client, upstream: Upstream, after: int
) -> None:
    gate = Gate(after)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    with http.stream("POST", "/v1/responses", json={**ASKED, "stream": True}):
        gate.wait_reached()

    upstream.last.wait_gone()


@pytest.mark.parametrize("after", [0, 2])
def test_a_client_that_leaves_a_plain_answer_stops_the_upstream(
    server: Running, upstream: Upstream, after: int
) -> None:
    gate = Gate(after)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    url, body = httpx2.URL(server.url), json.dumps(ASKED).encode()
    with socket.create_connection((url.host, url.port)) as connection:
        head = (
            "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        gate.wait_reached()

    upstream.last.wait_gone()


def test_a_client_that_leaves_is_no_fault_of_the_server(http: httpx2.Client, upstream: Upstream) -> None:
    gate = Gate(2)
    upstream.script(Answer("Hello!", size=3, gate=gate), Answer("Next"))
    with capture_logs() as logs:
        with http.stream("POST", "/v1/responses", json={**ASKED, "stream": True}):
            gate.wait_reached()
        upstream.last.wait_gone()
        http.post("/v1/responses", json=ASKED)

    assert logs == []


# ---- what every answer has, and what none has -------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/responses", ASKED),
        ("POST", "/v1/responses", {**ASKED, "stream": True}),
        ("POST", "/v1/responses", {}),
        ("POST", "/v1/conversations", {}),
        ("GET", "/v1/models", None),
        ("GET", "/v1/bogus", None),
        ("PUT", "/v1/responses", None),
        ("GET", "/healthz", None),
    ],
)
def test_every_answer_carries_the_headers_of_the_real_api(
    http: httpx2.Client, upstream: Upstream, method: str, path: str, body: Json | None
) -> None:
    upstream.script(Answer("Hello"))

    told = http.request(method, path, json=body)

    names = ("x-request-id", "openai-processing-ms", "openai-version")
    assert [told.headers.get(name) for name in names] == [
        Like("req_[0-9a-f]{32}"),
        Like("[0-9]+"),
        "2020-10-01",
    ]


def test_the_request_id_reaches_the_caller(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    told = client.responses.create(model="m", input="Hi")

    assert told._request_id == Like("req_[0-9a-f]{32}")


@pytest.mark.parametrize(
    "answer",
    [
        refusal(401, f"Incorrect API key provided: {SECRET}."),
        refusal(400, f"The key {SECRET} may not do this."),
        refusal(500, f"Authorization: Bearer {SECRET}"),
        refusal(429, f"{SECRET} is too fast"),
        pytest.param(Answer("Hel", size=1, error={"error": {"message": f"{SECRET} ran out"}})),
        pytest.param(Answer(raw=[f"data: {SECRET} nonsense\n\n".encode()])),
        Answer(status=500, error=f"{SECRET} crashed", content_type="text/plain"),
    ],
)
def test_the_upstreams_key_appears_in_no_answer_and_no_log(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    settings = BackendSettings(base_url=upstream.base_url, default=True, api_key_env="THE_KEY")
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"upstream": settings})
    upstream.script(answer, answer)

    with capture_logs() as logs, Running(config) as running, httpx2.Client(base_url=running.url) as http:
        plain = http.post("/v1/responses", json=ASKED)
        streamed = http.post("/v1/responses", json={**ASKED, "stream": True})

    assert {received.headers["Authorization"] for received in upstream.requests} == {f"Bearer {SECRET}"}
    assert SECRET not in plain.text + streamed.text + str(logs)


def test_the_clients_key_is_not_passed_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    client.responses.create(model="m", input="Hi", extra_headers={"OpenAI-Organization": "org-mine"})

    sent: Any = str(upstream.last.headers)
    assert "sk-test" not in sent
    assert "org-mine" not in sent


def test_a_call_is_not_lost_when_the_upstream_forgets_to_say_why_it_ended(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer(calls=[Called("add", "{}")], finish="stop"))

    told = client.responses.create(model="m", input="Hi", tools=[ADD])  # type: ignore[list-item]

    assert [item.type for item in told.output] == ["function_call"]
