"""What is poured of an answer is what would have been read of it, and ends as that would have."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate, pairwise
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.backends.http_connection import Connection

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_ENDS = {"close": None, "reset": ConnectionResetError(), "silence": TimeoutError()}


class Wire(asyncio.Transport):
    """A transport to nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def write(self, data: object) -> None: ...

    def abort(self) -> None:
        self._closed = True

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Taken:
    """One answer, as a client takes it that pours, or does not."""

    def __init__(self, pours: bool, chance: Random) -> None:
        self.body = b""
        self._pours = pours
        self._chance = chance
        self._connection = Connection(set())
        self._connection.connection_made(Wire())

    async def all(self) -> None:
        await self._connection.ask(b"", None, 5)
        data = b"?"
        while data:
            if self._pours and self._chance.random() < 0.8:
                await self._connection.pour(self._take)
            data = await self._connection.read()
            self.body += data
            await self._pause()

    def _take(self, data: bytes) -> bool:
        self.body += data
        return self._chance.random() < 0.7

    async def _pause(self) -> None:
        for _ in range(self._chance.choice((0, 1, 6))):
            await asyncio.sleep(0)

    async def fault(self, pieces: Sequence[bytes], end: str) -> str | None:
        """What is raised when these come, and then the end."""
        taking = asyncio.ensure_future(self.all())
        await asyncio.sleep(0)
        for piece in pieces:
            self._connection.data_received(piece)
            await self._pause()
        fault = _ENDS[end]
        if isinstance(fault, TimeoutError):
            self._connection._fail(fault)
        else:
            self._connection.connection_lost(fault)
        try:
            await asyncio.wait_for(taking, 60)
        except OSError as raised:
            return type(raised).__name__
        finally:
            self._connection.hang_up()
        return None


@st.composite
def answers(draw: st.DrawFn) -> list[bytes]:
    """The reads of one with a length or in chunks, whole or broken off, with garbage in it or behind it."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=6))
    head, framed = draw(
        st.sampled_from(
            [
                (_CHUNKED, [*(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces), b"0\r\n\r\n"]),
                (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(b"".join(pieces)), pieces),
                (b"HTTP/1.1 200 OK\r\n\r\n", pieces),
            ]
        )
    )
    place = draw(st.integers(0, len(framed)))
    garbage = draw(st.sampled_from([b"", b"zz\r\n", b"HTTP/1.1 200 OK\r\n"]))
    said = [head, *framed[:place], garbage, *draw(st.sampled_from([framed[place:], []]))]
    joined = b"".join(said)
    cuts = sorted(draw(st.sets(st.integers(1, len(joined)), max_size=3)) | _between(draw, said))
    return [joined[start:end] for start, end in pairwise([0, *cuts, len(joined)]) if start < end]


def _between(draw: st.DrawFn, said: Sequence[bytes]) -> set[int]:
    """Where some of the pieces end."""
    ends = list(accumulate(map(len, said)))
    return draw(st.sets(st.sampled_from(ends)))


@given(answers(), st.sampled_from(sorted(_ENDS)), st.integers(0, 999))
@example([_CHUNKED + b"3\r\none\r\n", b"3\r\ntwo\r\nInternal Server Error\r\n\r\n"], "close", 1)
def test_what_is_poured_is_what_is_read_and_then_comes_the_same_fault(
    reads: list[bytes], end: str, seed: int
) -> None:
    async def taken(pours: bool) -> tuple[str | None, bytes]:
        answer = Taken(pours, Random(seed))
        return await answer.fault(reads, end), answer.body

    assert asyncio.run(taken(True)) == asyncio.run(taken(False))
