"""Pictures, and other data that stands as base64 in items and events, kept as blobs.

Rows have a *mark* in place of the base64: a control character, which JSON has nowhere as it is, and the
SHA-256 of the data. So nobody can send a mark, the same content looks the same (an item that a client sends
back is the item that is there), and when marks are filled again every byte is as it was.

    "result":"iVBORw0KGgoAAAANSUhEUgAA…"    "result":"␚9f86d081884c7d659a2feaa0c55ad015…"

A project keeps each content once. It comes in whole as a blob before anything names it; then one transaction
writes its row together with the items or events that have the mark, each of which *uses* it. With the last
use goes the row, and a job that removes the blob is enqueued in that transaction. A crash leaves at most
blobs that no row knows, which the sweep of files finds.
"""

import asyncio
import hashlib
import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

import structlog
from msgspec import Struct

from antiphon.guard.offload import offload
from antiphon.protocol.ids import new_blob_name
from antiphon.store import work
from antiphon.store.blobs import Blobs
from antiphon.store.database import Database
from antiphon.store.errors import Conflict, LostData
from antiphon.store.statements import Insert, Lock, Statement, Steps, one, rows_named
from antiphon.store.work import ClaimedJob, Job

LEAST = 4096
"""Characters of base64 that are worth a blob: a file takes as much room however small it is."""
REMOVE = "remove_blob"
"""The kind of the jobs that remove a blob."""
AT_ONCE = 8
"""Blobs that one reader reads at the same time: in a bucket each of them takes a while to begin."""
MARK = b"\x1a"
MARKED = MARK[0]
"""What has a mark in it has this byte, which is found sooner than `bytes` are."""
_marks = re.compile(rb"\x1a([0-9a-f]{64})")
_PIECE = 2**20
"""Characters of base64 that are coded at a time: other threads have their turn in between."""
_THING = 512
"""Bytes that take as long to look through and to code as one of the things that `offload` counts."""

T = TypeVar("T")
User = Literal["item", "run"]
"""What uses data: an item, or the log and the input of a background run."""

log = structlog.get_logger()


class DataRow(Struct, frozen=True):
    """Data that came in; `blob` is where its bytes are."""

    sha256: bytes
    size: int
    blob: str


class Marked(Struct, frozen=True):
    """JSON with marks, and what came in with it."""

    json: bytes
    data: Sequence[DataRow] = ()


class Torn(bytes):
    """JSON some of whose data was not there when it was filled. It may be there again."""


