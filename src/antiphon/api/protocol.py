"""HTTP by uvicorn, with fewer system calls, with limits, and with word of the server's end.

uvicorn writes the head of an answer and its body apart, and so the end of a stream behind its last event.
Each write is a system call and a packet, which costs more than all that is in them: here what is written in
one turn of the event loop leaves together (`gathered`).

Its parser takes heads of any size, and it waits for the rest of a request as long as the client likes. What
is refused here has reached no application, and is answered in the API's envelope all the same.
"""

import asyncio
from itertools import chain
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from antiphon.api.body import HEAD
from antiphon.api.cycle import Cycle
from antiphon.api.disconnect import left
from antiphon.api.frames import SocketProtocol
from antiphon.api.gathered import Gathered
from antiphon.api.handshake import handshake_fault
from antiphon.guard.debtors import Debtors
from antiphon.protocol.errors import ApiError, HeadersTooLarge, InvalidRequest, TooSlow
from antiphon.protocol.ids import new_request_id
from antiphon.protocol.wire import encode

STOPPING = "stopping"
"""The member of an answer's scope that says that the server stops."""
_ASGI = MappingProxyType({"version": "3.0", "spec_version": "2.3"})
_NO_WEIGHTS = (0, 0)
"""How many headers are weighed, and their bytes."""


