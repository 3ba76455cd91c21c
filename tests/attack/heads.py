"""Section: what comes before a body, and around it: heads that are none, that do not end, that say two things
at once. All of it over sockets of its own, since no client would send it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import httptools
import msgspec
from tests.attack.damage import cut
from tests.attack.heavy import MOST_HELD
from tests.attack.world import ENVELOPE, KEYS, Effort, World

AT_ONCE = 32
MOST_GROWN = 150 * 2**20
"""Bytes by which a flood may make the server larger."""
_QUIET = 0.5
"""Seconds of silence after which a server has said all that it says to an open connection."""
_PATIENCE = 30.0
_AUTH = f"Authorization: Bearer {KEYS['mallory']}\r\n".encode()
_BODY = b'{"model":"m","input":"Hi"}'
_GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + _AUTH
_POST = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + _AUTH
_SECOND = b"GET /v1/models/smuggled HTTP/1.1\r\nHost: localhost\r\n" + _AUTH + b"\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _length(size: int | str) -> bytes:
    return f"Content-Length: {size}\r\n".encode()


def _chunks(*texts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(text), text) for text in texts) + b"0\r\n\r\n"


# ---- one at a time ----------------------------------------------------------------------------------


def ambiguous() -> Iterator[tuple[str, bytes]]:
    """Requests that two readers would see end in different places: what follows the first end is another
    request to one of them. All must be refused, and nothing may be read behind them."""
    for name, framing in {
        "two lengths": _length(2) + _length(len(_BODY)),
        "a list of lengths": _length("2, 26"),
        "a length and chunks": _length(len(_BODY)) + _CHUNKED,
        "chunks and a length": _CHUNKED + _length(5),
        "a signed length": _length("+26"),
        "a negative length": _length(-26),
        "a hexadecimal length": _length("0x1a"),
        "a length past 64 bits": _length(2**64 + 26),
        "no length": _length(""),
        "a length with a blank inside": _length("2 6"),
        "a blank before the colon": b"Content-Length : 26\r\n",
        "a blank before the colon of chunks": b"Transfer-Encoding : chunked\r\n",
        "chunks, and not": b"Transfer-Encoding: chunked, identity\r\n",
        "a coding that nobody knows": b"Transfer-Encoding: xchunked\r\n",
        "chunks in a vertical tab": b"Transfer-Encoding:\x0bchunked\r\n",
        "a NUL in a name": b"Content\0-Length: 26\r\n",
        "a carriage return alone": b"A: b\rContent-Length: 26\r\n",
        "a line that goes on": b"A: b\r\n Content-Length: 26\r\n" + _CHUNKED + _length(26),
    }.items():
        yield name, _POST + framing + b"\r\n" + _BODY + _SECOND
    for name, chunks in {
        "a chunk of a negative size": b"-1\r\nx\r\n0\r\n\r\n",
        "a chunk of a size past 64 bits": b"1000000000000000a\r\nx\r\n0\r\n\r\n",
        "a chunk of 0x": b"0x1a\r\n" + _BODY + b"\r\n0\r\n\r\n",
        "a chunk that is longer than it says": b"2\r\n" + _BODY + b"\r\n0\r\n\r\n",
        "a chunk without its end": b"1a\r\n" + _BODY + b"0\r\n\r\n",
        "a chunk after a line feed": b"1a\n" + _BODY + b"\r\n0\r\n\r\n",
    }.items():
        yield name, _POST + _CHUNKED + b"\r\n" + chunks + _SECOND


def odd() -> Iterator[tuple[str, bytes]]:
    """Whatever they are answered with, it is in the envelope."""
    lines = (
        *(b"GET", b"GET /", b"get / HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/0.9"),
        *(b"GET / HTTP/2.0", b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"GET \0 HTTP/1.1"),
        *(b"GET http://127.0.0.1:1/x HTTP/1.1", b"GET //x/y HTTP/1.1", b"GET /\xff HTTP/1.1", b"\0" * 100),
        *(b"TRACE / HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"M-SEARCH / HTTP/1.1", b"A" * 70_000),
        *(b"GET /" + b"a" * 60_000 + b" HTTP/1.1", b"GET /" + b"%" * 999 + b" HTTP/1.1", b"GET /#x HTTP/1.1"),
        *(b"GET /v1/../../etc/passwd HTTP/1.1", b"GET /v1/%2e%2e/models HTTP/1.1", b"\x16\x03\x01\x02\x00"),
    )
    for line in lines:
        yield f"line {line[:40]!r}", line + b"\r\nHost: localhost\r\nConnection: close\r\n" + _AUTH + b"\r\n"
    for header in (
        *(
            b"",
            b":",
            b": b",
            b"A",
            b"A:",
            b"\xe9: b",
            b"A: \xff\xfe",
            b"A: \0",
            b"A b: c",
            b"Host: other.test",
        ),
        *(
            b"Host:",
            b"Connection: upgrade\r\nUpgrade: h2c",
            b"Connection: " + b"a," * 5000,
            b"Expect: 100-continue",
        ),
        *(
            b"Expect: miracles",
            b"Content-Encoding: gzip, gzip",
            b"Authorization: Bearer",
            b"Cookie: " + b"a" * 60_000,
        ),
        *(b"Range: bytes=0-,0-,0-", b"A: b\r\n" * 9000, b"Origin: null", b"Sec-WebSocket-Key: x"),
    ):
        yield f"header {header[:40]!r}", _GET + header + b"\r\nConnection: close\r\n\r\n"


async def _one(world: World, name: str, data: bytes, alone: bool = False) -> None:
    """Send it, and look at what comes back: answers in the envelope, or none. `alone`: there is one at most,
    which refuses it."""
    world.record.tried["heads"] += 1
    said = await _said(world, data)
    if said is None:
        world.record.hangs += 1
        world.broken(f"{name} is neither answered nor closed: {data[:200]!r}")
        return
    answers = _Answers(said).found
    statuses = [status for status, _ in answers]
    world.record.statuses.update(statuses)
    for status, body in answers:
        if status >= 500:
            world.broken(f"{name}: {status} {body[:200]!r}")
        if status >= 400 and not data.startswith(b"HEAD") and not _in_envelope(body):
            world.broken(f"{name} is answered outside the envelope: {said[:300]!r}")
    if alone and (len(statuses) > 1 or any(status < 400 for status in statuses)):
        world.broken(f"{name} is taken for more than it is: {statuses}, {data[-200:]!r}")


async def _said(world: World, data: bytes) -> bytes | None:
    """All that the server says to some bytes, and to their end; None: it does not close then."""
    async with _connection(world) as (reader, writer):
        said = b""
        with suppress(OSError):
            writer.write(data)
            await writer.drain()
            with suppress(TimeoutError):
                while chunk := await asyncio.wait_for(reader.read(65536), _QUIET):
                    said += chunk
            writer.write_eof()
        try:
            async with asyncio.timeout(_PATIENCE):
                with suppress(OSError):
                    said += await reader.read()
        except TimeoutError:
            return None
        return said


@asynccontextmanager
async def _connection(world: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*world.server.address, limit=2**26)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class _Answers:
    """The answers in what was said, one after another."""

    def __init__(self, said: bytes) -> None:
        self.found: list[tuple[int, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        with suppress(httptools.HttpParserUpgrade):
            self._parser.feed_data(said)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 100:
            self.found.append((self._parser.get_status_code(), self._body))


def _in_envelope(body: bytes) -> bool:
    try:
        return set(msgspec.json.decode(body)["error"]) == ENVELOPE
    except (msgspec.DecodeError, KeyError, TypeError):
        return False


async def _damaged(world: World, most: int) -> None:
    """Requests that were good until something happened to their bytes."""
    chunked = _POST + _CHUNKED + b"Connection: close\r\n\r\n" + _chunks(_BODY[:9], _BODY[9:])
    whole = _POST + _length(len(_BODY)) + b"Connection: close\r\n\r\n" + _BODY
    good = (whole, chunked, _GET + b"Connection: close\r\n\r\n", _GET + b"\r\n" + whole)
    left = iter(range(most))

    async def work() -> None:
        for _ in left:
            data = world.random.choice(good)
            for _ in range(world.random.choice((1, 1, 2, 5))):
                data = cut(world.random, data)
            await _one(world, "damaged", data)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


# ---- floods -----------------------------------------------------------------------------------------


async def _pour(world: World, head: bytes, more: bytes, times: int) -> None:
    """A request that does not end, until the server has had enough."""
    async with _connection(world) as (reader, writer):
        with suppress(OSError):
            writer.write(head)
            for _ in range(times):
                writer.write(more)
                await writer.drain()
            async with asyncio.timeout(_PATIENCE):
                await reader.read()


def _floods() -> Iterator[tuple[str, Callable[[World], Awaitable[None]]]]:
    line = b"A: " + b"x" * 1000 + b"\r\n"
    for name, head, more in (
        ("headers", _GET, line * 60),
        ("a line", b"GET /", b"x" * 60_000),
        ("a name", _GET, b"x" * 60_000),
        ("trailers", _POST + _CHUNKED + b"\r\n" + _chunks(_BODY)[:-2], line * 60),
        ("an extension of a chunk", _POST + _CHUNKED + b"\r\n1;", b"x" * 60_000),
        ("zeros before a size", _POST + _CHUNKED + b"\r\n", b"0" * 60_000),
        ("empty lines", b"", b"\r\n" * 30_000),
    ):
        yield f"{name} without end, 50 times", partial(_flood, head=head, more=more)
    ones = (b"1\r\n \r\n" * 1_000_000) + b"0\r\n\r\n"
    last = _GET + b"Connection: close\r\n\r\n"
    chunked = _POST + _CHUNKED + b"Connection: close\r\n\r\n"
    yield "1,000,000 chunks of a byte", partial(_pour, head=chunked, more=ones, times=1)
    yield "1,000 requests at once", partial(_pour, head=(_GET + b"\r\n") * 1_000, more=last, times=1)
    yield "3,000 half heads", partial(_halves, head=_GET)
    yield "3,000 half bodies", partial(_halves, head=_POST + _length(60_000_000) + b"\r\n{")


async def _flood(world: World, head: bytes, more: bytes) -> None:
    await asyncio.gather(*(_pour(world, head, more, 100) for _ in range(50)))


async def _halves(world: World, head: bytes, count: int = 3000) -> None:
    """So many requests that stay as they are, all at once; whoever asks meanwhile is answered."""
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection(*world.server.address)
            writers.append(writer)
            writer.write(head)
        told = await world.ask("GET", "/v1/models")
        if told.status != 200:
            world.broken(f"nobody is answered beside {count} half requests: {told.status}")
    finally:
        for writer in writers:
            writer.transport.abort()


async def heads(world: World, effort: Effort) -> None:
    """The section."""
    for name, data in ambiguous():
        await _one(world, name, data, alone=True)
    for name, data in odd():
        await _one(world, name, data)
    await _damaged(world, effort.most // 4)
    for name, flood in _floods():
        world.record.tried["heads"] += 1
        async with world.watched(name) as held:
            await flood(world)
            held.status = "done"
        if held.worst > MOST_HELD:
            world.broken(f"{name} holds the event loop for {held.worst:.2f} s")
        if held.grown > MOST_GROWN:
            world.broken(f"{name} makes the server {held.grown:,} bytes larger")
