"""Responses: stretches of threads."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import repeat

from antiphon.store import sqlite_threads as threads
from antiphon.store.base import ItemRow, Page, PageQuery, ResponseRow, StoredResponse
from antiphon.store.sqlite_threads import HELD, HIDDEN, LINKED, Segment

_INSERT = "INSERT INTO responses (project_id, id, created_at, thread, start, middle, stop, json)"


def save_all(db: sqlite3.Connection, rows: Sequence[tuple[str, ResponseRow]]) -> None:
    """Save responses, each with its project. Those that continue nothing take four statements together: it is
    these that cost, since each gives up Python's lock and has to get it back."""
    fresh = [(p, row) for p, row in rows if not row.conversation_id and not row.previous_response_id]
    begun = threads.begin(db, [(project, (*row.input, *row.output)) for project, row in fresh])
    places = (Segment(thread, 0) for thread in begun)
    threads.insert(db, _INSERT, [_values(*saved, at) for saved, at in zip(fresh, places, strict=True)])
    for project, row in rows:
        if row.conversation_id or row.previous_response_id:
            save(db, project, row)


def save(db: sqlite3.Connection, project: str, row: ResponseRow) -> None:
    save_at(db, project, row, _place(db, project, row))


def save_apart(db: sqlite3.Connection, project: str, row: ResponseRow) -> None:
    """Keep an unfinished response. A conversation sees nothing of it yet (behaviours.md section 7.4)."""
    end = _place(db, project, row)
    if _is_alive(db, end.thread):
        end = Segment(threads.fork(db, project, *end), end.below)
    save_at(db, project, row, end)


def save_at(db: sqlite3.Connection, project: str, row: ResponseRow, end: Segment) -> None:
    items = [*row.input, *row.output]
    threads.append(db, project, end, items, _states(db, project, row, end.thread, items))
    threads.insert(db, _INSERT, [_values(project, row, end)])


def _values(project: str, row: ResponseRow, end: Segment) -> tuple[object, ...]:
    """The row of a response that begins at the end of a history."""
    middle = end.below + len(row.input)
    return (
        project,
        row.id,
        row.created_at,
        end.thread,
        end.below,
        middle,
        middle + len(row.output),
        row.json,
    )


def _place(db: sqlite3.Connection, project: str, row: ResponseRow) -> Segment:
    """The end of the history that the response continues: a thread that it may append to."""
    if row.conversation_id is not None:
        place = _end_of_conversation(db, project, row.conversation_id)
    elif row.previous_response_id is not None:
        place = _end_of_response(db, project, row.previous_response_id)
    else:
        place = None
    # What it continued may have been deleted while it ran. The response is kept, for itself.
    return place or Segment(threads.start_thread(db, project), 0)


def _end_of_conversation(db: sqlite3.Connection, project: str, conversation_id: str) -> Segment | None:
    """The conversation's thread; if the conversation is deleted, a fork of what is left of it."""
    sql = "SELECT id, next_position FROM threads WHERE project_id = ? AND conversation_id = ?"
    found = db.execute(sql, (project, conversation_id)).fetchone()
    if found is None:
        return None
    thread, end = found
    return Segment(thread if _is_alive(db, thread) else threads.fork(db, project, thread, end), end)


def _end_of_response(db: sqlite3.Connection, project: str, response_id: str) -> Segment | None:
    """The thread of the response while nothing follows it there, else a fork. A conversation's thread
    is always left: what chains onto one of its responses is not said in the conversation."""
    sql = """
        SELECT r.thread, r.stop, t.next_position = r.stop AND t.conversation_id IS NULL
        FROM responses AS r JOIN threads AS t ON t.id = r.thread
        WHERE r.project_id = ? AND r.id = ?"""
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return None
    thread, stop, open_end = found
    return Segment(thread if open_end else threads.fork(db, project, thread, stop), stop)


