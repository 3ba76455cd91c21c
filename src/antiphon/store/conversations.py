"""Conversations: threads whose links are held, and can be added and removed one by one.

Removing an item from a conversation hides it from the conversation and from later turns; a stored response
that consists of it keeps it until that response is deleted.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from msgspec import Struct

from antiphon.store import threads
from antiphon.store.database import Database
from antiphon.store.errors import DuplicateItem, UnknownCursor
from antiphon.store.inline_data import InlineData, Marked
from antiphon.store.items import ItemRow, filled, marked
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Lock, Row, Statement, Steps, changed, one
from antiphon.store.threads import FAR, HELD, Segment


class ConversationRow(Struct, frozen=True):
    id: str
    created_at: int
    metadata: bytes
    """A JSON object."""


class Stretch(Struct, frozen=True):
    """Items of a conversation that stand in a row, up to its end: of its positions those from `start` to
    `stop`."""

    start: int
    stop: int
    rows: Sequence[bytes]


_FEW = 16
"""Positions that are read while the event loop waits."""
_SHORT = 2**14
"""Bytes of an item that is."""


class Conversations:
    """The conversations of all projects. What is not there is None, or False."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data

    async def create(self, project: str, row: ConversationRow, items: Sequence[ItemRow]) -> None:
        """Raises DuplicateItem when an id is twice in `items`."""

        async def write(jsons: Sequence[Marked]) -> None:
            await self._database.write(create, project, row, marked(items, jsons))

        await self._data.storing(project, [item.json for item in items], write)

    async def get(self, project: str, conversation_id: str) -> ConversationRow | None:
        return await self._database.read(load, project, conversation_id)

    async def page(self, project: str, query: PageQuery) -> Page[ConversationRow]:
        """By creation. Raises UnknownCursor."""
        return await self._database.read_long(list_conversations, project, query)

    async def update(self, project: str, conversation_id: str, metadata: bytes) -> ConversationRow | None:
        return await self._database.write(update, project, conversation_id, metadata)

    async def delete(self, project: str, conversation_id: str) -> bool:
        """Forget the conversation. Its items are kept (behaviours.md section 7.8) until `expire_items`; those
        of a response go when that response is deleted too."""
        return await self._database.write(delete, project, conversation_id, self._database.clock())

    async def add_items(self, project: str, conversation_id: str, items: Sequence[ItemRow]) -> bool:
        """Append items, all or none. False: no such conversation.

        Raises DuplicateItem when an id is already in the conversation or twice in `items`.
        """

        async def write(jsons: Sequence[Marked]) -> bool:
            return await self._database.write(add_items, project, conversation_id, marked(items, jsons))

        return await self._data.storing(project, [item.json for item in items], write)

    async def items(self, project: str, conversation_id: str, query: PageQuery) -> Page[ItemRow] | None:
        """Raises UnknownCursor when `query.after` is not in the conversation."""
        found = await self._database.read_long(list_items, project, conversation_id, query)
        return await filled(self._data, project, found)

    async def history(
        self, project: str, conversation_id: str, start: int = 0, count: int = 0, last: str = ""
    ) -> Stretch | None:
        """The items of the conversation, oldest first: from `start` on where it has still the `count` items
        that it had before, the one with the id `last` behind the others, else all of it."""
        database, asked = self._database, (project, conversation_id, start, count, last)
        bounds = (_FEW, _SHORT) if database.reads_inline else (FAR, FAR)
        found = await database.read(history, *asked, *bounds)
        if found is not None and found.rows is None:
            found = await database.read_long(history, *asked, FAR, FAR)
        if found is None:
            return None
        rows = await self._data.filled(project, found.rows or [])
        return Stretch(found.start, found.stop, rows)

    async def item(self, project: str, conversation_id: str, item_id: str) -> bytes | None:
        found = await self._database.read(item, project, conversation_id, item_id)
        return None if found is None else (await self._data.filled(project, [found]))[0]

    async def delete_item(self, project: str, conversation_id: str, item_id: str) -> bool:
        """Remove an item from the conversation; a response that consists of it keeps it, hidden."""
        return await self._database.write(delete_item, project, conversation_id, item_id)

    async def lock(self, project: str, conversation_id: str, holder: str, lease: float) -> bool:
        """Take or renew the right to write, for `lease` seconds. False: another holder has it, a background
        run of the conversation has not ended, or there is no such conversation."""
        now = self._database.clock()
        return await self._database.write(lock, project, conversation_id, holder, now, lease)

    async def unlock(self, project: str, conversation_id: str, holder: str) -> None:
        """Give the right back. That of another holder stays his."""
        await self._database.write(unlock, project, conversation_id, holder)

    async def expire_items(self, before: float, limit: int) -> int:
        """Forget, in every project, the items of at most `limit` conversations that were deleted before
        (seconds since the epoch), except what responses need: that goes with them. Gives of how many
        conversations."""
        return await self._database.write(expire_items, before, limit)


