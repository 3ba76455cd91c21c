"""An HTTP/1.1 client for upstreams: one server each, connections that are kept, answers read as they come.

It does what a gateway needs of one, and no more: no redirects, no cookies, no proxies. In return a read of
the socket is a read of the answer: nothing is queued for each chunk, and no task runs beside the one that
reads.
Who reads slowly makes the server wait; who stops reading hangs up.

Faults are the system's own: `ConnectFault` where no connection came about, TimeoutError for silence,
ConnectionError for an answer that broke off; all of them are OSErrors.
"""

import asyncio
import base64
import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Self

from msgspec import Struct
from yarl import URL

from antiphon.backends import tape
from antiphon.backends.http_connection import Connection
from antiphon.backends.tape import Exchange, Server
from antiphon.telemetry.tracing import passed_on

JSON = "application/json"
_KEEP_ALIVE = 4.0
"""Seconds: shorter than the 5 after which uvicorn, and with it vLLM and SGLang, hang up when idle."""
_GRACE = 1.0
"""Seconds for the end of an answer of which all that counts has come."""


_MOST_UNPACKED = 2**18
"""Bytes of an answer that are unpacked in one go."""
_KEEPS = re.compile(r"\btimeout=\s*(\d{1,9})", re.IGNORECASE)
_SECRET = ("authorization", "x-api-key")
"""Headers that carry a key, in lower case."""
_SHORT = 8
"""Characters: what is shorter is no secret, but such a word as `none`, which stands in many answers."""
_CODED = "Content-Encoding"
_PACKED = ("gzip", "x-gzip", "deflate")
"""Codings of answers that are unpacked."""


class ConnectFault(OSError):
    """No connection came about: the message says why."""


class ConnectTimeout(TimeoutError):
    """No connection came about in time."""


class Patience(Struct, frozen=True):
    """Seconds that are waited: for a connection, and for the first byte and between two reads."""

    connect: float
    read: float


