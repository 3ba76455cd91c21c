"""A client that steers and does not read what it is told."""

import json
import socket
from contextlib import suppress
from threading import Event, Thread

from tests.conftest import Running
from tests.scripted import Answer, Gate, Upstream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

REFUSED = 120
"""Frames of a megabyte: more than the sockets and queues between a client and its server hold."""
SMALL = 64 * 1024


class Unread(socket.socket):
    """A socket that buffers little, and is read only while it may be."""

    def __init__(self, server: Running) -> None:
        super().__init__()
        self.may_read = Event()
        self.may_read.set()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.setsockopt(socket.SOL_SOCKET, option, SMALL)
        host, port = server.url.removeprefix("http://").split(":")
        self.connect((host, int(port)))

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        self.may_read.wait()
        return super().recv(bufsize, flags)


def say_all(client: ClientConnection, frame: str) -> None:
    with suppress(ConnectionClosed):
        for _ in range(REFUSED):
            client.send(frame)


def test_no_more_is_refused_than_the_client_reads(server: Running, upstream: Upstream) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate))
    url = server.url.replace("http", "ws") + "/v1/responses"
    line = Unread(server)
    client = connect(url, sock=line, compression=None)
    client.send(json.dumps({"type": "response.create", "model": "m", "input": "Count."}))
    response_id = json.loads(client.recv(timeout=60))["response"]["id"]
    gate.wait_reached()
    steer = {"type": "response.steer", "previous_response_id": response_id}
    line.may_read.clear()
    sending = Thread(
        target=say_all, args=(client, json.dumps({**steer, "input": "x" * 1_000_000, "bogus": 1}))
    )
    sending.start()
    sending.join(4)
    waits = sending.is_alive()
    line.shutdown(socket.SHUT_RDWR)
    line.may_read.set()
    sending.join(10)
    assert waits, "the server took all that was said, and the client has read nothing"
    upstream.requests[0].wait_gone()  # a client that goes is noticed all the same
    client.close()
