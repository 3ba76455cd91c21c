"""What a WebSocket can be sent besides requests: too much, too many pieces, what is no text, halves."""

import contextlib
import json
import os
import select
import socket as sockets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.scripted import PATIENCE, Answer, Upstream
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.sync.client import connect

from antiphon.api.frames import FRAGMENTS, MESSAGE_BYTES
from antiphon.config import Limits, Server

HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
Json = dict[str, Any]
Ended = tuple[int, str | None, int]
"""The status and the code that a client reads, and with what the connection is closed."""


def place(server: Running) -> str:
    return server.url.replace("http", "ws") + "/v1/responses"


@contextlib.contextmanager
def bare(server: Running) -> Iterator[sockets.socket]:
    """An open WebSocket, for frames that no library sends."""
    url = httpx2.URL(server.url)
    with sockets.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(HANDSHAKE)
        while not connection.recv(1024, sockets.MSG_PEEK).endswith(b"\r\n\r\n"):
            pass
        connection.recv(1024)
        yield connection


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def ended(connection: sockets.socket) -> Ended:
    """What is said in the end: a text frame, and a close frame."""
    said = b""
    while chunk := connection.recv(65536):
        said += chunk
    words, _, closing = said.rpartition(b"\x88")
    start = words.index(b"{")
    told = json.loads(words[start:])
    return told["status"], told["error"]["code"], int.from_bytes(closing[1:3])


def test_a_message_that_is_too_large_ends_its_connection_in_words(server: Running) -> None:
    """Also for a client that has not sent all of it by then."""
    with connect(place(server), compression=None) as socket:
        with contextlib.suppress(ConnectionClosedError):
            socket.send("x" * (3 * MESSAGE_BYTES))
        told = json.loads(socket.recv(timeout=60))
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=60)

    assert (told["status"], told["error"]["code"]) == (413, "request_too_large")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.MESSAGE_TOO_BIG


def test_a_message_that_becomes_too_large_when_it_is_unpacked_ends_its_connection(server: Running) -> None:
    with connect(place(server)) as socket:
        socket.send("x" * (MESSAGE_BYTES + 1))
        assert json.loads(socket.recv(timeout=60))["status"] == 413


def test_the_largest_message_is_taken(server: Running) -> None:
    with connect(place(server), compression=None) as socket:
        socket.send(b" " * MESSAGE_BYTES)
        assert json.loads(socket.recv(timeout=60))["status"] == 400


def test_a_message_in_pieces_without_end_is_not_waited_for(server: Running) -> None:
    with bare(server) as connection:
        connection.sendall(frame(b"", fin=False))
        connection.sendall(frame(b"", Opcode.CONT, fin=False) * (FRAGMENTS + 1))
        assert ended(connection) == (400, None, CloseCode.MESSAGE_TOO_BIG)


def test_text_that_is_none_is_the_clients_fault(server: Running, capfd: pytest.CaptureFixture[str]) -> None:
    with bare(server) as connection:
        connection.sendall(frame(b"\xff\xfe"))
        assert ended(connection) == (400, None, CloseCode.INVALID_DATA)
    assert capfd.readouterr().err == ""


@pytest.fixture
def small(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server that holds a megabyte of requests at most."""
    config = config_for(upstream, tmp_path, Server(verify=True, max_body_bytes=1_000_000))
    with Running(replace(config, limits=Limits(held_bytes=1_000_000))) as running:
        yield running


@pytest.mark.parametrize("whole", [False, True], ids=["half a frame", "half a message"])
def test_what_has_arrived_of_a_message_counts_among_what_is_held(
    small: Running, upstream: Upstream, whole: bool
) -> None:
    upstream.default = Answer("Hello")
    piece = frame(os.urandom(600_000), Opcode.BINARY, fin=False)
    with bare(small) as first, bare(small) as second:
        for connection in (first, second):
            connection.sendall(piece if whole else piece[:-1])
        (over,), _, _ = select.select([first, second], [], [], PATIENCE)
        assert ended(over) == (503, "server_overloaded", CloseCode.TRY_AGAIN_LATER)
    assert "response.created" in (asked(small) for _ in range(100))


def asked(server: Running) -> str:
    """What a large request is answered with first."""
    with connect(place(server)) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "m", "input": "x" * 900_000}))
        answer: str = json.loads(socket.recv(timeout=60))["type"]
        return answer
