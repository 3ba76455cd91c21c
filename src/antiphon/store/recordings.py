"""Recordings: what responses sent to their upstreams, and what came back, byte for byte.

They are written apart from their responses, after these have ended, so a crash may lose some; what belongs to
a response that was deleted meanwhile is not written. What is deleted takes its recordings along, in the same
transaction (`responses.delete`).

Their bytes are rows of the table and no blobs: a stream of 200 deltas is less than a kilobyte when it is
packed, and many are written in one statement.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.statements import Insert, Row, Statement, Steps, placeholders

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1
_ROW = 300
"""Bytes of a row beside its content, about, with what the indexes have of it."""
_BATCH = 200
"""Rows that are deleted in one transaction."""
_PAUSE = 0.02
"""Seconds for which others have the store between two of them."""


class Mark(Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that took its time while a response was made."""

    what: Literal["item", "tool"]
    """An item of the output, or a call that this server ran."""
    name: str
    """The type of the item; the function that was called."""
    id: str
    """Of the item; the call_id of a call."""
    at: float
    """When it began: seconds since the epoch."""
    milliseconds: int | None = None
    """None: it did not come to its end."""
    outcome: str | None = None
    """Of a call: `completed`, `failed`, `incomplete` or `cancelled`."""


class Recording(Struct, frozen=True, kw_only=True, gc=False):
    """One request to an upstream, and its answer as it came."""

    turn: int
    """Which turn of the model it was sent for, from 1; 0: before the first."""
    backend: str | None
    """The name under which the server is configured."""
    method: str = "POST"
    url: str
    """Without what may be secret in it: user, password, and the values of its query."""
    started_at: float
    """Seconds since the epoch."""
    milliseconds: int
    """To the end of the answer, or of the attempt."""
    first_milliseconds: int | None = None
    """To the head of the answer; None: there was none."""
    status: int | None = None
    """Of HTTP; None: nobody answered."""
    content_type: str | None = None
    """Of the answer."""
    error: str | None = None
    """What went wrong on the way, or that the answer was not read to its end."""
    request_bytes: int
    """Of the body, as it was sent."""
    answer_bytes: int = 0
    """Of the body, as much as was read."""
    request: bytes | None = None
    """The body. None: no content is kept. Shorter than `request_bytes`: it was cut, or
    pictures were left out."""
    answer: bytes | None = None
    """The body, as it came: lines of a stream, or JSON. Cut like the request."""
    marks: tuple[Mark, ...] = ()
    """What took its time in all of the response: at the last of its recordings."""


class NewRecording(Struct, frozen=True, gc=False):
    """A recording of a response. `stored`: the response is kept, so it can be deleted."""

    project: str
    response_id: str
    stored: bool
    recording: Recording


class Recordings:
    """Those of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: Sequence[NewRecording]) -> int:
        """Keep them, save those whose response was deleted. Gives how many bytes they take, about."""
        rows = await asyncio.to_thread(_all_packed, new)
        await self._database.write(record_all, rows)
        return sum(row.size for row in rows)

    async def of(self, project: str | None, response_id: str) -> Sequence[Recording]:
        """Those of a response, in the order in which they began. `project` None: whosever it is."""
        rows = await self._database.read_long(load, project, response_id)
        return await asyncio.to_thread(lambda: [_unpacked(row) for row in rows])

    async def size(self) -> int:
        """Bytes of all of them, about, as they are kept."""
        return await self._database.read_long(size)

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` that began before (seconds since the epoch), the oldest first; gives how
        many went."""
        return await self._database.write(expire, before, limit)

    async def trim(self, most: int) -> int:
        """Forget the oldest until at most so many bytes are left; gives how many went."""
        before = await self._database.read_long(excess, most)
        if before is None:
            return 0
        gone = last = await self.expire(before, _BATCH)
        while last == _BATCH:
            await asyncio.sleep(_PAUSE)
            last = await self.expire(before, _BATCH)
            gone += last
        return gone