Cuts: TypeAlias = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""JSON with marks, and its data by SHA-256."""
Write: TypeAlias = Callable[[Sequence[Marked]], Awaitable[T]]


# ---- marks ------------------------------------------------------------------------------------------


def cut(json: bytes) -> tuple[bytes, Mapping[bytes, bytes]]:
    """JSON with marks in place of long base64, and the data by SHA-256. It may stand in a data URL."""
    data: dict[bytes, bytes] = {}
    if len(json) < LEAST:
        return json, data
    texts = json.split(b'"')
    for number, text in enumerate(texts):
        before, comma, base64 = text.rpartition(b",")
        if len(base64) >= LEAST and (found := _decoded(base64)) is not None:
            digest = hashlib.sha256(found).digest()
            data[digest] = found
            texts[number] = before + comma + MARK + digest.hex().encode()
    return b'"'.join(texts), data


def fill(jsons: Sequence[bytes], data: Mapping[bytes, bytes]) -> Sequence[bytes]:
    """JSON with data by SHA-256 in place of its marks: what `cut` has taken out."""
    texts = {sha256.hex().encode(): _encoded(found) for sha256, found in data.items()}
    return [_filled(json, texts) if MARKED in json else json for json in jsons]


def marked_in(jsons: Iterable[bytes]) -> set[bytes]:
    """The SHA-256 of the data that belongs in there."""
    return {bytes.fromhex(mark.decode()) for json in jsons if MARKED in json for mark in _marks.findall(json)}


def _filled(json: bytes, texts: Mapping[bytes, bytes]) -> bytes:
    whole = _marks.sub(lambda mark: texts[mark[1]], json)
    return whole if all(texts[mark] for mark in _marks.findall(json)) else Torn(whole)


def _decoded(text: bytes) -> bytes | None:
    """None, unless it is exactly what the data is as base64."""
    if text.find(b"=", 0, -2) >= 0:
        return None
    pieces: list[bytes] = []
    try:
        for first in range(0, len(text), _PIECE):
            piece = text[first : first + _PIECE]
            pieces.append(a2b_base64(piece, strict_mode=True))
            if b2a_base64(pieces[-1], newline=False) != piece:
                return None
    except Error:
        return None
    return b"".join(pieces)


def _encoded(data: bytes) -> bytes:
    step = _PIECE // 4 * 3
    pieces = (data[first : first + step] for first in range(0, len(data), step))
    return b"".join(b2a_base64(piece, newline=False) for piece in pieces)


# ---- rules ------------------------------------------------------------------------------------------


def arrive(project: str, data: Sequence[DataRow]) -> Steps[None]:
    """Rows of data. What the project has already stays as it is, and the blob that came again is swept."""
    if data:
        rows = [(project, row.sha256, row.size, row.blob) for row in data]
        yield Insert("inline_data (project_id, sha256, size, blob)", rows, conflict="ON CONFLICT DO NOTHING")


def use(user: User, key: int, project: str, jsons: Iterable[bytes]) -> Steps[None]:
    """An item or a run uses the data that is marked in there. Raises LostData when it is not there."""
    for sha256 in marked_in(jsons):
        sql = "SELECT key FROM inline_data WHERE project_id = $1 AND sha256 = $2"
        found = yield from one(Statement(sql, (project, sha256)))
        if found is None:
            raise LostData(sha256.hex())
        into = f"inline_data_uses (data, {user})"
        yield Insert(into, ((found[0], key),), conflict="ON CONFLICT DO NOTHING")


def release(user: User, keys: str, values: tuple[object, ...]) -> Steps[None]:
    """Items or runs use nothing any more, in the transaction that deletes them. `keys`: theirs, as SQL. Data
    that nothing uses goes."""
    sql = f"DELETE FROM inline_data_uses WHERE {user} IN ({keys}) RETURNING data"
    for (data,) in (yield Statement(sql, values)):
        yield Lock("SELECT 1 FROM inline_data WHERE key = $1 FOR UPDATE", (data,))
        sql = """
            DELETE FROM inline_data
            WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM inline_data_uses WHERE data = $1)
            RETURNING project_id, blob"""
        gone = yield Statement(sql, (data,))
        yield from work.enqueue([Job(kind=REMOVE, payload=blob.encode(), project=of) for of, blob in gone])


def find(project: str, wanted: Collection[bytes]) -> Steps[dict[bytes, str]]:
    """Where data lies, as far as it is there, by SHA-256."""
    select = "SELECT sha256, blob FROM inline_data WHERE project_id = $1 AND sha256"
    return dict((yield from rows_named(select, project, list(wanted))))


# ---- the way in and out -----------------------------------------------------------------------------


class InlineData:
    """Where items and events enter and leave the store."""

    def __init__(self, database: Database, blobs: Blobs | None) -> None:
        """Without `blobs` data stays in the rows."""
        self._database = database
        self._blobs = blobs

    def may_cut(self, jsons: Iterable[bytes]) -> bool:
        """Whether any of it is so long that it may have data in it."""
        return self._blobs is not None and max(map(len, jsons), default=0) >= LEAST

    async def storing(self, project: str, jsons: Sequence[bytes], write: Write[T]) -> T:
        """Do a write that has this JSON in it. Nothing was written where it raises Conflict or gives False.
        What is small is asked for at once, as any other."""
        blobs = self._blobs
        if blobs is None or not self.may_cut(jsons):
            return await write([Marked(json) for json in jsons])
        size = sum(map(len, jsons))
        cuts = await offload(size // _THING, lambda: [cut(json) for json in jsons])
        wanted = {sha256 for _, data in cuts for sha256 in data}
        known = await self._database.read(find, project, wanted)
        try:
            return await _written(blobs, cuts, known, write)
        except LostData:  # it went in that moment
            return await _written(blobs, cuts, (), write)

    async def filled(self, project: str, jsons: Sequence[bytes]) -> Sequence[bytes]:
        """JSON as it came, with its data; what lacks some of it is Torn."""
        wanted = marked_in(jsons)
        if not wanted:
            return jsons
        found = await self._database.read(find, project, wanted)
        turns = asyncio.Semaphore(AT_ONCE)

        async def read(sha256: bytes) -> tuple[bytes, bytes]:
            async with turns:
                return sha256, await self._read(found.get(sha256))

        data = dict(await asyncio.gather(*map(read, wanted)))
        size = sum(map(len, data.values()))
        return await offload(size // _THING, fill, jsons, data)

    async def read(self, project: str, sha256: bytes) -> bytes | None:
        """The data with this SHA-256; None: nothing of the project has it."""
        found = await self._database.read(find, project, [sha256])
        return await self._read(found[sha256]) if found else None

    async def remove(self, job: ClaimedJob) -> None:
        """Handles a job of the kind REMOVE."""
        if self._blobs is not None:
            await self._blobs.remove([job.payload.decode()])

    async def _read(self, blob: str | None) -> bytes:
        """Nothing, when it is gone: then so is what had it, unless the disk has lost it."""
        try:
            return await self._blobs.read(blob) if self._blobs and blob else b""
        except FileNotFoundError:
            log.warning("data of an item is gone", blob=blob)
            return b""


async def _written(blobs: Blobs, cuts: Cuts, known: Collection[bytes], write: Write[T]) -> T:
    """What is refused leaves nothing: it can come again at once, and orphans stay for a while."""
    kept = await _kept(blobs, cuts, known)
    names = [row.blob for each in kept for row in each.data]
    try:
        outcome = await write(kept)
    except Conflict:
        await blobs.remove(names)
        raise
    if outcome is False:
        await blobs.remove(names)
    return outcome


async def _kept(blobs: Blobs, cuts: Cuts, known: Collection[bytes]) -> Sequence[Marked]:
    """JSON whose data has its place, but for what is known."""
    seen = set(known)
    kept = []
    for json, data in cuts:
        new = [await _keep(blobs, found) for sha256, found in data.items() if sha256 not in seen]
        seen |= data.keys()
        kept.append(Marked(json, new))
    return kept


async def _keep(blobs: Blobs, data: bytes) -> DataRow:
    async with blobs.incoming(new_blob_name()) as incoming:
        await incoming.write(data)
        blob = await incoming.finish()
        await incoming.keep()
    return DataRow(blob.sha256, blob.size, incoming.name)
