"""A store copied into another one, whatever the homes of both: its rows with their keys, and its blobs.

Rows go in the order of their keys, a few in each transaction; so whoever is killed goes on behind the last
row that the new store has. While it is not whole it has a mark, a table of its own: no server starts on it,
and only a copy of the same store goes on. What belongs to a process (who holds a lease or a lock) is left
behind, since no process has the copy yet.

Nobody may write to the old store meanwhile. That is seen at the end, where both are counted.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct, convert

from antiphon.store import vector_words
from antiphon.store.blobs import Blobs, pieces
from antiphon.store.errors import StoreError
from antiphon.store.statements import Insert, Own, Row, Rows, Statement, Steps, one, placeholders
from antiphon.store.store import Store
from antiphon.store.vector_chunks import NewChunk

MARK: Final = "antiphon_copy"
_BYTES = 4 * 2**20
"""Of rows that are read and written in one go, about."""
_MOST_ROWS = 2_000
_BLOBS = 8
"""Blobs that are copied at once."""


class Table(Struct, frozen=True):
    """A table that is copied."""

    name: str
    key: tuple[str, ...]
    """Columns, or terms of them, by which its rows are read in order."""


_NUMBER = ("key",)
TABLES: Final = (
    Table("items", _NUMBER),
    Table("threads", ("id",)),
    Table("links", ("thread", "position")),
    Table("responses", _NUMBER),
    Table("conversations", ("project_id", "id")),
    Table("files", _NUMBER),
    Table("uploads", _NUMBER),
    Table("upload_parts", ("id",)),
    Table("prompts", _NUMBER),
    Table("prompt_versions", ("prompt", "version")),
    Table("runs", _NUMBER),
    Table("events", ("run", "last")),
    Table("inline_data", _NUMBER),
    Table("inline_data_uses", ("data", "COALESCE(item, 0)", "COALESCE(run, 0)")),
    Table("webhook_deliveries", _NUMBER),
    Table("webhook_endpoints", _NUMBER),
    Table("activity", _NUMBER),
    Table("recordings", _NUMBER),
    Table("work", _NUMBER),
    Table("api_keys", _NUMBER),
    Table("key_usage", ("digest", "kind", "slot")),
    Table("vector_stores", _NUMBER),
    Table("vector_store_batches", _NUMBER),
    Table("vector_store_files", _NUMBER),
    Table("vector_chunks", _NUMBER),
    Table("containers", _NUMBER),
    Table("container_files", _NUMBER),
    Table("skill_bundles", _NUMBER),
    Table("skills", _NUMBER),
    Table("skill_versions", ("skill", "number")),
    Table("container_skills", ("container", "number")),
)
"""Each behind those that it refers to."""
MADE_ANEW: Final = frozenset(
    {"vector_words", "stored_bytes", "antiphon_schema", "sqlite_sequence", "queue_owners", "key_places"}
)
"""Tables that each home makes of the others, in a way of its own, or that say what processes have."""
_OF_A_PROCESS: Final = frozenset(
    {"owner", "leased_until", "job", "lock_holder", "locked_until", "home", "home_until"}
)
"""Columns that say which process has what."""

Progress = Callable[[int], None]
"""Called with how much is done."""


class NotCopied(StoreError):
    """A store cannot be copied to where it is wanted; the message says why."""


# ---- rows -------------------------------------------------------------------------------------------


async def count_rows(store: Store) -> int:
    return sum([await store.read_long(count, table) for table in TABLES])


async def copy_rows(source: Store, target: Store, origin: str, progress: Progress) -> None:
    """`origin`: names the source, the same each time. Raises NotCopied."""
    await check_whole(source, "The store to copy from")
    await target.write(_begin, origin)
    done = 0
    for table in TABLES:
        done += await target.read_long(count, table)
        progress(done)
        async for some in _copy(source, target, table, await _common(source, target, table)):
            done += some
            progress(done)
        await target.write(_count_on, table, await source.read_long(last_number, table))
    await _check_counts(source, target)
    await target.write(_finish)


async def check_whole(store: Store, what: str) -> None:
    """Raises NotCopied for a store that a copy was not brought to its end of."""
    origin = await store.read_long(_origin)
    if origin is not None:
        raise NotCopied(f"{what} is a copy of {origin} that is not whole. Give `antiphon copy` again.")


async def _copy(source: Store, target: Store, table: Table, columns: Sequence[str]) -> AsyncIterator[int]:
    """What the target has not yet. Gives how many rows were copied, each time."""
    width, limit = len(columns), 50
    after = await target.read_long(_last, table)
    while rows := await source.read_long(_behind, table, columns, after, limit):
        await target.write(_add, table, columns, [row[:width] for row in rows])
        after, limit = rows[-1][width:], _fitting(rows)
        yield len(rows)


def _fitting(rows: Rows) -> int:
    """How many rows are read next, by the size of these."""
    size = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
    return max(1, min(_MOST_ROWS, 4 * len(rows), len(rows) * _BYTES // max(size, 1)))


async def _common(source: Store, target: Store, table: Table) -> Sequence[str]:
    """The columns that are copied: those of both homes."""
    there = await target.read_long(_columns, table.name)
    return [name for name in await source.read_long(_columns, table.name) if name in there]


async def _check_counts(source: Store, target: Store) -> None:
    for table in TABLES:
        wanted = await source.read_long(count, table)
        if await target.read_long(count, table) != wanted:
            raise NotCopied(
                f"The table {table.name} changed while it was copied: a server writes to the old store. Stop "
                "all servers, empty the new store, and give the command again."
            )


# ---- their rules ------------------------------------------------------------------------------------


def _begin(origin: str) -> Steps[None]:
    known = yield from _origin()
    if known is not None:
        if known != origin:
            raise NotCopied(f"There is a copy of {known} already, which is not whole. Take another store.")
        return
    for table in TABLES:
        if (yield Statement(f"SELECT 1 FROM {table.name} LIMIT 1")):
            raise NotCopied(f"The store to copy to is not empty: it has {table.name}. Take another one.")
    yield Statement(f"CREATE TABLE {MARK} (origin TEXT NOT NULL)")
    yield Insert(f"{MARK} (origin)", ((origin,),))


def _finish() -> Steps[None]:
    yield Statement(f"DROP TABLE IF EXISTS {MARK}")


def _origin() -> Steps[str | None]:
    if (MARK,) not in (yield Own("tables", ())):
        return None
    found = yield from one(Statement(f"SELECT origin FROM {MARK}"))
    return None if found is None else str(found[0])


def _columns(table: str) -> Steps[list[str]]:
    return [name for (name,) in (yield Own("columns", (table,))) if name not in _OF_A_PROCESS]


def count(table: Table) -> Steps[int]:
    ((rows,),) = yield Statement(f"SELECT count(*) FROM {table.name}")
    return int(rows)


def _last(table: Table) -> Steps[Row | None]:
    order = ", ".join(f"{column} DESC" for column in table.key)
    return (
        yield from one(Statement(f"SELECT {', '.join(table.key)} FROM {table.name} ORDER BY {order} LIMIT 1"))
    )


def _behind(table: Table, columns: Sequence[str], after: Row | None, limit: int) -> Steps[Rows]:
    """Each with its key behind it."""
    key, values = ", ".join(table.key), after or ()
    where = f"WHERE ({key}) > ({placeholders(2, len(values))})" if values else ""
    sql = f"SELECT {', '.join(columns)}, {key} FROM {table.name} {where} ORDER BY {key} LIMIT $1"
    return (yield Statement(sql, (limit, *values)))


def _add(table: Table, columns: Sequence[str], rows: Rows) -> Steps[None]:
    yield Insert(f"{table.name} ({', '.join(columns)})", rows)
    if table.name == "vector_chunks":
        yield from _add_words(columns, rows)


def _add_words(columns: Sequence[str], rows: Rows) -> Steps[None]:
    chunks = [dict(zip(columns, row, strict=True)) for row in rows]
    for (project, entry), some in groupby(chunks, lambda chunk: (chunk["project_id"], chunk["entry"])):
        words = [(chunk.pop("key"), chunk["about"], convert(chunk, NewChunk).own) for chunk in some]
        yield from vector_words.insert(project, entry, words)


def last_number(table: Table) -> Steps[int]:
    """The last number that was given; 0 where rows have other keys."""
    key, *more = table.key
    largest = yield from one(Statement(f"SELECT max({key}) FROM {table.name}"))
    if more or largest is None or not isinstance(largest[0], int | None):
        return 0
    given = yield Own("counter", (table.name, key))
    return int(max([largest[0] or 0, *(number for (number,) in given)]))


def _count_on(table: Table, last: int) -> Steps[None]:
    """The next row has the next number."""
    if last:
        yield Own("count_on", (table.name, *table.key, last))


# ---- blobs ------------------------------------------------------------------------------------------


class Copied(Struct):
    """What became of blobs."""

    there: int = 0
    missing: int = 0
    """That the source has not."""


async def copy_blobs(store: Store, source: Blobs, target: Blobs, progress: Progress) -> Copied:
    """All that rows of the store name. Those that are there already are whole."""
    copied, after = Copied(), ""
    while names := await store.files.blobs(after):
        for first in range(0, len(names), _BLOBS):
            some = names[first : first + _BLOBS]
            found = await asyncio.gather(*(_copy_blob(name, source, target) for name in some))
            copied.there += found.count(True)
            copied.missing += found.count(False)
            progress(copied.there + copied.missing)
        after = names[-1]
    return copied


async def _copy_blob(name: str, source: Blobs, target: Blobs) -> bool:
    """False: there is none."""
    if await target.has(name):
        return True
    try:
        async with target.incoming(name) as incoming:
            async for piece in pieces(source, name):
                await incoming.write(piece)
            await incoming.finish()
            await incoming.keep()
    except FileNotFoundError:
        return False
    return True
