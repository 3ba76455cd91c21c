"""Heads of answers as they go over the wire, and what an application may not send."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.served import Served

from antiphon.api.protocol import STOPPING, HttpProtocol

Headers = Sequence[tuple[bytes, bytes]]
END: Message = {"type": "http.response.body", "body": b""}


def start(status: int, headers: Headers = ()) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


ENDS = b" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


def serving(answers: ASGIApp, **settings: Any) -> Served:
    """A server of the application."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await answers(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})

    settings = {"http": HttpProtocol, "log_level": "critical", "timeout_graceful_shutdown": 5, **settings}
    return Served(application, **settings)


def to(served: Served) -> socket.socket:
    """A connection."""
    url = httpx2.URL(served.url)
    return socket.create_connection((url.host, url.port), timeout=60)


@contextlib.contextmanager
def connected(answers: ASGIApp) -> Iterator[socket.socket]:
    """To a server of the application."""
    with serving(answers) as served, to(served) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def said(*messages: Message, method: bytes = b"GET") -> bytes:
    """What a server says until it closes, whose application sends the messages."""

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with connected(answers) as connection:
        connection.sendall(method + ENDS + b"\r\n")
        return until_closed(connection)


@pytest.mark.parametrize(
    "header",
    [
        (b"a", b"b\r\nset-cookie: c"),
        (b"a", b"b\nset-cookie: c"),
        (b"a\r\nset-cookie: c\r\nd", b"b"),
        (b"a: b", b"c"),
        (b"", b"b"),
        (b"a", b"\x00"),
    ],
    ids=["CR LF", "LF", "name", "colon", "no name", "NUL"],
)
def test_no_header_makes_another_one(header: tuple[bytes, bytes]) -> None:
    assert said(start(200, [header]), END) == b""


def test_an_answer_of_known_length_is_no_longer_and_no_shorter() -> None:
    length = [(b"content-length", b"3")]

    assert said(start(200, length), body(b"a", more=True), body(b"bc")).endswith(b"\r\n\r\nabc")
    assert said(start(200, length), body(b"abcd")).endswith(b"\r\n\r\n")
    assert said(start(200, length), body(b"ab")).endswith(b"\r\n\r\nab")


def test_an_answer_of_unknown_length_comes_in_chunks() -> None:
    answer = said(start(200), body(b"hello", more=True), body(b"", more=True), body(b"!"))

    assert b"\r\ntransfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("status", "method"), [(200, b"HEAD"), (204, b"GET"), (304, b"GET")], ids=["HEAD", "204", "304"]
)
def test_what_has_no_body_is_sent_none(status: int, method: bytes) -> None:
    headers = [(b"content-length", b"5")] if method == b"HEAD" else []

    answer = said(start(status, headers), END, method=method)

    assert answer.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in answer


@pytest.mark.parametrize(("method", "sent"), [(b"GET", b"hello"), (b"HEAD", b"")], ids=["GET", "HEAD"])
def test_an_answer_may_bring_its_whole_body(method: bytes, sent: bytes) -> None:
    answer = said({**start(200, [(b"a", b"b")]), "body": b"hello"}, method=method)

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.endswith(b"\r\ncontent-length: 5\r\na: b\r\nconnection: close")
    assert rest == sent


def test_nothing_follows_a_whole_answer() -> None:
    assert said({**start(200), "body": b"hello"}, END).endswith(b"\r\n\r\nhello")


def test_the_end_of_a_connection_is_said_once() -> None:
    assert said(start(200, [(b"connection", b"close")]), END).count(b"connection: close") == 1
    assert said(start(200), END).count(b"connection: close") == 1


