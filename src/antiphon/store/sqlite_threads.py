"""Threads of positions: appending to them, reading along them, and pruning what nobody needs.

Theory of operation
-------------------
A thread is a row of *links* to items. Positions count along a history, not within a thread: the first
link of a fork has the position at which it left its parent. So a history is a *path* of threads, each
read below a position, and what is compared is always the position alone. A thread's `next_position`
never falls below what a response or a fork relies on, so no position is ever used for something else.

A link has one of three states, which say who sees it and what keeps it:

    linked   seen by everybody    kept while the history of a response goes through it
    held     seen by everybody    kept for its own sake: it is in a conversation, or was when that
                                  conversation was deleted (items outlive their conversation)
    hidden   seen by the response kept while that response is there: it was removed from the
             whose own it is      conversation, or repeats an item that is in it already

Stretches of responses do not overlap within a thread. A thread is kept while it has links, a response,
a fork or a living conversation; an item while it has a link.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from antiphon.protocol import errors
from antiphon.store.base import ItemRow, Order, Page, PageQuery

LINKED, HELD, HIDDEN = 0, 1, 2

# Above every position.
FAR = 2**62
# SQLite compiles a statement for each number of rows; so many at most go into one.
_ROWS = 32


class Segment(NamedTuple):
    """The part of a history that lies in one thread: its positions below `below`."""

    thread: int
    below: int


# ---- appending --------------------------------------------------------------------------------------


def start_thread(db: sqlite3.Connection, project: str, conversation_id: str | None = None) -> int:
    sql = "INSERT INTO threads (project_id, next_position, conversation_id) VALUES (?, 0, ?)"
    return _new_key(db.execute(sql, (project, conversation_id)))


def begin(db: sqlite3.Connection, given: Sequence[tuple[str, Sequence[ItemRow]]]) -> list[int]:
    """Start a thread for each of the given projects, of the items that go with it."""
    starts = [(project, len(items)) for project, items in given]
    threads = insert(db, "INSERT INTO threads (project_id, next_position)", starts)
    owned = [(project, item) for project, items in given for item in items]
    keys = iter(_keep(db, owned))
    links = [
        (thread, position, next(keys), LINKED, project)
        for thread, (project, items) in zip(threads, given, strict=True)
        for position in range(len(items))
    ]
    insert(db, _LINK, links)
    return threads


def fork(db: sqlite3.Connection, project: str, parent: int, position: int) -> int:
    sql = "INSERT INTO threads (project_id, parent, parent_position, next_position) VALUES (?, ?, ?, ?)"
    return _new_key(db.execute(sql, (project, parent, position, position)))


def append(
    db: sqlite3.Connection,
    project: str,
    segment: Segment,
    items: Sequence[ItemRow],
    states: Iterable[int],
) -> None:
    """Put the items behind the segment, which must be the end of its thread."""
    thread, position = segment
    keys = _keep(db, [(project, item) for item in items])
    links = [
        (thread, position + n, key, state, project)
        for n, (key, state) in enumerate(zip(keys, states, strict=False))
    ]
    insert(db, _LINK, links)
    end = position + len(links)
    db.execute("UPDATE threads SET next_position = ? WHERE id = ?", (end, thread))


_LINK = "INSERT INTO links (thread, position, item, state, project_id)"


def _keep(db: sqlite3.Connection, owned: Sequence[tuple[str, ItemRow]]) -> list[int]:
    """The keys of items and their projects. What is there already is linked; the same id with other content
    is not the same."""
    values = [(project, item.id, item.json) for project, item in owned]
    added = insert(db, "INSERT INTO items (project_id, id, json)", values, "ON CONFLICT DO NOTHING")
    if len(added) == len(owned):
        return added
    return [_find_or_add(db, project, item) for project, item in owned]


def _find_or_add(db: sqlite3.Connection, project: str, item: ItemRow) -> int:
    found = db.execute(
        "SELECT key FROM items WHERE project_id = ? AND id = ? AND json = ?", (project, item.id, item.json)
    ).fetchone()
    if found is not None:
        return int(found[0])
    return _new_key(
        db.execute(
            "INSERT INTO items (project_id, id, json, version) SELECT :project, :id, :json,"
            " max(version) + 1 FROM items WHERE project_id = :project AND id = :id",
            {"project": project, "id": item.id, "json": item.json},
        )
    )


def held_ids(db: sqlite3.Connection, project: str, thread: int, items: Iterable[ItemRow]) -> set[str]:
    """Those of the items' ids that the thread's conversation has already."""
    sql = """
        SELECT i.id
        FROM json_each(?) AS wanted
        CROSS JOIN items AS i ON i.project_id = ? AND i.id = wanted.value
        CROSS JOIN links AS l ON l.item = i.key AND l.thread = ?
        WHERE l.state = ?"""
    wanted = msgspec.json.encode([item.id for item in items]).decode()
    return {row[0] for row in db.execute(sql, (wanted, project, thread, HELD))}


def insert(db: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> list[int]:
    """Insert many rows in few statements, each of which costs as much as several rows. Gives the new
    row ids: a statement takes them one after another (`RETURNING` would cost more than the rest)."""
    keys: list[int] = []
    for first in range(0, len(rows), _ROWS):
        some = rows[first : first + _ROWS]
        sql = _insert_sql(head, len(some), len(some[0]), tail)
        cursor = db.execute(sql, tuple(chain.from_iterable(some)))
        end = _new_key(cursor) + 1
        keys += range(end - cursor.rowcount, end)
    return keys


@cache
def _insert_sql(head: str, rows: int, columns: int, tail: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{head} VALUES {', '.join([row] * rows)} {tail}"


def _new_key(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


# ---- reading ----------------------------------------------------------------------------------------


def path(db: sqlite3.Connection, end: Segment) -> list[Segment]:
    """The threads of the history that ends with the segment, newest first."""
    sql = """
        WITH RECURSIVE path (thread, below) AS (
            VALUES (?, ?)
            UNION ALL
            SELECT t.parent, t.parent_position
            FROM path JOIN threads AS t ON t.id = path.thread
            WHERE t.parent IS NOT NULL
        )
        SELECT thread, below FROM path"""
    return [Segment(*row) for row in db.execute(sql, end)]


def history(db: sqlite3.Connection, segments: Sequence[Segment]) -> list[bytes]:
    """All that is seen along a path, oldest first."""
    sql = """
        SELECT i.json
        FROM links AS l CROSS JOIN items AS i ON i.key = l.item
        WHERE l.thread = ? AND l.position < ? AND l.state <> 2
        ORDER BY l.position"""
    return [json for segment in reversed(segments) for (json,) in db.execute(sql, segment)]


def stretch(db: sqlite3.Connection, thread: int, start: int, stop: int) -> list[bytes]:
    """What a response itself consists of, seen by others or not."""
    sql = """
        SELECT i.json
        FROM links AS l CROSS JOIN items AS i ON i.key = l.item
        WHERE l.thread = ? AND l.position >= ? AND l.position < ?
        ORDER BY l.position"""
    return [json for (json,) in db.execute(sql, (thread, start, stop))]


def page(
    db: sqlite3.Connection, project: str, segments: Sequence[Segment], query: PageQuery, own: int = FAR
) -> Page:
    """A stretch of what is seen along a path. From position `own` on, hidden links are seen too."""
    segments = segments if query.order == "desc" else segments[::-1]
    sql = _page_sql(query.order)
    low, high = _bounds(db, project, segments, query, own)
    rows: list[ItemRow] = []
    for thread, below in segments:
        wanted = query.limit + 1 - len(rows)
        found = db.execute(sql, (thread, low, min(high, below), own, wanted))
        rows += [ItemRow(id=id, json=json) for id, json in found]
        if len(rows) > query.limit:
            break
    return Page(items=rows[: query.limit], more=len(rows) > query.limit)


@cache
def _page_sql(order: Order) -> str:
    return f"""
        SELECT i.id, i.json
        FROM links AS l CROSS JOIN items AS i ON i.key = l.item
        WHERE l.thread = ? AND l.position > ? AND l.position < ? AND (l.state <> 2 OR l.position >= ?)
        ORDER BY l.position {order} LIMIT ?"""


def _bounds(
    db: sqlite3.Connection, project: str, segments: Sequence[Segment], query: PageQuery, own: int
) -> tuple[int, int]:
    """The positions between which the page lies, both excluded."""
    if query.after is None:
        return -1, FAR
    sql = f"""
        SELECT l.position
        FROM items AS i CROSS JOIN links AS l ON l.item = i.key
        WHERE i.project_id = ? AND i.id = ? AND l.thread = ? AND l.position < ?
            AND (l.state <> 2 OR l.position >= ?)
        ORDER BY l.position {query.order} LIMIT 1"""
    for thread, below in segments:
        found = db.execute(sql, (project, query.after, thread, below, own)).fetchone()
        if found is not None:
            return (found[0], FAR) if query.order == "asc" else (-1, found[0])
    raise errors.NotFound(f"Item with id '{query.after}' not found.", param="after")


# ---- pruning ----------------------------------------------------------------------------------------


def unlink(db: sqlite3.Connection, where: str, values: Sequence[int]) -> None:
    """Delete links, and the items that had no other."""
    gone = db.execute(f"DELETE FROM links WHERE {where} RETURNING item", values).fetchall()
    for key in set(gone):
        _forget(db, key)


def _forget(db: sqlite3.Connection, key: tuple[int]) -> None:
    """Delete an item that has no link. What else goes by its id moves up, so that there is always a
    version 0 to run into: `_keep` looks for the other versions only then."""
    sql = """
        DELETE FROM items WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM links WHERE item = ?1)
        RETURNING project_id, id"""
    promote = """
        UPDATE items SET version = 0
        WHERE key = (SELECT key FROM items WHERE project_id = ? AND id = ? ORDER BY version LIMIT 1)
            AND version > 0"""
    for named in db.execute(sql, key).fetchall():
        db.execute(promote, named)


def prune(db: sqlite3.Connection, thread: int | None) -> None:
    """Take away what no response, fork or conversation needs of a thread, and of those it came from."""
    while thread is not None:
        reach = _reach(db, thread)
        unlink(db, "thread = ? AND position >= ? AND state = 0", (thread, reach))
        db.execute(
            "UPDATE threads SET next_position = ? WHERE id = ? AND conversation_id IS NULL", (reach, thread)
        )
        thread = _drop(db, thread)


def _reach(db: sqlite3.Connection, thread: int) -> int:
    """Below this position the thread is part of some history."""
    sql = """
        SELECT max(
            coalesce((SELECT max(stop) FROM responses WHERE thread = ?1), 0),
            coalesce((SELECT max(parent_position) FROM threads WHERE parent = ?1), 0)
        )"""
    return int(db.execute(sql, (thread,)).fetchone()[0])


def _drop(db: sqlite3.Connection, thread: int) -> int | None:
    """Delete the thread if it is bare. Gives the parent, which may have been kept for it alone."""
    sql = """
        DELETE FROM threads AS t
        WHERE t.id = ?
            AND NOT EXISTS (SELECT 1 FROM links WHERE thread = t.id)
            AND NOT EXISTS (SELECT 1 FROM responses WHERE thread = t.id)
            AND NOT EXISTS (SELECT 1 FROM threads AS f WHERE f.parent = t.id)
            AND NOT EXISTS (SELECT 1 FROM conversations AS c
                            WHERE c.project_id = t.project_id AND c.id = t.conversation_id)
        RETURNING parent"""
    dropped = db.execute(sql, (thread,)).fetchone()
    return dropped[0] if dropped is not None else None