_COLUMNS = (
    "turn, backend, method, url, started_at, milliseconds, first_milliseconds, status, content_type, error,"
    " request_bytes, answer_bytes"
)
_MEMBERS = tuple(_COLUMNS.split(", "))
_MARKS = msgspec.json.Decoder(tuple[Mark, ...])


class _Packed(Struct, frozen=True, gc=False):
    """A recording as its row has it. `values` are those behind project and response."""

    project: str
    response_id: str
    stored: bool
    size: int
    values: Row


def _all_packed(new: Sequence[NewRecording]) -> Sequence[_Packed]:
    compress = partial(zstd.ZstdCompressor(_LEVEL).compress, mode=zstd.ZstdCompressor.FLUSH_FRAME)
    return [_packed(each, compress) for each in new]


def _packed(new: NewRecording, compress: Callable[[bytes], bytes]) -> _Packed:
    recording = new.recording
    content, kept = None, None
    if recording.request is not None:
        kept = len(recording.request)
        content = compress(recording.request + (recording.answer or b""))
    marks = msgspec.json.encode(recording.marks).decode() if recording.marks else None
    size = _ROW + len(content or b"") + len(marks or "")
    values = (*(getattr(recording, name) for name in _MEMBERS), marks, size, kept, content)
    return _Packed(new.project, new.response_id, new.stored, size, values)


def _unpacked(row: Row) -> Recording:
    *values, marks, kept, content = row
    request = answer = None
    if content is not None:
        both = zstd.decompress(content)
        request, answer = both[:kept], both[kept:]
    members = dict(zip(_MEMBERS, values, strict=True))
    return Recording(**members, request=request, answer=answer, marks=_MARKS.decode(marks or "[]"))


def record_all(rows: Sequence[_Packed]) -> Steps[None]:
    """Write rows in one statement, of responses that are there still."""
    there = yield from _there({row.response_id for row in rows if row.stored})
    into = f"recordings (project_id, response_id, {_COLUMNS}, marks, size, request_kept, content)"
    kept = [
        (row.project, row.response_id, *row.values)
        for row in rows
        if not row.stored or (row.project, row.response_id) in there
    ]
    if kept:
        yield Insert(into, kept)


def _there(ids: set[str]) -> Steps[set[tuple[str, str]]]:
    """Those of the responses that are there, with their projects, and stay until the rule ends."""
    found: set[tuple[str, str]] = set()
    wanted = sorted(ids)
    for first in range(0, len(wanted), _BATCH):
        some = tuple(wanted[first : first + _BATCH])
        sql = f"""
            SELECT project_id, id FROM responses WHERE id IN ({placeholders(1, len(some))})
            /*! FOR KEY SHARE */"""
        found.update((yield Statement(sql, some)))
    return found


def load(project: str | None, response_id: str) -> Steps[list[Row]]:
    sql = f"""
        SELECT {_COLUMNS}, marks, request_kept, content FROM recordings
        WHERE response_id = $1 {"AND project_id = $2" if project is not None else ""}
        ORDER BY started_at, key"""
    return (yield Statement(sql, (response_id,) if project is None else (response_id, project)))


def size() -> Steps[int]:
    ((found,),) = yield Statement("SELECT coalesce(sum(size), 0) FROM recordings")
    return int(found)


def excess(most: int) -> Steps[float | None]:
    """Before which time those began that are too many; None: all have room."""
    if (yield from size()) <= most:
        return None
    sql = """
        SELECT started_at FROM (
            SELECT started_at, sum(size) OVER (ORDER BY started_at DESC) AS newer FROM recordings) AS summed
        WHERE newer <= $1 ORDER BY started_at LIMIT 1"""
    rows = yield Statement(sql, (most,))
    return float(rows[0][0]) if rows else float("inf")


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM recordings WHERE key IN (
            SELECT key FROM recordings WHERE started_at < $1 ORDER BY started_at LIMIT $2
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))


def delete(project: str, response_id: str) -> Steps[None]:
    """As a part of the rule that deletes the response."""
    yield Statement(
        "DELETE FROM recordings WHERE response_id = $1 AND project_id = $2", (response_id, project)
    )
