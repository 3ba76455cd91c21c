"""Conversations: threads whose links are held, and can be added and removed one by one."""

import sqlite3
from collections.abc import Sequence
from itertools import repeat

from antiphon.protocol import errors
from antiphon.store import sqlite_threads as threads
from antiphon.store.base import ConversationRow, ItemRow, Page, PageQuery
from antiphon.store.sqlite_threads import HELD, Segment


def create(db: sqlite3.Connection, project: str, row: ConversationRow, items: Sequence[ItemRow]) -> None:
    _refuse_repeated(items)
    sql = "INSERT INTO conversations (project_id, id, created_at, metadata) VALUES (?, ?, ?, ?)"
    db.execute(sql, (project, row.id, row.created_at, row.metadata))
    thread = threads.start_thread(db, project, row.id)
    threads.append(db, project, Segment(thread, 0), items, repeat(HELD))


def load(db: sqlite3.Connection, project: str, conversation_id: str) -> ConversationRow | None:
    sql = "SELECT created_at, metadata FROM conversations WHERE project_id = ? AND id = ?"
    found = db.execute(sql, (project, conversation_id)).fetchone()
    return ConversationRow(conversation_id, *found) if found is not None else None


def update(
    db: sqlite3.Connection, project: str, conversation_id: str, metadata: bytes
) -> ConversationRow | None:
    sql = "UPDATE conversations SET metadata = ? WHERE project_id = ? AND id = ?"
    db.execute(sql, (metadata, project, conversation_id))
    return load(db, project, conversation_id)


def delete(db: sqlite3.Connection, project: str, conversation_id: str, now: float) -> bool:
    end = _end(db, project, conversation_id)
    if end is None:
        return False
    db.execute("DELETE FROM conversations WHERE project_id = ? AND id = ?", (project, conversation_id))
    db.execute("UPDATE threads SET left_at = ? WHERE id = ?", (int(now), end.thread))
    threads.prune(db, end.thread)
    return True


def add_items(db: sqlite3.Connection, project: str, conversation_id: str, items: Sequence[ItemRow]) -> bool:
    end = _end(db, project, conversation_id)
    if end is None:
        return False
    _refuse_repeated(items)
    for item_id in threads.held_ids(db, project, end.thread, items):
        raise _duplicate(item_id)
    threads.append(db, project, end, items, repeat(HELD))
    return True


def items(db: sqlite3.Connection, project: str, conversation_id: str, query: PageQuery) -> Page | None:
    end = _end(db, project, conversation_id)
    return threads.page(db, project, [end], query) if end is not None else None


def history(db: sqlite3.Connection, project: str, conversation_id: str) -> list[bytes] | None:
    end = _end(db, project, conversation_id)
    return threads.history(db, [end]) if end is not None else None


def item(db: sqlite3.Connection, project: str, conversation_id: str, item_id: str) -> bytes | None:
    found = _find(db, project, conversation_id, item_id)
    return found[2] if found is not None else None


def delete_item(db: sqlite3.Connection, project: str, conversation_id: str, item_id: str) -> bool:
    """Remove an item from the conversation; a response that consists of it keeps it, hidden."""
    found = _find(db, project, conversation_id, item_id)
    if found is None:
        return False
    link = found[:2]
    owner = "SELECT 1 FROM responses WHERE thread = ? AND stop > ?2 AND start <= ?2 LIMIT 1"
    if db.execute(owner, link).fetchone() is not None:
        db.execute("UPDATE links SET state = 2 WHERE thread = ? AND position = ?", link)
    else:
        threads.unlink(db, "thread = ? AND position = ?", link)
    return True


def lock(
    db: sqlite3.Connection, project: str, conversation_id: str, holder: str, now: float, lease: float
) -> bool:
    sql = """
        UPDATE conversations SET lock_holder = :holder, locked_until = :until
        WHERE project_id = :project AND id = :id
            AND (lock_holder IS NULL OR lock_holder = :holder OR locked_until <= :now)
            AND NOT EXISTS (
                SELECT 1 FROM runs
                WHERE project_id = :project AND conversation_id = :id AND status <> 'ended')"""
    values = {
        "project": project,
        "id": conversation_id,
        "holder": holder,
        "now": now,
        "until": now + lease,
    }
    return db.execute(sql, values).rowcount == 1


def unlock(db: sqlite3.Connection, project: str, conversation_id: str, holder: str) -> None:
    sql = """
        UPDATE conversations SET lock_holder = NULL, locked_until = 0
        WHERE project_id = ? AND id = ? AND lock_holder = ?"""
    db.execute(sql, (project, conversation_id, holder))


def _end(db: sqlite3.Connection, project: str, conversation_id: str) -> Segment | None:
    """The end of a living conversation's thread, which is a history of its own."""
    sql = """
        SELECT t.id, t.next_position
        FROM conversations AS c
        JOIN threads AS t ON t.project_id = c.project_id AND t.conversation_id = c.id
        WHERE c.project_id = ? AND c.id = ?"""
    found = db.execute(sql, (project, conversation_id)).fetchone()
    return Segment(*found) if found is not None else None


def _find(
    db: sqlite3.Connection, project: str, conversation_id: str, item_id: str
) -> tuple[int, int, bytes] | None:
    """The thread, position and JSON of an item in a living conversation."""
    end = _end(db, project, conversation_id)
    if end is None:
        return None
    sql = """
        SELECT l.thread, l.position, i.json
        FROM items AS i CROSS JOIN links AS l ON l.item = i.key AND l.thread = ?
        WHERE i.project_id = ? AND i.id = ? AND l.state = ?"""
    found: tuple[int, int, bytes] | None = db.execute(sql, (end.thread, project, item_id, HELD)).fetchone()
    return found


def _refuse_repeated(items: Sequence[ItemRow]) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise _duplicate(item.id)
        seen.add(item.id)


def _duplicate(item_id: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again.",
        param="items",
    )
