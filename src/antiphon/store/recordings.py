"""Recordings: what responses sent to their upstreams, and what came back, byte for byte.

They are written apart from their responses, after these have ended, so a crash may lose some; what belongs to
a response that was deleted meanwhile is not written. What is deleted takes its recordings along, in the same
transaction (`responses.delete`).

Their bytes are rows of the table and no blobs: a stream of 200 deltas is less than a kilobyte when it is
packed, and many are written in one statement. Lists come without them.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.statements import (
    Insert,
    Lock,
    Row,
    Statement,
    Steps,
    one,
    placeholders,
    portions,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1
_SHORT = 2048
"""Bytes that are kept as they are: to pack them takes longer than to write them."""
_FRAME = b"\x28\xb5\x2f\xfd"
"""What packed bytes begin with."""
_ROW = 200
"""Bytes of a row beside its head and its content, about, with what the indexes have of it."""
_BATCH = 200
"""Rows that are deleted in one transaction."""
_PAUSE = 0.02
"""Seconds for which others have the store between two of them."""


class Mark(Struct, frozen=True, array_like=True, gc=False):
    """Something that took its time while a response was made. The order of its members is for good."""

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


class Recording(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One request to an upstream, and its answer, but for their bodies. The order of its members is for good:
    rows hold it as a list in JSON."""

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
    request_kept: int | None = None
    """Of the request, as it is kept. None: no content is. Less than `request_bytes`: it was cut, or pictures
    were left out."""
    marks: tuple[Mark, ...] = ()
    """What took its time in all of the response: at the last of its recordings."""


class Bodies(Struct, frozen=True, gc=False):
    """What was sent, and what came back as it came: lines of a stream, or JSON."""

    request: bytes
    answer: bytes


class NewRecording(Struct, frozen=True, gc=False):
    """A recording of a response. `stored`: the response is kept, so it can be deleted. Without `bodies` no
    content is kept."""

    project: str
    response_id: str
    stored: bool
    recording: Recording
    bodies: Bodies | None = None


class Packed(Struct, frozen=True, gc=False):
    """A recording as it is written."""

    stored: bool
    """The response is."""
    size: int
    """Bytes that it takes, about."""
    row: Row


class Packer:
    """Packs recordings, one after another: to begin anew for each would cost more than to pack it."""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(_LEVEL)

    def pack(self, new: NewRecording) -> Packed:
        """To be done in a thread where it is large."""
        recording, content = new.recording, None
        if new.bodies is not None:
            content = new.bodies.request + new.bodies.answer
            if len(content) > _SHORT or content.startswith(_FRAME):
                content = self._compressor.compress(content, zstd.ZstdCompressor.FLUSH_FRAME)
        head = _head.encode(recording)
        size = _ROW + len(head) + len(content or b"")
        row = (new.project, new.response_id, recording.started_at, size, head, content)
        return Packed(new.stored, size, row)


def _unpacked(found: tuple[Recording, bytes]) -> Bodies:
    recording, content = found
    both = zstd.decompress(content) if content.startswith(_FRAME) else content
    return Bodies(both[: recording.request_kept], both[recording.request_kept :])


_head = msgspec.json.Encoder()
_recording = msgspec.json.Decoder(Recording)


class RecordingEntry(Struct, frozen=True, gc=False):
    """A recording as it is listed. `key` is the name of its bodies."""

    key: int
    recording: Recording


class Recordings:
    """Those of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[Packed]) -> None:
        """Keep them in one transaction, save those whose response was deleted."""
        await self._database.write(record_all, rows)

    async def of(self, project: str, response_id: str) -> Sequence[RecordingEntry]:
        """Those of a response, in the order in which they began."""
        return await self._database.read_long(load, project, response_id)

    async def bodies(self, project: str, response_id: str, key: int) -> Bodies | None:
        """Those of a recording; None: they are not kept, or there is no such recording."""
        found = await self._database.read_long(load_bodies, project, response_id, key)
        return await asyncio.to_thread(_unpacked, found) if found is not None else None

    async def size(self) -> int:
        """Bytes of all of them, about, as they are kept."""
        return await self._database.read_long(size)

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` that began before (seconds since the epoch), the oldest first; gives how
        many went."""
        return await self._database.write(expire, before, limit)

    async def trim(self, most: int) -> None:
        """Forget the oldest until at most so many bytes are left."""
        excess = await self.size() - most
        while excess > 0 and (gone := await self._database.write(trim, excess, _BATCH)):
            excess -= gone
            await asyncio.sleep(_PAUSE)

    async def forget(self, project: str) -> None:
        """Forget those of a project."""
        gone = _BATCH
        while gone == _BATCH:
            gone = await self._database.write(forget, project, _BATCH)
            await asyncio.sleep(_PAUSE)


