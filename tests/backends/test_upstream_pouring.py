"""Whoever reads a model's answer takes no step for nothing, however the answer comes."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from tests.backends.test_http import PATIENCE, request, serving

from antiphon.backends.sse import Events
from antiphon.backends.upstream import Upstream
from antiphon.model import Delta, Deltas, TextDelta
from antiphon.protocol.errors import ApiError

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
SOON = 0.02


class Text:
    """A delta for each read, and one for the end."""

    ended = False
    fault: ApiError | None = None

    def read_from(self, events: Events, data: bytes) -> list[Delta]:
        return [TextDelta(data.decode())]

    def whole(self, body: bytes) -> list[Delta]:
        raise AssertionError

    def cut(self, rest: bytes | None) -> list[Delta]:
        return [TextDelta(".")]


@asynccontextmanager
async def answered(head: bytes, pieces: Sequence[bytes]) -> AsyncIterator[Deltas]:
    """The deltas of an answer whose pieces come one by one."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(head + b"\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(SOON)

    async with serving(handle) as url:
        upstream = Upstream(url, speaks="text", headers={}, patience=PATIENCE)
        with await upstream.post("a", b"") as answer:
            async with aclosing(upstream.deltas(answer, Text())) as deltas:
                yield deltas
        await upstream.close()


async def batches(deltas: Deltas, after: float = 0, most: int = 100) -> tuple[list[str], list[str]]:
    """What was yielded and what was poured. `after` so many seconds the next is asked for; `most` are taken
    of what is poured."""
    yielded, poured = [await anext(deltas)], []

    def pour(batch: Sequence[Delta]) -> bool:
        poured.append(batch)
        return len(poured) % most > 0

    while True:
        await asyncio.sleep(after)
        try:
            yielded.append(await deltas.asend(pour))
        except StopAsyncIteration:
            return [*map(_text, yielded)], [*map(_text, poured)]


def _text(batch: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in batch if isinstance(delta, TextDelta))


async def test_what_is_packed_is_not_poured() -> None:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(word) + packer.flush(zlib.Z_SYNC_FLUSH) for word in (b"a", b"b", b"c")]
    async with answered(HEAD + b"Content-Encoding: gzip\r\n", pieces) as deltas:
        assert await batches(deltas) == (["a", "b", "c", "."], [])


async def test_nor_is_what_has_come_by_then() -> None:
    async with answered(HEAD, [b"a", b"b", b"c"]) as deltas:
        assert await batches(deltas, after=30 * SOON) == (["a", "bc", "."], [])


async def test_a_reader_takes_a_step_where_he_is_too_slow_for_what_is_poured_and_at_its_end() -> None:
    pieces = [b"a", b"b", b"c", b"d"]
    async with answered(HEAD, pieces) as deltas:
        assert await batches(deltas, most=2) == (["a", "", "d", "."], ["b", "c"])
    async with answered(HEAD, pieces) as deltas:
        assert await batches(deltas) == (["a", "", "."], ["b", "c", "d"])