class _Books:
    """Who owes what to one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, seconds: float) -> None:
        self.heads = Debtors(loop, most, seconds)
        self.bodies = Debtors(loop, 100 * most, seconds)


class HttpProtocol(HttpToolsProtocol):
    """A connection whose writes are gathered, and whose client is not waited for without end."""

    __slots__ = (
        "_answering",
        "_arrived",
        "_bodies",
        "_carried",
        "_drains",
        "_head",
        "_heads",
        "_idle_since",
        "_listed",
        "_owed",
        "_refused",
        "_since",
        "_state",
        "_taken",
        "_unread",
        "_upgrades",
        "_weights",
    )  # beside uvicorn's: an object of more members than it has takes a kilobyte
    cycle: Cycle  # type: ignore[assignment]
    flow: Gathered  # type: ignore[assignment]
    scope: Scope  # type: ignore[assignment]
    pipeline: list[Cycle]  # type: ignore[assignment]

    HEAD_BYTES = 64 * 1024
    """The longest head of a request, its first line included; trailers have as much."""
    HEAD_SECONDS = 20.0
    """In this time a head must have arrived."""
    BODY_SECONDS = 20.0
    BODY_BYTES = 20 * 1024
    """In each `BODY_SECONDS` so much of a body must arrive, or its rest."""
    FRAMING = 10
    """How many times as large as what it carries a body in chunks may be, and a head's size besides."""
    DRAIN_SECONDS = 30.0
    """How long the rest of a body is taken in that was answered before it had arrived."""
    LINGER_SECONDS = 2.0
    LINGER_BYTES = 1024 * 1024
    """How long, and how much more it may send, a client has to read why it was refused: whoever closes with
    bytes unread takes that away."""
    READ_SECONDS = 60.0
    """How long a client may read nothing while its answer waits: its model waits with it, and whoever else
    wants the place there."""
    HALF_OPEN = 512
    """How many connections may owe a head. The next one ends the oldest."""
    LOOK_SECONDS = 1.0
    """How often it is looked after those that owe."""

    _books: ClassVar[WeakKeyDictionary[ServerState, _Books]] = WeakKeyDictionary()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = SocketProtocol
        books = self._books.get(self.server_state)
        if books is None:
            books = self._books[self.server_state] = _Books(self.loop, self.HALF_OPEN, self.LOOK_SECONDS)
        self._heads, self._bodies = books.heads, books.bodies
        self._state = MappingProxyType(self.app_state)  # one for all requests
        self._listed: Debtors | None = None
        """Among whom this client is waited for."""
        self._owed: Debtors | None = None
        """Among whom it belongs."""
        self._since = 0.0
        self._arrived = 0
        """Bytes since then. What came with the beginning of a request does not count."""
        self._head: int | None = 0
        """Bytes of the head that came before `_since`, then of the trailers; None: it is not counted yet."""
        self.url, self.headers, self.pipeline = b"", [], []
        self._weights = _NO_WEIGHTS
        self._taken = 0
        """Bytes of what came since the end of the head."""
        self._carried = 0
        """Bytes of the body, as far as it is parsed."""
        self._drains = False
        self._refused = False
        self._upgrades = False
        """Whether what arrives is a handshake, which has no cycle."""
        self._idle_since = 0.0
        self._answering: Cycle | None = None
        """What was begun last. `cycle` is what arrived last, which may have to wait until it is begun."""
        self._unread: asyncio.TimerHandle | None = None
        """Ends the connection when its client reads nothing."""

    @classmethod
    def open_connections(cls) -> int:
        """Of the servers of this process, WebSockets included."""
        return sum(len(server.connections) for server in cls._books)

    # ---- the connection ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.connections.add(self)
        self.transport = self.flow = Gathered(transport, self.loop)  # type: ignore[assignment]
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        self._owed = self._heads
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owed = None
        self._settle()
        self._read()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        self.flow.resume_writing()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.lose()
        self._abandon()
        self.parser = None  # type: ignore[assignment]  # it knows this one: a cycle

    def _abandon(self) -> Cycle | None:
        """Nobody takes the answer that is under way, which is returned."""
        cycle = self._answering
        if cycle is None or cycle.response_complete:
            return None
        cycle.lose()
        left(cycle.scope)
        return cycle

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._read()
        super().resume_writing()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def shutdown(self) -> None:
        """The server stops when its answers have ended, so those that could go on for hours must know."""
        if self._answering is not None:
            self._answering.scope[STOPPING] = True
            self._answering.keep_alive = False  # what waits behind it is not begun any more
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        self._arrived += len(data)
        if self._refused:
            if self._arrived > self.LINGER_BYTES:
                self.transport.close()
            return
        self._taken += len(data)
        try:
            self.parser.feed_data(data)
            self._look_after()
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError as error:
            self._refuse(_fault(error))
        except ApiError as fault:
            self._refuse(fault)
        self._settle()

    def _look_after(self) -> None:
        """What the parser did not say of what it was fed. Raises ApiError."""
        if self._owed is None:
            if self.cycle is not None and self.cycle.response_complete:
                self._owed = self._heads  # empty lines between requests: a head must follow
        elif self._owed is self._heads:
            parsed = len(self.url) + self._weighed()
            if self._head is None:
                self._head = parsed
            if max(self._head + self._arrived, parsed) > self.HEAD_BYTES:
                raise _head_too_large(self.HEAD_BYTES)
        else:
            if self.headers:
                self._drop_trailers()
            if self._taken > 2 * self.HEAD_BYTES + self.FRAMING * self._carried:
                raise _invalid("its body has hardly anything in it")

    def _weighed(self) -> int:
        """Bytes of the headers that are parsed. Each is weighed once, however many reads a head takes."""
        count, size = self._weights
        if count < len(self.headers):
            size += _size(b"", self.headers[count:])
            self._weights = len(self.headers), size
        return size

    def _upgrade(self) -> None:
        self._owed = None
        if not self._upgrades:
            self.cycle.keep_alive = False  # the parser reads no more
            return
        fault = handshake_fault(self.scope["method"], self.scope["headers"])
        if self._answering is not None and not self._answering.response_complete:
            fault = _invalid("a handshake cannot come before the end of an answer")
        if fault is not None:
            self._refuse(fault)
        else:
            self._unset_keepalive_if_required()
            self.handle_websocket_upgrade()

    # ---- the parser ----

    def on_message_begin(self) -> None:
        self.url, self.headers = b"", []
        self._head, self._weights = 0, _NO_WEIGHTS
        if self._owed is not self._heads:  # else all that has arrived since then belongs to this head
            self._owed, self._head = self._heads, None
            self._begin_to_wait()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if _size(self.url, self.headers) > self.HEAD_BYTES:
            raise _head_too_large(self.HEAD_BYTES)
        self._owed = self._bodies
        self._head = self._taken = self._carried = 0
        scope = self.scope = self._scope()
        self._upgrades = self.parser.should_upgrade() and self._should_upgrade()
        self.headers = []  # what comes now is a trailer, which nobody asked for
        if not self._upgrades:
            self._begin_cycle(scope)

    def _scope(self) -> dict[str, Any]:
        """See ASGI; and the headers by their names."""
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "state": self._state,
            "method": self.parser.get_method().decode("ascii"),
            "http_version": self.parser.get_http_version(),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            HEAD: dict(self.headers),
        }

    def _begin_cycle(self, scope: Scope) -> None:
        before = self.cycle
        self.cycle = Cycle(
            self,
            scope,
            keep_alive=scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            invites=scope[HEAD].get(b"expect", b"").lower() == b"100-continue",
        )
        if before is None or before.response_complete:
            self._begin_answer(self.cycle)
        else:  # it has come before the answer to the one before it has ended
            if self.pipeline:  # whoever reads nothing does not hear of the client's end: one may wait
                self.flow.pause_reading()
            self.pipeline.append(self.cycle)

    def _begin_answer(self, cycle: Cycle) -> None:
        self._answering = cycle
        cycle.task = self.loop.create_task(cycle.run(self.app, self))
        self.tasks.add(cycle.task)

    def on_body(self, body: bytes) -> None:
        self._carried += len(body)
        if not self._upgrades:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        if self.headers:
            self._drop_trailers()
        self._owed = None
        if not self._upgrades:
            self.cycle.take_end()

    def _drop_trailers(self) -> None:
        """Raises HeadersTooLarge."""
        self._head = head = (self._head or 0) + _size(b"", self.headers)
        self.headers = []
        if head > self.HEAD_BYTES:
            raise _head_too_large(self.HEAD_BYTES)

    # ---- the end of an answer ----

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._begin_answer(self.pipeline.pop(0))
        else:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._close_later(self.timeout_keep_alive)
        if self._owed is self._bodies and self.cycle.response_complete:  # else it is the next one's body
            self._begin_to_wait()
            self._drains = True

    def _close_later(self, seconds: float) -> None:
        """One timer for all requests of the connection: to begin and end one for each costs as much as to
        read its head."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        is_idle = self._owed is None and self.cycle.response_complete
        rest = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if not is_idle or rest > 0:
            self._close_later(rest if is_idle else self.timeout_keep_alive)
        else:
            self.transport.close()

    # ---- what is owed ----

    def is_overdue(self, now: float) -> bool:
        """See `Debtor`. While we do not read, the client owes nothing."""
        if self._drains:
            return now > self._since + self.DRAIN_SECONDS
        if self.flow.read_paused:
            self._begin_to_wait()
        if self._owed is self._heads:
            return now > self._since + self.HEAD_SECONDS
        if now <= self._since + self.BODY_SECONDS:
            return False
        if self._arrived < self.BODY_BYTES:
            return True
        self._begin_to_wait()
        return False

    def give_up(self) -> None:
        """See `Debtor`. A client that has sent nothing is sent nothing."""
        if self._arrived or self._head or self._owed is self._bodies:
            self._refuse(TooSlow("Your request took too long to arrive.", code="request_timeout"))
        else:
            self.transport.close()
        self._owed = None
        self._settle()

    def _settle(self) -> None:
        """Waits for the client among those where it belongs."""
        if self._owed is self._listed:
            return
        if self._listed is not None:
            self._listed.remove(self)
        self._listed = self._owed
        if self._owed is not None:
            self._begin_to_wait()
            self._owed.add(self)

    def _begin_to_wait(self) -> None:
        self._since, self._arrived, self._drains = self.loop.time(), 0, False

    # ---- what is refused ----

    def _refuse(self, fault: ApiError) -> None:
        """An answer from here, and the end of the connection. One that is under way is cut off instead."""
        self._refused, self._owed = True, None
        self._unset_keepalive_if_required()
        cycle = self._abandon()
        if cycle is not None and cycle.response_started:
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write(_answer(fault))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(self.LINGER_SECONDS, self.transport.close)


def _answer(fault: ApiError) -> bytes:
    body = encode({"error": fault.body()})
    head = (
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {new_request_id()}\r\nconnection: close\r\n\r\n"
    )
    return STATUS_LINE[fault.status] + head.encode() + body


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Bytes of a head."""
    return len(url) + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)


def _fault(error: httptools.HttpParserError) -> ApiError:
    """What the parser raised; what we raise in its callbacks is its context."""
    ours = error.__context__
    if isinstance(ours, ApiError):
        return ours
    return _invalid("it is not valid HTTP")


def _invalid(reason: str) -> ApiError:
    return InvalidRequest(f"We could not read your request: {reason}.", code="invalid_http")


def _head_too_large(limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(f"The head of the request is larger than {limit} bytes.", code="headers_too_large")