# ---- rules ------------------------------------------------------------------------------------------


def record_all(rows: Sequence[Packed]) -> Steps[None]:
    """Write rows, of responses that are there still."""
    ids: dict[str, set[str]] = {}
    for project, response_id, *_ in (each.row for each in rows if each.stored):
        ids.setdefault(project, set()).add(response_id)
    there: set[Row] = set()
    for project in sorted(ids):
        there.update((yield from _there(project, sorted(ids[project]))))
    kept = [each.row for each in rows if not each.stored or each.row[:2] in there]
    if kept:
        yield Insert("recordings (project_id, response_id, started_at, size, head, content)", kept)


def _there(project: str, ids: Sequence[str]) -> Steps[list[Row]]:
    """Those of the responses that are there, with their project. Nobody deletes them before the rule ends. A
    background response is written anew when it ends: who waited for that sees it the second time."""
    found: list[Row] = []
    for some in portions(ids):
        named = f"""
            SELECT project_id, id FROM responses
            WHERE project_id = $1 AND id IN ({placeholders(2, len(some))})"""
        yield Lock(f"{named} FOR KEY SHARE", (project, *some))
        found += yield Statement(f"{named} /*! FOR KEY SHARE */", (project, *some))
    return found


def load(project: str, response_id: str) -> Steps[list[RecordingEntry]]:
    sql = """
        SELECT key, head FROM recordings WHERE project_id = $1 AND response_id = $2
        ORDER BY started_at, key"""
    rows = yield Statement(sql, (project, response_id))
    return [RecordingEntry(key, _recording.decode(head)) for key, head in rows]


def load_bodies(project: str, response_id: str, key: int) -> Steps[tuple[Recording, bytes] | None]:
    sql = """
        SELECT head, content FROM recordings
        WHERE project_id = $1 AND response_id = $2 AND key = $3 AND content IS NOT NULL"""
    found = yield from one(Statement(sql, (project, response_id, key)))
    return (_recording.decode(found[0]), found[1]) if found is not None else None


def size() -> Steps[int]:
    ((found,),) = yield Statement("SELECT coalesce(sum(size), 0) FROM recordings")
    return int(found)


_OLDEST = """
    SELECT key, started_at, size FROM recordings ORDER BY key LIMIT $2 /*! FOR UPDATE SKIP LOCKED */"""
"""Those that were written first. Each is written when its response has ended, so that another began before
it by no more than a response takes."""


def trim(excess: int, limit: int) -> Steps[int]:
    """Forget the oldest, at most `limit`, until so many bytes are gone; gives how many went."""
    summed = f"SELECT key, sum(size) OVER (ORDER BY key) - size AS older FROM ({_OLDEST}) AS oldest"
    sql = f"""
        DELETE FROM recordings WHERE key IN (SELECT key FROM ({summed}) AS summed WHERE older < $1)
        RETURNING size"""
    return sum(size for (size,) in (yield Statement(sql, (excess, limit))))


def expire(before: float, limit: int) -> Steps[int]:
    sql = f"""
        DELETE FROM recordings WHERE key IN (SELECT key FROM ({_OLDEST}) AS oldest WHERE started_at < $1)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))


def forget(project: str, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM recordings WHERE key IN (
            SELECT key FROM recordings WHERE project_id = $1 LIMIT $2 /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key"""
    return len((yield Statement(sql, (project, limit))))


def delete(project: str, response_id: str) -> Steps[None]:
    """As a part of the rule that deletes the response, behind that: who records meanwhile holds it."""
    yield Statement(
        "DELETE FROM recordings WHERE project_id = $1 AND response_id = $2", (project, response_id)
    )
