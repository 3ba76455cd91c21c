"""What comes before a request is one: heads without end, clients that stop in the middle, what is no HTTP.

All of it over sockets of our own, since no client would send it.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvloop
from tests.conftest import Running, config_for
from tests.scripted import Answer, Gate, Upstream
from tests.served import Served

from antiphon.api.app import create_app
from antiphon.api.gathered import Gathered
from antiphon.api.protocol import HttpProtocol

POST = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
BODY = b'{"model":"m","input":"Hi"}'
Told = tuple[int, str | None]


class Quick(HttpProtocol):
    """The limits of a server, in little time: for clients that stop."""

    HEAD_SECONDS = BODY_SECONDS = 0.4
    DRAIN_SECONDS = 0.2
    LOOK_SECONDS = 0.05
    HALF_OPEN = 3
    BODY_BYTES = 100


class Unhurried(Quick):
    """The same for clients that go on: there is time enough between what they send, however busy the machine
    is."""

    HEAD_SECONDS = 60.0
    BODY_SECONDS = 3.0
    DRAIN_SECONDS = 2.0


@contextlib.contextmanager
def limited(http: type[HttpProtocol], upstream: Upstream, home: Path) -> Iterator[Served]:
    app = create_app(config_for(upstream, home))
    with Served(app, http=http, ws="websockets-sansio", log_level="error") as served:
        yield served


@pytest.fixture
def quick(upstream: Upstream, tmp_path: Path) -> Iterator[Served]:
    with limited(Quick, upstream, tmp_path) as served:
        yield served


@pytest.fixture
def unhurried(upstream: Upstream, tmp_path: Path) -> Iterator[Served]:
    with limited(Unhurried, upstream, tmp_path) as served:
        yield served


@contextlib.contextmanager
def connected(server: Served) -> Iterator[socket.socket]:
    url = httpx2.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """All that the server says before it closes."""
    said = b""
    while chunk := connection.recv(65536):
        said += chunk
    return said


def answer(connection: socket.socket) -> Told:
    """Status and code of an answer that ends the connection, which must be in the envelope."""
    head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"\r\nconnection: close" in head
    assert b"\r\nx-request-id: req_" in head
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return int(head.split()[1]), error["code"]


def status(connection: socket.socket) -> int:
    """The status of an answer after which the connection stays; its body is read too."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1])


def asks(connection: socket.socket, data: bytes) -> int:
    connection.sendall(data)
    return status(connection)


# ---- heads without end -------------------------------------------------------------------------------

LARGE = (431, "headers_too_large")


