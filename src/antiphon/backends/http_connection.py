"""One connection of `http`, and the answer that comes over it."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import cast

import httptools
from multidict import CIMultiDict

_MOST_WAITING = 2**18
"""Bytes of an answer that nobody has read yet, before the server has to wait."""
_LARGE = 2**18
"""Bytes of a body that are written in one go."""
_MOST_HEAD = 2**17
"""Bytes in a row that are no body, such as the head with all its headers."""


class Connection(asyncio.Protocol):
    """A connection, and the answer that comes over it."""

    __slots__ = (
        "_bodiless",
        "_bounded",
        "_end",
        "_extra",
        "_fault",
        "_gone",
        "_heard",
        "_kept",
        "_loop",
        "_lost",
        "_open",
        "_parser",
        "_paused",
        "_seconds",
        "_sent",
        "_size",
        "_stuck",
        "_take",
        "_timer",
        "_transport",
        "_untaken",
        "_waiter",
        "_waiting",
        "_whole",
        "answered",
        "headers",
        "on_body",
        "status",
    )

    def __init__(self, among: set["Connection"]) -> None:
        """It leaves those of a client that it is `among` when it is closed."""
        self._loop = asyncio.get_running_loop()
        self._open = among
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        """Pieces of the body that nobody has read yet."""
        self.on_body = self._waiting.append
        """For the parser. Servers send each token in a chunk of its own: it costs no step of Python."""
        self._parser = httptools.HttpResponseParser(self)
        self._gone: asyncio.Event | None = None
        """Set when it is closed: of who waits for that."""
        self._lost: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        """Of who waits for the head, for bytes, or for room to write."""
        self._take: Callable[[bytes], bool] | None = None
        """What takes the body in the moment in which it comes."""
        self._untaken: Exception | None = None
        """What that has raised."""
        self._stuck = False
        """Whether there is no room to write."""
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.answered = False
        """Whether anything came back for the request."""
        self._whole = self._extra = False
        self._kept = False
        self._bodiless = 0
        """Bytes that came since the last of a body: heads, their 1xx, sizes of chunks."""
        self._sent = False
        """Whether all of the request is on its way."""
        self._bounded = False
        """Whether the answer says where it ends."""
        self._waiting.clear()
        self._end = 0
        """How many pieces waited when the answer was whole."""
        self._size = 0
        self._paused = False
        self._fault: Exception | None = None

    # ---- what the client does -------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether another request may be sent over it."""
        idle = self._whole and self._kept and self._sent and not self._waiting and self._fault is None
        return idle and self._transport is not None and not self._transport.is_closing()

    @property
    def is_lost(self) -> bool:
        """Whether it was made, and is closed."""
        return self._lost is not None

    @property
    def at_end(self) -> bool:
        return self._whole and not self._waiting

    async def ask(self, head: bytes, body: bytes | None, seconds: float) -> None:
        """Send a request, and wait until the head of its answer is there; hangs up where none comes. Raises
        OSError."""
        self._begin()
        self._wait(seconds)
        try:
            if body is None or len(body) <= _LARGE:
                self._opened().writelines((head, body) if body else (head,))
                self._sent = True
            else:
                await self._send_large(head, body)
            while not self.status:
                await self._more()
        except BaseException:
            self.hang_up()
            raise

    async def _send_large(self, head: bytes, body: bytes) -> None:
        self._opened().write(head)
        for place in range(0, len(body), _LARGE):
            while self._stuck and not self.status:
                await self._more()
            if self.status or self._fault is not None:
                return  # it has said enough
            self._opened().write(body[place : place + _LARGE])
            self._heard = self._loop.time()
        self._sent = True

    async def read(self) -> bytes:
        while not self._waiting:
            if self._whole:
                return b""
            await self._more()
        return self._read()

    def rest(self) -> bytes | None:
        """All that is still to be read, if all of it has come."""
        return self._read() if self._whole else None

    def _read(self) -> bytes:
        read, self._size = b"".join(self._waiting), 0
        self._waiting.clear()
        if self._paused and self._transport is not None:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()
        return read

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Gives what comes of the body to `take`, called in the context of who waits here, until that says
        that it is enough, or no more comes. What came together with the end or with a fault is left to
        `read`. Raises OSError, and what `take` raises."""
        if self._waiting or self._whole:
            return
        run: Callable[..., bool] = copy_context().run
        self._take, self._untaken = partial(run, take), None
        try:
            while self._take is not None and not self._whole and not self._waiting:
                await self._more()
        finally:
            self._take = None
        if self._untaken is not None:
            raise self._untaken

    def hang_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    async def closed(self) -> None:
        """Until it is."""
        self._gone = self._gone or asyncio.Event()
        await self._gone.wait()

    def _more(self) -> asyncio.Future[None]:
        """Done when something has happened. Raises OSError."""
        if self._fault is not None:
            raise self._fault
        if self._transport is None or self._lost is not None:
            raise self._lost or ConnectionResetError
        self._waiter = self._loop.create_future()
        return self._waiter

    def _opened(self) -> asyncio.Transport:
        if self._transport is None or self._transport.is_closing():
            raise self._lost or ConnectionResetError
        return self._transport

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _wait(self, seconds: float) -> None:
        """From now on it may be silent for so long. One timer serves all reads of a connection."""
        self._seconds = seconds
        self._heard = self._loop.time()
        if self._timer is not None and self._timer.when() > self._heard + seconds:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Whether it was silent for too long."""
        self._timer = None
        if self._whole or self._transport is None:
            return
        if self._paused:
            self._heard = self._loop.time()  # it is we who are waited for
        left = self._heard + self._seconds - self._loop.time()
        if left <= 0:
            self._fail(TimeoutError())
            return
        self._timer = self._loop.call_later(left, self._look)

    def _fail(self, fault: OSError) -> None:
        self._fault = self._fault or fault
        self._wake()

    # ---- what the loop says ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._whole:
            self._kept = False  # nobody has asked for it
            return
        self._heard = self._loop.time()
        self.answered = True
        known = len(self._waiting)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(ConnectionResetError("what came is no HTTP, or another protocol"))
        if self._take is not None and self._waiting and not self._whole and self._fault is None:
            self._pour(self._take)
            return
        self._bodiless += len(data)
        if self._extra:
            del self._waiting[self._end :]
        if len(self._waiting) > known:
            self._bodiless = 0
            self._size += len(data)  # and what stands between the pieces: nobody needs it to the byte
        if self._bodiless > _MOST_HEAD and not self._whole:
            self._fail(ConnectionResetError("the head, or what stands between chunks, is too large"))
        if self._size > _MOST_WAITING and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _pour(self, take: Callable[[bytes], bool]) -> None:
        """Gives it what has come, and wakes who waits if it was enough."""
        waiting = self._waiting
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        waiting.clear()
        self._bodiless = 0
        try:
            if take(data):
                return
        except Exception as fault:  # noqa: BLE001 (raised where it is waited)
            self._untaken = fault
        self._take = None
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, fault: Exception | None) -> None:
        if self.status and not self._bounded and fault is None:
            self._whole = True  # it ends where the connection does
        self._lost = fault if isinstance(fault, OSError) else ConnectionResetError()
        self._transport = None
        del self._parser  # it holds us, and we it
        self._open.discard(self)
        if self._gone is not None:
            self._gone.set()
        self._wake()

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False
        self._wake()

    # ---- what the parser says -------------------------------------------------------------------------
    # It goes on behind the end of an answer: nobody has asked for what it finds there.

    def on_message_begin(self) -> None:
        self._extra = self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else it is a trailer, which says nothing that counts
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self._extra:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers = CIMultiDict()  # the answer itself is still to come
            return
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        self._bounded = chunked or "Content-Length" in self.headers or status in (204, 304)
        if status < 100:
            self._fail(ConnectionResetError("what came has no status"))
            return
        self.status = status

    def on_message_complete(self) -> None:
        if self._extra:
            self._kept = False
        elif self.status:
            self._whole = True
            self._end = len(self._waiting)
            self._kept = bool(self._parser.should_keep_alive()) and self._bounded