def _states(
    db: sqlite3.Connection, project: str, row: ResponseRow, thread: int, items: Sequence[ItemRow]
) -> Iterable[int]:
    if row.conversation_id is None or not _is_alive(db, thread):
        return repeat(LINKED)
    # An item that the conversation has already belongs to the response only: ids in it are unique.
    known = threads.held_ids(db, project, thread, items)
    states = []
    for item in items:
        states.append(HIDDEN if item.id in known else HELD)
        known.add(item.id)
    return states


def _is_alive(db: sqlite3.Connection, thread: int) -> bool:
    """Whether the thread is that of a conversation which was not deleted."""
    sql = """
        SELECT 1 FROM threads AS t
        JOIN conversations AS c ON c.project_id = t.project_id AND c.id = t.conversation_id
        WHERE t.id = ?"""
    return db.execute(sql, (thread,)).fetchone() is not None


def load(db: sqlite3.Connection, project: str, response_id: str) -> StoredResponse | None:
    sql = "SELECT json, thread, middle, stop FROM responses WHERE project_id = ? AND id = ?"
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return None
    json, thread, middle, stop = found
    return StoredResponse(json=json, output=threads.stretch(db, thread, middle, stop))


def history(db: sqlite3.Connection, project: str, response_id: str) -> list[bytes] | None:
    sql = """
        SELECT thread, stop FROM responses AS r
        WHERE project_id = ? AND id = ? AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')"""
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return None
    return threads.history(db, threads.path(db, Segment(*found)))


def fork_before(db: sqlite3.Connection, project: str, response_id: str) -> Segment:
    """A place behind all that came before the response."""
    sql = "SELECT thread, start FROM responses WHERE project_id = ? AND id = ?"
    thread, start = db.execute(sql, (project, response_id)).fetchone()
    return Segment(threads.fork(db, project, thread, start), start)


def exists(db: sqlite3.Connection, project: str, response_id: str) -> bool:
    sql = "SELECT 1 FROM responses WHERE project_id = ? AND id = ?"
    return db.execute(sql, (project, response_id)).fetchone() is not None


def own_input(db: sqlite3.Connection, project: str, response_id: str) -> list[ItemRow]:
    """The items that the response brought itself."""
    sql = """
        SELECT i.id, i.json
        FROM responses AS r
        JOIN links AS l ON l.thread = r.thread AND l.position >= r.start AND l.position < r.middle
        JOIN items AS i ON i.key = l.item
        WHERE r.project_id = ? AND r.id = ?
        ORDER BY l.position"""
    return [ItemRow(*row) for row in db.execute(sql, (project, response_id))]


def input_items(db: sqlite3.Connection, project: str, response_id: str, query: PageQuery) -> Page | None:
    sql = "SELECT thread, start, middle FROM responses WHERE project_id = ? AND id = ?"
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return None
    thread, start, middle = found
    return threads.page(db, project, threads.path(db, Segment(thread, middle)), query, own=start)


def item(db: sqlite3.Connection, project: str, item_id: str) -> bytes | None:
    """The newest that goes by this id."""
    sql = "SELECT json FROM items WHERE project_id = ? AND id = ? ORDER BY version DESC LIMIT 1"
    found = db.execute(sql, (project, item_id)).fetchone()
    return found[0] if found is not None else None


def delete(db: sqlite3.Connection, project: str, response_id: str) -> bool:
    """Forget a response. With it goes its run, if it has one: whoever carries that finds out."""
    db.execute("DELETE FROM runs WHERE project_id = ? AND id = ?", (project, response_id))
    return remove(db, project, response_id)


def remove(db: sqlite3.Connection, project: str, response_id: str) -> bool:
    """Take away a response and what nothing else needs."""
    sql = "DELETE FROM responses WHERE project_id = ? AND id = ? RETURNING thread, start, stop"
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return False
    thread = found[0]
    own = "thread = ? AND position >= ? AND position < ?"
    threads.unlink(db, f"{own} AND state = 2", found)
    if not _is_alive(db, thread):
        # Items outlive their conversation, but not the response as well.
        db.execute(f"UPDATE links SET state = 0 WHERE {own} AND state = 1", found)
        threads.prune(db, thread)
    return True