def test_a_client_that_waits_for_a_sign_gets_it() -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await send(start(200))
        await send(body(message["body"]))

    with connected(answers) as connection:
        connection.sendall(b"POST" + ENDS + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        assert b"\r\n2\r\nhi\r\n" in until_closed(connection)


@pytest.mark.parametrize(
    ("messages", "answer"),
    [([], b"500 Internal Server Error"), ([start(200)], b"200 OK")],
    ids=["not begun", "not ended"],
)
def test_an_application_that_does_not_finish_its_answer_is_told_of(
    capfd: pytest.CaptureFixture[str], messages: list[Message], answer: bytes
) -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with serving(answers, log_level="error") as served, to(served) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 " + answer)
    assert "ASGI callable returned without" in capfd.readouterr().err


def test_who_has_the_body_waits_for_the_end_of_the_client() -> None:
    heard: list[str] = []

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    with serving(answers) as served:
        with to(served) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            until(lambda: False, 0.2)
            assert heard == []
        until(lambda: bool(heard))

    assert heard == ["http.request", "http.disconnect"]


def test_who_has_the_body_waits_so_too_when_its_rest_came_before_he_asked() -> None:
    heard: list[tuple[str, bytes]] = []

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            message = await receive()
            heard.append((message["type"], message.get("body", b"")))
            await asyncio.sleep(0.1)

    with serving(answers) as served:
        with to(served) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
            time.sleep(0.05)
            connection.sendall(b"h")
            until(lambda: bool(heard))
            connection.sendall(b"i")
            until(lambda: len(heard) == 2)
            time.sleep(0.2)
        until(lambda: len(heard) == 3)

    assert heard == [("http.request", b"h"), ("http.request", b"i"), ("http.disconnect", b"")]


def test_what_one_request_changes_in_the_state_of_the_server_no_other_sees() -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        found = "mine" in scope["state"]
        with contextlib.suppress(TypeError):
            scope["state"]["mine"] = True
        await send({**start(200), "body": b"found" if found else b"new"})

    with connected(answers) as connection:
        for _ in range(2):
            connection.sendall(ASKS)
            assert connection.recv(65536).endswith(b"\r\n\r\nnew")


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for it, or for so long."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


# ---- how long a connection is kept -------------------------------------------------------------------

KEPT = 2.0
"""Seconds that one is kept for which nothing is asked."""
ASKS = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"\r\ncontent-length: 2\r\n\r\nok"


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.3 * KEPT)
    await send({**start(200), "body": b"ok"})


def test_a_connection_is_kept_while_it_is_used_and_ended_when_it_is_not() -> None:
    with serving(slow, timeout_keep_alive=KEPT) as served, to(served) as connection:
        for _ in range(2):
            time.sleep(0.3 * KEPT)
            connection.sendall(ASKS)
            assert connection.recv(65536).endswith(OK)
        answered = time.monotonic()
        assert connection.recv(65536) == b""
        assert time.monotonic() - answered > 0.9 * KEPT


class Lingering(HttpProtocol):
    LINGER_SECONDS = 60.0


def test_who_is_refused_has_time_to_read_why_however_long_the_connection_was_kept() -> None:
    with serving(slow, http=Lingering, timeout_keep_alive=KEPT) as served, to(served) as connection:
        connection.sendall(ASKS)
        assert connection.recv(65536).endswith(OK)
        time.sleep(0.4 * KEPT)
        connection.sendall(b"\x00\r\n\r\n")
        end = time.monotonic() + KEPT
        while time.monotonic() < end:
            connection.sendall(b"more of it")  # is read, or what we were told would be taken away
            time.sleep(0.02)
        assert until_closed(connection).startswith(b"HTTP/1.1 400 ")


def test_a_connection_that_becomes_a_websocket_is_kept() -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await slow(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    handshake = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with serving(answers, timeout_keep_alive=KEPT) as served, to(served) as connection:
        connection.sendall(ASKS)
        assert connection.recv(65536).endswith(OK)
        connection.sendall(handshake)
        assert connection.recv(65536).startswith(b"HTTP/1.1 101 ")
        connection.settimeout(2 * KEPT)
        with pytest.raises(TimeoutError):
            connection.recv(65536)


def test_the_answer_that_is_under_way_hears_that_the_server_stops_and_none_is_begun_behind_it() -> None:
    begun = []

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await send(start(200))
        await send(body(b"begun", more=True))
        while STOPPING not in scope:  # noqa: ASYNC110 (it is a member, and no event)
            await asyncio.sleep(0)
        await send(body(b"ended"))

    with serving(answers) as served, to(served) as connection:
        connection.sendall(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        said = connection.recv(65536)
        served.stop()
        said += until_closed(connection)

    assert said.endswith(b"5\r\nbegun\r\n5\r\nended\r\n0\r\n\r\n")
    assert begun == ["/1"]