class Client:
    """A server at a base URL, or behind a unix socket. Use it within one event loop."""

    def __init__(
        self,
        base: URL,
        headers: Mapping[str, str],
        *,
        unix_socket: str | None = None,
        keep: float = _KEEP_ALIVE,
        name: str | None = None,
    ) -> None:
        """`keep`: seconds for which an idle connection is kept; `name`: under which the server is configured,
        for recordings. Raises ValueError for a URL or a header that cannot be sent."""
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError(f"{base} is no HTTP URL")
        self._base = base
        self._unix_socket = unix_socket
        self._keep = keep
        self._idle: list[tuple[float, Connection]] = []
        """Until when, and which: the one that was used last is taken first."""
        self._sweep: asyncio.TimerHandle | None = None
        self._open: set[Connection] = set()
        """All that are not closed yet."""
        self._closed = False
        self._ssl: ssl.SSLContext | None = None
        sent = {"Host": _host(base), "Accept": "*/*", **_credentials(base), **headers}
        self._headers = _lines(sent)
        self._server = Server(name, _secrets(base, sent))
        self._loop = asyncio.get_running_loop()

    async def request(
        self, method: str, url: URL, body: bytes | None, patience: Patience, content_type: str = JSON
    ) -> "HttpAnswer":
        """A request, and the head of its answer. What the server did not take up, since it closed an idle
        connection just then, is sent once more. Raises OSError."""
        recording = tape.current.get()
        exchange = recording.record(self._server, method, url, body) if recording is not None else None
        try:
            carried = passed_on()
            headers = self._headers + _lines(carried) if carried else self._headers
            head = _head(method, url, headers, body, content_type)
            connection = await self._asked(head, body, patience)
        except BaseException as fault:
            if exchange is not None:
                exchange.failed(fault)
            raise
        if exchange is not None:
            exchange.answered(connection.status, connection.headers.get("Content-Type", ""))
        return HttpAnswer(self, connection, patience, exchange)

    async def close(self) -> None:
        """Close all connections, and wait until they are. Answers that are still being read break off, and
        what is only being connected does as soon as it is."""
        self._closed = True
        self._idle = []
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in self._open:
            connection.hang_up()
        while self._open:
            await next(iter(self._open)).closed()

    async def _asked(self, head: bytes, body: bytes | None, patience: Patience) -> Connection:
        """The connection over which the request was answered."""
        if (connection := self._kept()) is not None:
            try:
                await connection.ask(head, body, patience.read)
                return connection
            except ConnectionError:
                if connection.answered:
                    raise
        connection = await self._connected(patience)
        await connection.ask(head, body, patience.read)
        return connection

    def _kept(self) -> Connection | None:
        now = self._loop.time()
        while self._idle:
            until, connection = self._idle.pop()
            if now < until and connection.usable:
                return connection
            connection.hang_up()
        return None

    async def _connected(self, patience: Patience) -> Connection:
        loop, make = self._loop, partial(Connection, self._open)
        try:
            async with asyncio.timeout(patience.connect):
                if self._unix_socket is not None:
                    _, made = await loop.create_unix_connection(make, self._unix_socket)
                else:
                    host, port, context = self._base.raw_host or "", self._base.port or 80, self._context()
                    name = host if context is not None else None
                    _, made = await loop.create_connection(
                        make, host, port, ssl=context, server_hostname=name
                    )
        except TimeoutError:
            raise ConnectTimeout from None
        except OSError as fault:
            raise ConnectFault(fault.strerror or str(fault) or type(fault).__name__) from fault
        except UnicodeError as fault:
            raise ConnectFault("its host is no name that can be looked up") from fault
        if not made.is_lost:
            self._open.add(made)  # not earlier: uvloop never tells one that is given up that it is lost
        if self._closed:
            made.hang_up()
        return made

    def _context(self) -> ssl.SSLContext | None:
        if self._base.scheme == "https" and self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl

    def _done(self, connection: Connection) -> None:
        """Its answer is read, or given up."""
        seconds = _kept_for(connection.headers, self._keep)
        if connection.usable and seconds > 0:
            self._idle.append((self._loop.time() + seconds, connection))
            self._sweep_later()
        else:
            connection.hang_up()

    def _sweep_later(self) -> None:
        if self._sweep is None and self._idle:
            self._sweep = self._loop.call_later(self._keep, self._swept)

    def _swept(self) -> None:
        """Connections that a burst has left are let go, also when no request comes any more."""
        self._sweep = None
        now = self._loop.time()
        for until, connection in self._idle:
            if until <= now or not connection.usable:
                connection.hang_up()
        self._idle = [(until, each) for until, each in self._idle if until > now and each.usable]
        self._sweep_later()


