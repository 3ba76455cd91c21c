"""Threads of positions: appending to them, reading along them, and pruning what nobody needs.

Items are stored once. What orders them is a *thread*: a row of positions. A response is a part of a thread:
positions `start` to `stop`, its input first, its output from `middle` on. A turn that continues the newest
response of a thread appends to it; one that continues an older response starts a new thread, a *fork*, that
names its parent thread and the position at which it leaves it. So the history of a response is an indexed
range (one for each fork on the way), and a chain of N turns costs O(N). A conversation is a thread too, whose
items can also be added and removed one by one.

A thread is a row of *links* to items. Positions count along a history, not within a thread: the first link of
a fork has the position at which it left its parent. So a history is a *path* of threads, each read below a
position, and what is compared is always the position alone. A thread's `next_position` never falls below what
a response or a fork relies on, so no position is ever used for something else.

A link has one of three states, which say who sees it and what keeps it:

    linked   seen by everybody    kept while the history of a response goes through it
    held     seen by everybody    kept for its own sake: it is in a conversation, or was when that
                                  conversation was deleted (items outlive their conversation)
    hidden   seen by the response kept while that response is there: it was removed from the
             whose own it is      conversation, or repeats an item that is in it already

Parts of a thread that belong to responses do not overlap. A thread is kept while it has links, a response, a
fork or a living conversation; an item while it has a link.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from antiphon.store import inline_data
from antiphon.store.errors import UnknownCursor
from antiphon.store.items import ItemRow
from antiphon.store.paging import Order, Page, PageQuery
from antiphon.store.statements import Insert, Lock, Statement, Steps, one, portions

LINKED, HELD, HIDDEN = 0, 1, 2

FAR = 2**62
"""Above every position."""

_THREAD = "threads (project_id, next_position)"
_LINK = "links (thread, position, item, state, project_id)"
_ITEM = "items (project_id, id, json)"


class Segment(NamedTuple):
    """The part of a history that lies in one thread: its positions below `below`."""

    thread: int
    below: int


# ---- appending --------------------------------------------------------------------------------------


def start_thread(project: str, conversation_id: str | None = None) -> Steps[int]:
    into = "threads (project_id, next_position, conversation_id)"
    rows = yield Insert(into, ((project, 0, conversation_id),), key="id")
    return int(rows[0][0])


def fork(project: str, parent: int, position: int) -> Steps[int]:
    into = "threads (project_id, parent, parent_position, next_position)"
    rows = yield Insert(into, ((project, parent, position, position),), key="id")
    return int(rows[0][0])


def start_threads(contents: Sequence[tuple[str, Sequence[ItemRow]]]) -> Steps[list[int]]:
    """A thread for each of the projects, of the items that come with it, in three statements together."""
    begun = yield Insert(_THREAD, [(project, len(items)) for project, items in contents], key="id")
    threads = [thread for (thread,) in begun]
    owned = [(project, item) for project, items in contents for item in items]
    keys = iter((yield from _keep(owned)))
    links = [
        (thread, position, next(keys), LINKED, project)
        for thread, (project, items) in zip(threads, contents, strict=True)
        for position in range(len(items))
    ]
    if links:
        yield Insert(_LINK, links)
    return threads


def append(project: str, segment: Segment, items: Sequence[ItemRow], states: Iterable[int]) -> Steps[None]:
    """Put the items behind the segment, which must be the end of its thread."""
    yield from link(project, segment, items, states)
    sql = "UPDATE threads SET next_position = $1 WHERE id = $2"
    yield Statement(sql, (segment.below + len(items), segment.thread))


def link(project: str, segment: Segment, items: Sequence[ItemRow], states: Iterable[int]) -> Steps[None]:
    """The same in a thread that has room for them by now."""
    thread, position = segment
    keys = yield from _keep([(project, item) for item in items])
    links = [
        (thread, position + n, key, state, project)
        for n, (key, state) in enumerate(zip(keys, states, strict=False))
    ]
    if links:
        yield Insert(_LINK, links)


def _keep(owned: Sequence[tuple[str, ItemRow]]) -> Steps[list[int]]:
    """The keys of items and their projects. What is there already is linked; the same id with other content
    is not the same."""
    if not owned:
        return []
    rows = [(project, item.id, item.json) for project, item in owned]
    added = yield Insert(_ITEM, rows, key="key", conflict="ON CONFLICT DO NOTHING")
    if len(added) == len(owned):
        keys = [key for (key,) in added]
    else:
        keys = []
        for project, item in owned:
            keys.append((yield from _find_or_add(project, item)))
    for (project, item), key in zip(owned, keys, strict=True):
        if inline_data.MARKED in item.json:
            yield from inline_data.arrive(project, item.data)
            yield from inline_data.use("item", key, project, [item.json])
    return keys


def _find_or_add(project: str, item: ItemRow) -> Steps[int]:
    values = (project, item.id, item.json)
    sql = "SELECT 1 FROM items WHERE project_id = $1 AND id = $2 AND version = 0 FOR KEY SHARE"
    yield Lock(sql, (project, item.id))
    sql = "SELECT key FROM items WHERE project_id = $1 AND id = $2 AND json = $3 /*! FOR KEY SHARE */"
    found = yield Statement(sql, values)
    if not found:
        sql = """
            INSERT INTO items (project_id, id, json, version)
            SELECT $1, $2, $3, coalesce(max(version) + 1, 0) FROM items WHERE project_id = $1 AND id = $2
            RETURNING key"""
        found = yield Statement(sql, values)
    return int(found[0][0])


def held_ids(project: str, thread: int, items: Sequence[ItemRow]) -> Steps[set[str]]:
    """Those of the items' ids that the thread's conversation has already."""
    found: set[str] = set()
    for ids in portions([item.id for item in items]):
        rows = yield Statement(_held_sql(len(ids)), (project, thread, HELD, *ids))
        found.update(item_id for (item_id,) in rows)
    return found


@cache
def _held_sql(ids: int) -> str:
    wanted = ", ".join(f"(${number})" for number in range(4, 4 + ids))
    return f"""
        SELECT i.id
        FROM (VALUES {wanted}) AS wanted
        /*ordered*/ JOIN items AS i ON i.project_id = $1 AND i.id = wanted.column1
        /*ordered*/ JOIN links AS l ON l.item = i.key AND l.thread = $2
        WHERE l.state = $3"""


# ---- reading ----------------------------------------------------------------------------------------


def path(end: Segment) -> Steps[list[Segment]]:
    """The threads of the history that ends with the segment, newest first."""
    sql = """
        WITH RECURSIVE path (thread, below) AS (
            SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT)
            UNION ALL
            SELECT t.parent, t.parent_position
            FROM path JOIN threads AS t ON t.id = path.thread
            WHERE t.parent IS NOT NULL
        )
        SELECT thread, below FROM path"""
    return [Segment(*row) for row in (yield Statement(sql, (end.thread, end.below)))]


def history(segments: Sequence[Segment]) -> Steps[list[bytes]]:
    """All that is seen along a path, oldest first."""
    sql = """
        SELECT i.json
        FROM links AS l /*ordered*/ JOIN items AS i ON i.key = l.item
        WHERE l.thread = $1 AND l.position < $2 AND l.state <> 2
        ORDER BY l.position"""
    jsons: list[bytes] = []
    for thread, below in reversed(segments):
        jsons += [json for (json,) in (yield Statement(sql, (thread, below)))]
    return jsons


def between(thread: int, start: int, stop: int) -> Steps[list[bytes]]:
    """What a response itself consists of, seen by others or not."""
    sql = """
        SELECT i.json
        FROM links AS l /*ordered*/ JOIN items AS i ON i.key = l.item
        WHERE l.thread = $1 AND l.position >= $2 AND l.position < $3
        ORDER BY l.position"""
    return [json for (json,) in (yield Statement(sql, (thread, start, stop)))]


def page(project: str, segments: Sequence[Segment], query: PageQuery, own: int = FAR) -> Steps[Page[ItemRow]]:
    """A part of what is seen along a path. From position `own` on, hidden links are seen too.

    Raises UnknownCursor.
    """
    segments = segments if query.order == "desc" else segments[::-1]
    sql = _page_sql(query.order)
    low, high = yield from _bounds(project, segments, query, own)
    rows: list[ItemRow] = []
    for thread, below in segments:
        wanted = query.limit + 1 - len(rows)
        found = yield Statement(sql, (thread, low, min(high, below), own, wanted))
        rows += [ItemRow(id=id, json=json) for id, json in found]
        if len(rows) > query.limit:
            break
    return query.page(rows)


@cache
def _page_sql(order: Order) -> str:
    return f"""
        SELECT i.id, i.json
        FROM links AS l /*ordered*/ JOIN items AS i ON i.key = l.item
        WHERE l.thread = $1 AND l.position > $2 AND l.position < $3 AND (l.state <> 2 OR l.position >= $4)
        ORDER BY l.position {order} LIMIT $5"""


def _bounds(project: str, segments: Sequence[Segment], query: PageQuery, own: int) -> Steps[tuple[int, int]]:
    """The positions between which the page lies, both excluded."""
    if query.after is None:
        return -1, FAR
    sql = f"""
        SELECT l.position
        FROM items AS i /*ordered*/ JOIN links AS l ON l.item = i.key
        WHERE i.project_id = $1 AND i.id = $2 AND l.thread = $3 AND l.position < $4
            AND (l.state <> 2 OR l.position >= $5)
        ORDER BY l.position {query.order} LIMIT 1"""
    for thread, below in segments:
        found = yield Statement(sql, (project, query.after, thread, below, own))
        if found:
            position = found[0][0]
            return (position, FAR) if query.order == "asc" else (-1, position)
    raise UnknownCursor("item", query.after)


# ---- pruning ----------------------------------------------------------------------------------------


def hold(thread: int) -> Steps[None]:
    """Nobody else appends to the thread, or takes away from it, before the rule ends. Who forks it does not
    need this: he holds the response that he continues."""
    yield Lock("SELECT 1 FROM threads WHERE id = $1 FOR NO KEY UPDATE", (thread,))


def unlink(where: str, values: tuple[int, ...]) -> Steps[None]:
    """Delete links, and the items that had no other. `where` has its parameters as `values`."""
    gone = yield Statement(f"DELETE FROM links WHERE {where} RETURNING item", values)
    for (item,) in set(gone):
        yield from _forget(item)


def _forget(item: int) -> Steps[None]:
    """Delete an item that has no link. What else goes by its id moves up, so that there is always a
    version 0 to run into: `_keep` looks for the other versions only then."""
    sql = """
        DELETE FROM items WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM links WHERE item = $1)
        RETURNING project_id, id"""
    promote = """
        UPDATE items SET version = 0
        WHERE key = (SELECT key FROM items WHERE project_id = $1 AND id = $2 ORDER BY version LIMIT 1)
            AND version > 0"""
    for named in (yield Statement(sql, (item,))):
        yield Statement(promote, named)
        yield from inline_data.release("item", "$1", (item,))


def hold_conversation(project: str, conversation_id: str) -> Steps[None]:
    """Nobody else adds to the conversation, takes away from it or deletes it before the rule ends."""
    sql = "SELECT 1 FROM threads WHERE project_id = $1 AND conversation_id = $2 FOR NO KEY UPDATE"
    yield Lock(sql, (project, conversation_id))


def prune(thread: int | None) -> Steps[None]:
    """Take away what no response, fork or conversation needs of a thread, and of those it came from."""
    while thread is not None:
        yield from hold(thread)
        reach = yield from _reach(thread)
        yield from unlink("thread = $1 AND position >= $2 AND state = 0", (thread, reach))
        sql = "UPDATE threads SET next_position = $1 WHERE id = $2 AND conversation_id IS NULL"
        yield Statement(sql, (reach, thread))
        thread = yield from _drop(thread)


def _reach(thread: int) -> Steps[int]:
    """Below this position the thread is part of some history."""
    sql = """
        SELECT coalesce(max(reach), 0) FROM (
            SELECT max(stop) AS reach FROM responses WHERE thread = $1
            UNION ALL SELECT max(parent_position) FROM threads WHERE parent = $1
        ) AS needs"""
    rows = yield Statement(sql, (thread,))
    return int(rows[0][0])


def _drop(thread: int) -> Steps[int | None]:
    """Delete the thread if it is bare. Gives the parent, which may have been kept for it alone."""
    sql = """
        DELETE FROM threads AS t
        WHERE t.id = $1
            AND NOT EXISTS (SELECT 1 FROM links WHERE thread = t.id)
            AND NOT EXISTS (SELECT 1 FROM responses WHERE thread = t.id)
            AND NOT EXISTS (SELECT 1 FROM threads AS f WHERE f.parent = t.id)
            AND NOT EXISTS (SELECT 1 FROM conversations AS c
                            WHERE c.project_id = t.project_id AND c.id = t.conversation_id)
        RETURNING parent"""
    dropped = yield from one(Statement(sql, (thread,)))
    return dropped[0] if dropped is not None else None
