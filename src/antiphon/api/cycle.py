"""A request and its answer on a connection.

In the place of uvicorn's, which has an event for each request, set for whatever happens to it, and looks at
each header by itself, twice with a regular expression: that costs more than to write them.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from string import ascii_lowercase, digits
from typing import Protocol, cast

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from antiphon.api.gathered import Gathered

_ELSE = b"\n"


def _only(allowed: bytes) -> bytes:
    """A table with which `translate` turns all other bytes into line feeds."""
    return bytes(byte if byte in allowed else ord(_ELSE) for byte in range(256))


_NAMED = _only(b"!#$%&'*+.^_`|~-" + (digits + ascii_lowercase).encode())
"""What the name of a header may have."""
_SAID = _only(bytes([9, *range(32, 127), *range(128, 256)]))
"""What its value may have: nothing that ends a line."""
_BODILESS = (204, 304)
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")
_FAILED = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21"), _CLOSE)

Header = tuple[bytes, bytes]

POUR = "pour"
"""The member of the message that begins an answer in which its application is given `Cycle.pour`, where the
body goes out in chunks."""


class Connection(Protocol):
    """What a cycle is on."""

    transport: asyncio.Transport
    flow: Gathered
    logger: logging.Logger
    server_state: ServerState
    tasks: set[asyncio.Task[None]]

    def on_response_complete(self) -> None: ...


class Cycle:
    """What the application sends goes to the transport in as few pieces as there are messages.

    The message that begins an answer may bring its whole `body`: then nothing follows. ASGI does not know
    that, our own answers do (`body.json`)."""

    __slots__ = (
        "_connection",
        "_event",
        "_flow",
        "_invites",
        "_left",
        "_news",
        "_pieces",
        "_server",
        "_size",
        "_transport",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )
    task: asyncio.Task[None]
    """In which the application answers."""

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, invites: bool) -> None:
        """`invites`: the client sends no body until it hears that somebody wants it."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.disconnected = False
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._connection: Connection | None = connection
        """None: the application is done, and nothing happens here any more."""
        self._transport = cast(Gathered, connection.transport)
        self._flow = connection.flow
        self._server = connection.server_state
        self._invites = invites
        self._pieces: list[bytes] = []
        """Of the body, what nobody has taken."""
        self._size = 0
        self._news = False
        """Whether there is something that the application has not heard of."""
        self._event: asyncio.Event | None = None
        """Of an application that has had to wait for news."""
        self._left: int | None = None
        """Bytes of the answer that are still to come; None: it comes in chunks."""

    async def run(self, app: ASGIApp, connection: Connection) -> None:
        """Has the application answer."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            connection.logger.error("Exception in ASGI application\n", exc_info=error)
            await self._fail()
        else:
            if not self.response_complete and not self.disconnected:
                what = "completing" if self.response_started else "starting"
                connection.logger.error(f"ASGI callable returned without {what} response.")
                await self._fail()
        finally:
            connection.tasks.discard(self.task)
            self._connection = None  # which knows this one: a cycle

    async def _fail(self) -> None:
        if self.response_started:
            self._transport.close()
            return
        await self.send({"type": "http.response.start", "status": 500, "headers": _FAILED})
        await self.send({"type": "http.response.body", "body": b"Internal Server Error"})

    # ---- the request ----

    def take(self, piece: bytes) -> None:
        """A piece of the body has arrived."""
        if self.response_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._tell()

    def take_end(self) -> None:
        """All of it has."""
        if not self.response_complete:
            self.more_body = False
            self._tell()

    def lose(self) -> None:
        """The client is gone."""
        self.disconnected = True
        self._tell()

    def _tell(self) -> None:
        self._news = True
        if self._event is not None:
            self._event.set()

    async def receive(self) -> Message:
        """See ASGI."""
        if self._invites and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._invites = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            if not self._news:
                await self._something()
            self._news = False
            if self._event is not None:
                self._event.clear()  # also for news that nobody has waited for
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces, self._pieces, self._size = self._pieces, [], 0
        return {"type": "http.request", "body": b"".join(pieces), "more_body": self.more_body}

    async def _something(self) -> None:
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()

    # ---- the answer ----

    async def send(self, message: Message) -> None:
        """See ASGI. Raises RuntimeError for what an application may not send."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._write(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._begin(message["status"], message.get("headers", ()), message.get("body"))
            if self._left is None and self.scope["method"] != "HEAD":
                message[POUR] = self.pour
        else:
            raise RuntimeError(f"'{kind}' may not be sent here.")

    def pour(self, body: bytes) -> bool:
        """More of the body, not gathered and not waited for. False: it has to be sent, since the client is
        slow or gone."""
        if self._flow.write_paused or self.disconnected or self.response_complete:
            return False
        self._transport.write_at_once(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _begin(self, status: int, headers: Iterable[Header], whole: bytes | None) -> None:
        """The names of headers are in lower case, as ASGI has it."""
        self.response_started, self._invites = True, False
        always = self._server.default_headers
        if whole is None:
            self._transport.write(self._head(status, [*always, *headers]))
            return
        head = self._head(status, [*always, (b"content-length", b"%d" % len(whole)), *headers])
        self._transport.writelines((head,) if self.scope["method"] == "HEAD" else (head, whole))
        self._left = 0
        self._end()

    def _head(self, status: int, headers: list[Header]) -> bytes:
        said = dict(headers)
        if b"close" in said.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append(_CLOSE)
        if b"content-length" in said:
            self._left = int(said[b"content-length"])
        elif self.scope["method"] == "HEAD" or status in _BODILESS:
            self._left = 0
        elif b"transfer-encoding" not in said:
            headers.append(_CHUNKED)
        return b"%b%b\r\n" % (STATUS_LINE[status], _lines(headers, said))

    def _write(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self._left = 0
        elif self._left is None:
            if body:
                self._transport.hold(b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                self._transport.write(b"0\r\n\r\n")
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("The answer is longer than its Content-Length.")
            self._transport.write(body)
        if not more:
            self._end()

    def _end(self) -> None:
        if self._left:
            raise RuntimeError("The answer is shorter than its Content-Length.")
        self.response_complete = True
        self._tell()
        if not self.keep_alive:
            self._transport.close()
        if self._connection is not None:
            self._connection.on_response_complete()


def _lines(headers: Sequence[Header], names: Collection[bytes]) -> bytes:
    """All of them at once. Raises RuntimeError for one that would become another, or two."""
    lines = b"\r\n".join([*map(b": ".join, headers), b""])
    ends = lines.translate(_SAID).count(_ELSE)
    if ends != 2 * len(headers) or _ELSE in b"".join(names).translate(_NAMED) or b"" in names:
        raise RuntimeError("A header has a name or a value that is not allowed.")
    return lines