class HttpAnswer:
    """The answer of a server. Its head is there; the body comes as it is read. Close it: one that was not
    read to its end costs the connection."""

    def __init__(
        self, client: Client, connection: Connection, patience: Patience, exchange: Exchange | None
    ) -> None:
        self.patience = patience
        """With which it was asked for."""
        self.status = connection.status
        self.headers = connection.headers
        self._client = client
        self._connection: Connection | None = connection
        self._exchange = exchange
        """Where it is recorded."""
        self._unpack = _unpacker(self.headers[_CODED]) if _CODED in self.headers else None

    @property
    def content_type(self) -> str:
        """Without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def at_end(self) -> bool:
        """Whether all of it was read."""
        unpacking = self._unpack is not None and self._unpack.unconsumed_tail
        return self._connection is None or (self._connection.at_end and not unpacking)

    async def read(self) -> bytes:
        """What has come since the last time, or comes next; empty at the end. Raises OSError."""
        try:
            if self._unpack is not None:
                data = await self._unpacked(self._unpack)
            else:
                data = await self._connection.read() if self._connection is not None else b""
        except OSError as fault:
            if self._exchange is not None:
                self._exchange.failed(fault)
            raise
        if self._exchange is not None and data:
            self._exchange.heard(data)
        return data

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Gives what comes to `take`, in the moment in which it comes, until that says that it is enough.
        Returns at once where that cannot be done: go on reading. Raises OSError, and what `take` raises."""
        if self._connection is None or self._unpack is not None:
            return
        exchange = self._exchange
        try:
            await self._connection.pour(take if exchange is None else exchange.passing(take))
        except OSError as fault:
            if exchange is not None:
                exchange.failed(fault)
            raise

    async def _unpacked(self, unpack: "zlib._Decompress") -> bytes:
        """In pieces: a few bytes may stand for very many."""
        while self._connection is not None:
            packed = unpack.unconsumed_tail or await self._connection.read()
            if not packed or unpack.eof:
                return b"" if unpack.eof else unpack.flush()
            try:
                if unpacked := unpack.decompress(packed, _MOST_UNPACKED):
                    return unpacked
            except zlib.error:
                raise ConnectionResetError("what came is not packed as it says") from None
        return b""

    def rest(self) -> bytes | None:
        """What is still to be read, if all of it has come."""
        if self._connection is None or self._unpack is not None:
            return None
        data = self._connection.rest()
        if self._exchange is not None and data:
            self._exchange.heard(data)
        return data

    async def body(self, most: int, too_large: Callable[[], Exception]) -> bytes:
        """What is still to come, whole. Raises `too_large` for more than so many bytes; OSError."""
        body = bytearray()
        while data := await self.read():
            body += data
            if len(body) > most:
                raise too_large()
        return bytes(body)

    async def beginning(self, enough: int) -> bytes:
        """All of it, or its beginning, where that has so many bytes or more. Raises OSError."""
        found = bytearray()
        while len(found) < enough and (data := await self.read()):
            found += data
        return bytes(found)

    async def drain(self) -> None:
        """Read up to the end, so that the connection can be used again; whoever dawdles loses it."""
        if self.at_end:
            return
        try:
            async with asyncio.timeout(_GRACE):
                while not self.at_end and await self.read():
                    pass
        except OSError:
            return

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.closed(self.at_end)
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client._done(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kept_for(headers: Mapping[str, str], most: float) -> float:
    """Seconds: less than the server says that it keeps an idle connection, so that it does not close one that
    is taken up just then."""
    said = headers.get("Keep-Alive")
    found = _KEEPS.search(said) if said else None
    return min(most, float(found[1]) - 1) if found else most


def _unpacker(coding: str) -> "zlib._Decompress | None":
    """47: gzip or zlib, whichever it is."""
    return zlib.decompressobj(47) if coding.strip().lower() in _PACKED else None


def _head(method: str, url: URL, headers: bytes, body: bytes | None, content_type: str) -> bytes:
    kind = b""
    if body is not None:
        kind = b"%bContent-Length: %d\r\n" % (_kind(content_type), len(body))
    return b"%b%b%b\r\n" % (_first_line(method, url), headers, kind)


@lru_cache
def _first_line(method: str, url: URL) -> bytes:
    return f"{method} {url.raw_path_qs or '/'} HTTP/1.1\r\n".encode()


@lru_cache
def _kind(content_type: str) -> bytes:
    return _lines({"Content-Type": content_type})


def _lines(headers: Mapping[str, str]) -> bytes:
    """Raises ValueError."""
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"'{name}' is no name of a header")
        if any(character < " " and character != "\t" for character in value):
            raise ValueError(f"the value of the header '{name}' has control characters")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _host(base: URL) -> str:
    host = f"[{base.host}]" if base.host and ":" in base.host else base.raw_host or ""
    return host if base.is_default_port() or base.port is None else f"{host}:{base.port}"


def _secrets(base: URL, headers: Mapping[str, str]) -> tuple[bytes, ...]:
    """What a server that is asked with it may not have shown, should it repeat it."""
    keys = [value.rpartition(" ")[2] for name, value in headers.items() if name.lower() in _SECRET]
    return tuple(key.encode() for key in (*keys, base.password or "") if len(key) >= _SHORT)


def _credentials(base: URL) -> dict[str, str]:
    """Those that stand in the URL."""
    if base.user is None and base.password is None:
        return {}
    pair = base64.b64encode(f"{base.user or ''}:{base.password or ''}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}