def create(project: str, row: ConversationRow, items: Sequence[ItemRow]) -> Steps[None]:
    _refuse_repeated(items)
    into = "conversations (project_id, id, created_at, metadata)"
    yield Insert(into, ((project, row.id, row.created_at, row.metadata),))
    thread = yield from threads.start_thread(project, row.id)
    yield from threads.append(project, Segment(thread, 0), items, repeat(HELD))


def load(project: str, conversation_id: str) -> Steps[ConversationRow | None]:
    sql = "SELECT created_at, metadata FROM conversations WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, conversation_id)))
    return ConversationRow(conversation_id, *found) if found is not None else None


def list_conversations(project: str, query: PageQuery) -> Steps[Page[ConversationRow]]:
    wanted, values = "", [project, query.limit + 1]
    if query.after is not None:
        cursor = yield from load(project, query.after)
        if cursor is None:
            raise UnknownCursor("conversation", query.after)
        wanted = f"AND (created_at, id) {query.side} ($3, $4)"
        values += [cursor.created_at, cursor.id]
    sql = f"""
        SELECT id, created_at, metadata FROM conversations WHERE project_id = $1 {wanted}
        ORDER BY created_at {query.order}, id {query.order} LIMIT $2"""
    rows = [ConversationRow(*row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def update(project: str, conversation_id: str, metadata: bytes) -> Steps[ConversationRow | None]:
    sql = "UPDATE conversations SET metadata = $1 WHERE project_id = $2 AND id = $3"
    yield Statement(sql, (metadata, project, conversation_id))
    return (yield from load(project, conversation_id))


def delete(project: str, conversation_id: str, now: float) -> Steps[bool]:
    yield from threads.hold_conversation(project, conversation_id)
    end = yield from _end(project, conversation_id)
    if end is None:
        return False
    sql = "DELETE FROM conversations WHERE project_id = $1 AND id = $2"
    yield Statement(sql, (project, conversation_id))
    yield Statement("UPDATE threads SET left_at = $1 WHERE id = $2", (int(now), end.thread))
    yield from threads.prune(end.thread)
    return True


def add_items(project: str, conversation_id: str, items: Sequence[ItemRow]) -> Steps[bool]:
    yield from threads.hold_conversation(project, conversation_id)
    end = yield from _end(project, conversation_id)
    if end is None:
        return False
    _refuse_repeated(items)
    for item_id in (yield from threads.held_ids(project, end.thread, items)):
        raise DuplicateItem(item_id)
    yield from threads.append(project, end, items, repeat(HELD))
    return True


def list_items(project: str, conversation_id: str, query: PageQuery) -> Steps[Page[ItemRow] | None]:
    end = yield from _end(project, conversation_id)
    return (yield from threads.page(project, [end], query)) if end is not None else None


class _Found(NamedTuple):
    start: int
    stop: int
    rows: list[bytes] | None
    """None: they are too many, or one is too long."""


# What was removed does not come back, and a position is used once, unless the database was set back. So items
# that are as many as they were, and end with the same one, are the same. They are brought in order elsewhere:
# SQLite does not see that they stand in one thread, and would copy all of them.
_HISTORY = """
    WITH stretch AS MATERIALIZED (
        SELECT t.id AS thread, t.next_position AS stop, CASE WHEN t.next_position >= $3 AND $4 = (
            SELECT count(*) FROM links WHERE thread = t.id AND position < $3 AND state <> 2
        ) AND $5 = (
            SELECT i.id
            FROM links AS l /*ordered*/ JOIN items AS i ON i.key = l.item
            WHERE l.thread = t.id AND l.position < $3 AND l.state <> 2
            ORDER BY l.position DESC LIMIT 1
        ) THEN $3 ELSE 0 END AS start
        FROM conversations AS c
        JOIN threads AS t ON t.project_id = c.project_id AND t.conversation_id = c.id
        WHERE c.project_id = $1 AND c.id = $2)
    SELECT s.start, s.stop, l.position, CASE WHEN length(i.json) <= CAST($7 AS BIGINT) THEN i.json END
    FROM stretch AS s
    LEFT JOIN links AS l ON l.thread = s.thread AND l.state <> 2
        AND l.position >= CASE WHEN s.stop - s.start <= $6 THEN s.start ELSE s.stop END
    LEFT JOIN items AS i ON i.key = l.item"""


def history(
    project: str, conversation_id: str, start: int, count: int, last: str, most: int, longest: int
) -> Steps[_Found | None]:
    """At most so many positions of it, and so many bytes of an item."""
    found = yield Statement(_HISTORY, (project, conversation_id, start, count, last, most, longest))
    if not found:
        return None
    start, stop, *_ = found[0]
    rows = sorted(row[2:] for row in found if row[2] is not None)
    whole = stop - start <= most and all(json is not None for _, json in rows)
    return _Found(start, stop, [json for _, json in rows] if whole else None)


def item(project: str, conversation_id: str, item_id: str) -> Steps[bytes | None]:
    found = yield from _find(project, conversation_id, item_id)
    return found[2] if found is not None else None


def delete_item(project: str, conversation_id: str, item_id: str) -> Steps[bool]:
    yield from threads.hold_conversation(project, conversation_id)
    found = yield from _find(project, conversation_id, item_id)
    if found is None:
        return False
    link = found[:2]
    owner = "SELECT 1 FROM responses WHERE thread = $1 AND stop > $2 AND start <= $2 LIMIT 1"
    if (yield Statement(owner, link)):
        yield Statement("UPDATE links SET state = 2 WHERE thread = $1 AND position = $2", link)
    else:
        yield from threads.unlink("thread = $1 AND position = $2", link)
    return True


def lock(project: str, conversation_id: str, holder: str, now: float, lease: float) -> Steps[bool]:
    sql = "SELECT 1 FROM conversations WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE"
    yield Lock(sql, (project, conversation_id))
    sql = """
        UPDATE conversations SET lock_holder = $3, locked_until = $4
        WHERE project_id = $1 AND id = $2
            AND (lock_holder IS NULL OR lock_holder = $3 OR locked_until <= $5)
            AND NOT EXISTS (
                SELECT 1 FROM runs WHERE project_id = $1 AND conversation_id = $2 AND status <> 'ended')
        RETURNING 1"""
    values = (project, conversation_id, holder, now + lease, now)
    return (yield from changed(Statement(sql, values)))


def unlock(project: str, conversation_id: str, holder: str) -> Steps[None]:
    sql = """
        UPDATE conversations SET lock_holder = NULL, locked_until = 0
        WHERE project_id = $1 AND id = $2 AND lock_holder = $3"""
    yield Statement(sql, (project, conversation_id, holder))


def unlock_all() -> Steps[None]:
    """For a process that knows that it is the only one."""
    sql = "UPDATE conversations SET lock_holder = NULL, locked_until = 0 WHERE lock_holder IS NOT NULL"
    yield Statement(sql)


def expire_items(before: float, limit: int) -> Steps[int]:
    sql = """
        SELECT id FROM threads WHERE left_at < $1 ORDER BY left_at LIMIT $2
        /*! FOR NO KEY UPDATE SKIP LOCKED */"""
    over = yield Statement(sql, (before, limit))
    for (thread,) in over:
        yield Statement("UPDATE threads SET left_at = NULL WHERE id = $1", (thread,))
        yield Statement("UPDATE links SET state = 0 WHERE thread = $1 AND state = 1", (thread,))
        yield from threads.prune(thread)
    return len(over)


def _end(project: str, conversation_id: str) -> Steps[Segment | None]:
    """The end of a living conversation's thread, which is a history of its own."""
    sql = """
        SELECT t.id, t.next_position
        FROM conversations AS c
        JOIN threads AS t ON t.project_id = c.project_id AND t.conversation_id = c.id
        WHERE c.project_id = $1 AND c.id = $2"""
    found = yield from one(Statement(sql, (project, conversation_id)))
    return Segment(*found) if found is not None else None


def _find(project: str, conversation_id: str, item_id: str) -> Steps[Row | None]:
    """The thread, position and JSON of an item in a living conversation."""
    end = yield from _end(project, conversation_id)
    if end is None:
        return None
    sql = """
        SELECT l.thread, l.position, i.json
        FROM items AS i /*ordered*/ JOIN links AS l ON l.item = i.key AND l.thread = $1
        WHERE i.project_id = $2 AND i.id = $3 AND l.state = $4"""
    return (yield from one(Statement(sql, (end.thread, project, item_id, HELD))))


def _refuse_repeated(items: Sequence[ItemRow]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DuplicateItem(item.id)
        seen.add(item.id)