@pytest.mark.parametrize(
    "head",
    [
        GET + b"A: " + b"x" * 70_000 + b"\r\n\r\n",
        GET + b"".join(b"A%d: x\r\n" % number for number in range(9000)) + b"\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        GET + b"x" * 70_000 + b": a\r\n\r\n",
        GET + b"Authorization: Bearer " + b"x" * 70_000,
        GET + b"A: b\r\n" * 12_000,
        b"\r\n" * 40_000 + GET,
    ],
    ids=["value", "many", "path", "name", "not ended", "many, not ended", "nothing"],
)
def test_a_head_that_is_too_large_is_refused(server: Running, head: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(head)
        assert answer(connection) == LARGE


def test_a_head_without_end_is_not_kept(server: Running) -> None:
    with connected(server) as connection, contextlib.suppress(OSError):
        connection.sendall(GET + b"A: ")
        for _ in range(4000):
            connection.sendall(b"x" * 65536)
        pytest.fail("the server has taken 262 MB of a head")


def test_a_large_head_is_taken(server: Running) -> None:
    with connected(server) as connection:
        assert asks(connection, GET + b"A: " + b"x" * 60_000 + b"\r\n\r\n") == 200


def test_a_large_head_in_small_pieces_is_taken(server: Running) -> None:
    head = GET + b"A: " + b"x" * 60_000 + b"\r\n\r\n"
    with connected(server) as connection:
        for at in range(0, len(head), 7000):
            connection.sendall(head[at : at + 7000])
        assert status(connection) == 200


def test_a_request_behind_a_large_body_is_none_with_a_large_head(server: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    body = BODY + b" " * 200_000
    first = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connected(server) as connection:
        connection.sendall(first + GET)
        assert status(connection) == 200
        assert asks(connection, b"\r\n") == 200


@pytest.mark.parametrize(
    "behind", [b"A: b\r\n" * 12_000, b"A: " + b"x" * 70_000 + b"\r\nB: c"], ids=["many", "value"]
)
def test_a_head_that_is_too_large_is_refused_behind_another_request(server: Running, behind: bytes) -> None:
    with connected(server) as connection:
        assert asks(connection, GET + b"\r\n") == 200
        connection.sendall(GET + behind)
        assert answer(connection) == LARGE


def test_trailers_are_limited_and_are_no_headers(server: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    with connected(server) as connection:
        assert asks(connection, chunked + b"Origin: https://evil.test\r\n\r\n") == 200
    with connected(server) as connection:
        connection.sendall(chunked + b"A: b\r\n" * 20_000)
        assert answer(connection) == LARGE


# ---- clients that stop in the middle -----------------------------------------------------------------

SLOW = (408, "request_timeout")


def test_a_head_that_does_not_end_is_given_up(quick: Served) -> None:
    with connected(quick) as connection:
        connection.sendall(GET)
        assert answer(connection) == SLOW


def test_a_head_that_trickles_is_given_up(quick: Served) -> None:
    with connected(quick) as connection:
        trickle = threading.Event()

        def write() -> None:
            with contextlib.suppress(OSError):
                while not trickle.wait(0.02):
                    connection.sendall(b"A: b\r\n")

        connection.sendall(GET)
        thread = threading.Thread(target=write)
        thread.start()
        assert answer(connection) == SLOW
        trickle.set()
        thread.join()


def test_a_client_that_sends_nothing_is_sent_nothing(quick: Served) -> None:
    with connected(quick) as connection:
        assert until_closed(connection) == b""


def test_after_an_answer_too_a_head_must_arrive(quick: Served) -> None:
    with connected(quick) as connection:
        assert asks(connection, GET + b"\r\n") == 200
        connection.sendall(GET)
        assert answer(connection) == SLOW
    with connected(quick) as connection:
        assert asks(connection, GET + b"\r\n") == 200
        connection.sendall(b"\r\n")
        assert until_closed(connection) == b""


def test_a_body_that_does_not_come_is_given_up(quick: Served, upstream: Upstream) -> None:
    for part in (b"", b"{", b'{"model": "m", '):
        with connected(quick) as connection:
            connection.sendall(POST + b"Content-Length: 5000\r\n\r\n" + part)
            assert answer(connection) == SLOW
    assert upstream.requests == []


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(quick: Served) -> None:
    with connected(quick) as connection:
        assert asks(connection, POST + b"Content-Length: 99999999999\r\n\r\n{") == 413
        assert until_closed(connection)[:13] in (b"", b"HTTP/1.1 408 ")


def test_the_rest_of_a_refused_body_takes_no_time_from_the_next(
    unhurried: Served, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello")
    refused = POST.replace(b"application/json", b"text/plain") + b"Content-Length: 10\r\n\r\n"
    pause = threading.Event()
    with connected(unhurried) as connection:
        assert asks(connection, refused + b"12345") == 400
        pause.wait(0.5)
        connection.sendall(b"67890" + POST + b"Content-Length: %d\r\n\r\n" % len(BODY))
        pause.wait(0.6 * Unhurried.BODY_SECONDS)
        assert asks(connection, BODY) == 200


def test_a_body_that_comes_slowly_but_steadily_is_read(unhurried: Served, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    body = BODY + b" " * 3000
    pause = threading.Event()
    with connected(unhurried) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 300):
            connection.sendall(body[at : at + 300])
            pause.wait(0.12 * Unhurried.BODY_SECONDS)
        assert status(connection) == 200


def test_an_answer_that_takes_its_time_is_waited_for(quick: Served, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Answer("Hello", gate=gate))
    with connected(quick) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        gate.wait_reached()
        threading.Event().wait(0.8)
        gate.open()
        assert status(connection) == 200


def test_more_half_requests_than_may_be_open_end_the_oldest(unhurried: Served) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(unhurried)) for _ in range(Quick.HALF_OPEN + 1)]
        assert until_closed(connections[0]) == b""
        assert asks(connections[1], GET + b"\r\n") == 200


# ---- bodies that are all wrapping --------------------------------------------------------------------

CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("more", [b"1;" + b"x" * 600_000, b"0" * 600_000], ids=["extension", "size"])
def test_a_chunk_that_never_begins_is_not_waited_for(server: Running, more: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(CHUNKED + more)
        assert answer(connection) == (400, "invalid_http")


def test_a_body_may_come_in_chunks_of_a_byte(server: Running, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    blanks = b" " * 50_000
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY + blanks)
    with connected(server) as connection:
        assert asks(connection, CHUNKED + body + b"0\r\n\r\n") == 200


def lose(transport: Any) -> None:
    """The connection is lost in the turn in which it is written to."""
    transport.abort()


def end(transport: Any) -> None:
    """The last words were said."""
    transport.write_eof()


async def _written_after(what: Callable[[Any], None]) -> list[Any]:
    """What goes wrong in the loop when an answer is written then."""
    wrong: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        gathered = Gathered(transport, loop)
        what(gathered)
        gathered.write(b"Hello")
        await asyncio.to_thread(theirs.recv, 10)
        transport.abort()
    return wrong


@pytest.mark.parametrize("what", [lose, end])
def test_an_answer_to_a_client_that_takes_none_any_more_is_dropped(what: Callable[[Any], None]) -> None:
    assert uvloop.run(_written_after(what)) == []


# ---- what is no HTTP ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nA b\r\n\r\n",
        b"GET /v1/\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: many\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n{}",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_envelope(
    server: Running, capfd: pytest.CaptureFixture[str], data: bytes
) -> None:
    with connected(server) as connection:
        connection.sendall(data)
        assert answer(connection) == (400, "invalid_http")
    assert capfd.readouterr().err == ""


def test_what_is_no_http_does_not_stand_in_the_middle_of_an_answer(
    server: Running, upstream: Upstream
) -> None:
    gate = Gate()
    upstream.script(Answer("Hello", gate=gate))
    body = b'{"model":"m","input":"Hi","stream":true}'
    with connected(server) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        said = connection.recv(20)
        connection.sendall(b"nonsense\r\n\r\n")
        said += until_closed(connection)
        gate.open()
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400" not in said


# ---- requests that do not wait for the answer before them --------------------------------------------

STREAMED = b'{"model":"m","input":"Hi","stream":true}'
FIRST = POST + b"Content-Length: %d\r\n\r\n" % len(STREAMED) + STREAMED


@contextlib.contextmanager
def answering(server: Running | Served, upstream: Upstream) -> Iterator[tuple[socket.socket, Gate]]:
    """A connection on which a stream has begun that the gate holds back."""
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    with connected(server) as connection:
        connection.sendall(FIRST)
        gate.wait_reached()
        connection.recv(1, socket.MSG_PEEK)
        yield connection, gate


@pytest.mark.parametrize("behind", [GET + b"\r\n", (GET + b"\r\n") * 2, GET], ids=["one", "two", "a half"])
def test_a_client_that_leaves_ends_its_answer_whatever_it_has_asked_since(
    server: Running, upstream: Upstream, behind: bytes
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    with connected(server) as connection:
        connection.sendall(FIRST + behind)
        gate.wait_reached()

    upstream.last.wait_gone()


def test_a_client_is_heard_to_leave_when_its_next_request_came_by_itself(
    server: Running, upstream: Upstream
) -> None:
    with answering(server, upstream) as (connection, _):
        connection.sendall(GET + b"\r\n")

    upstream.last.wait_gone()


def test_what_is_no_http_behind_a_request_that_waits_stands_in_the_middle_of_no_answer(
    server: Running, upstream: Upstream
) -> None:
    with answering(server, upstream) as (connection, _):
        connection.sendall(GET + b"\r\nnonsense\r\n\r\n")
        said = until_closed(connection)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b"HTTP/1.1 ") == 1
    upstream.last.wait_gone()


def test_requests_that_wait_are_answered_in_their_order(server: Running, upstream: Upstream) -> None:
    with answering(server, upstream) as (connection, gate):
        connection.sendall(GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
        gate.open()
        said = until_closed(connection)

    stream, *models = said.split(b"HTTP/1.1 200 ")[1:]
    assert b"response.completed" in stream
    assert len(models) == 2
    assert all(b'"object":"list"' in each for each in models)


def test_the_body_of_a_request_that_waits_has_all_its_time(unhurried: Served, upstream: Upstream) -> None:
    body = BODY + b" " * 1500
    pause = threading.Event()
    with answering(unhurried, upstream) as (connection, gate):
        upstream.script(Answer("Next"))
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        gate.open()
        for at in range(0, len(body), 300):
            connection.sendall(body[at : at + 300])
            pause.wait(0.2 * Unhurried.BODY_SECONDS)
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        said = until_closed(connection)

    assert said.count(b"HTTP/1.1 200 ") == 3


def test_a_handshake_behind_an_answer_takes_nothing_from_its_end(server: Running, upstream: Upstream) -> None:
    with answering(server, upstream) as (connection, _):
        connection.sendall(HANDSHAKE + b"\r\n")
        said = until_closed(connection)

    assert said.count(b"HTTP/1.1 ") == 1
    upstream.last.wait_gone()


# ---- handshakes --------------------------------------------------------------------------------------

HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (HANDSHAKE + b"A: " + b"x" * 9000 + b"\r\n\r\n", LARGE),
        (HANDSHAKE + b"A: b\r\n" * 200 + b"\r\n", LARGE),
        (HANDSHAKE.replace(b"GET", b"POST") + b"\r\n", (400, "invalid_handshake")),
        (HANDSHAKE.replace(b": 13", b": 7") + b"\r\n", (400, "invalid_handshake")),
        (HANDSHAKE.replace(b"AAAA==", b"") + b"\r\n", (400, "invalid_handshake")),
        (HANDSHAKE.replace(b"AA==", b"??==") + b"\r\n", (400, "invalid_handshake")),
    ],
    ids=["long", "many", "method", "version", "short key", "no key"],
)
def test_a_handshake_that_is_none_is_refused_in_the_envelope(
    server: Running, capfd: pytest.CaptureFixture[str], data: bytes, told: Told
) -> None:
    with connected(server) as connection:
        connection.sendall(data)
        assert answer(connection) == told
    assert capfd.readouterr().err == ""


def test_a_handshake_is_one(server: Running) -> None:
    with connected(server) as connection:
        assert asks(connection, HANDSHAKE + b"\r\n") == 101


def test_an_upgrade_to_what_we_do_not_speak_is_ignored(server: Running) -> None:
    with connected(server) as connection:
        connection.sendall(GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 200 ")


def test_empty_lines_alone_are_no_fault_of_ours(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with connected(server) as connection, connected(server) as other:
        connection.sendall(b"\r\n")
        assert asks(other, GET + b"\r\n") == 200  # so the line was read by now, and alone
        assert asks(connection, b"\r\n" + GET + b"\r\n") == 200
    assert not caplog.records
