"""Responses: parts of threads (`threads`)."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from antiphon.store import activity, inline_data, recordings, threads
from antiphon.store.activity import ActivityRow
from antiphon.store.database import Database
from antiphon.store.inline_data import InlineData, Marked
from antiphon.store.items import ItemRow, filled, marked
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Lock, Row, Statement, Steps, one, placeholders
from antiphon.store.threads import HELD, HIDDEN, LINKED, Segment


class ResponseRow(Struct, frozen=True):
    """A finished response. `json` is the Response object with an empty `output`."""

    id: str
    created_at: int
    json: bytes
    input: Sequence[ItemRow]
    output: Sequence[ItemRow]
    previous_response_id: str | None = None
    conversation_id: str | None = None


class StoredResponse(Struct, frozen=True):
    """A response as read back: the Response object without output, and the output items."""

    json: bytes
    output: Sequence[bytes]


def with_items(row: ResponseRow, items: Sequence[ItemRow]) -> ResponseRow:
    """The row with its items as they are written: those of the input, then those of the output."""
    middle = len(row.input)
    return replace(row, input=items[:middle], output=items[middle:])


Saved: TypeAlias = tuple[str, ResponseRow, ActivityRow | None]
"""A response to be saved: its project, the row, and its activity."""


class Responses:
    """The responses of all projects. What is not there is None, or False from a delete."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data

    async def save(self, project: str, row: ResponseRow, ended: ActivityRow | None = None) -> None:
        """Keep a finished response with its items, and its activity with it.

        With a conversation its items are appended there (and nothing is when the conversation was deleted
        meanwhile). Items whose id is already stored in the project (an item replayed by the client) are
        linked, not stored again; but an id that comes with other content is a version of its own, as clients
        make ids too. When what it continues was deleted while it ran, the response is kept all the same, with
        what is left. An input item that the conversation has already is part of the response only.

        Raises AlreadyExists for an id that the project has already.
        """
        items = [*row.input, *row.output]
        jsons = [item.json for item in items]
        if not self._data.may_cut(jsons):
            await self._database.batch(save_all, (project, row, ended))
            return

        async def write(cut: Sequence[Marked]) -> None:
            whole = with_items(row, marked(items, cut))
            await self._database.batch(save_all, (project, whole, ended))

        await self._data.storing(project, jsons, write)

    async def get(self, project: str, response_id: str) -> StoredResponse | None:
        """The response, also one that is still being made."""
        found = await self._database.read(load, project, response_id)
        if found is None:
            return None
        return StoredResponse(found.json, await self._data.filled(project, found.output))

    async def delete(self, project: str, response_id: str) -> bool:
        """Forget a response, and every item that nothing else needs. Later responses of a chain that has it
        in the middle stay readable (behaviours.md section 7.10). With it goes its run, if it has one: whoever
        carries that finds out."""
        return await self._database.write(delete, project, response_id)

    async def texts(self, project: str, ids: Sequence[str]) -> Sequence[tuple[str, bytes]]:
        """The items of some responses, in any order, each with the id of its response; marks of inline data
        are left as they are."""
        return await self._database.read_long(texts, project, ids)

    async def history(self, project: str, response_id: str) -> Sequence[bytes] | None:
        """All items up to and including the response's output, oldest first. None also for a response that
        is still being made."""
        found = await self._database.read_long(history, project, response_id)
        return None if found is None else await self._data.filled(project, found)

    async def settled(self, project: str, response_id: str) -> int | None:
        """How many items the history of a response has, which can no longer change. None: there is no such
        response, or it is still being made, or its history goes through a conversation, whose items come and
        go."""
        return await self._database.read(settled, project, response_id)

    async def input_items(self, project: str, response_id: str, query: PageQuery) -> Page[ItemRow] | None:
        """The input side of the response: inherited context and its own input (behaviours.md section 7.3). An
        id that is in it twice makes a cursor mean the first of them, in the order asked for.

        Raises UnknownCursor when `query.after` is not among them.
        """
        found = await self._database.read_long(input_items, project, response_id, query)
        return await filled(self._data, project, found)

    async def expire(self, before: float, limit: int) -> int:
        """Delete, in every project, responses that were created before (seconds since the epoch) and are no
        longer made, as `delete` does: the oldest first, at most `limit`. Gives how many went."""
        return await self._database.write(expire, before, limit)


# ---- saving -----------------------------------------------------------------------------------------

_RESPONSE = "responses (project_id, id, created_at, thread, start, middle, stop, json)"


def save_all(rows: Sequence[Saved]) -> Steps[None]:
    """Save responses. Those that continue nothing take four statements together, and the activity of all one
    more: it is these that cost, since each gives up Python's lock and has to get it back."""
    fresh = [(p, row) for p, row, _ in rows if not row.conversation_id and not row.previous_response_id]
    if fresh:
        begun = yield from threads.start_threads([(p, (*row.input, *row.output)) for p, row in fresh])
        values = [_values(p, row, thread, 0) for (p, row), thread in zip(fresh, begun, strict=True)]
        yield Insert(_RESPONSE, values)
    if len(fresh) < len(rows):
        for project, row, _ in rows:
            if row.conversation_id or row.previous_response_id:
                yield from save(project, row)
    yield from activity.record_all([ended for _, _, ended in rows if ended is not None])


class Place(NamedTuple):
    """Where a response goes."""

    end: Segment
    """The end of the history that it continues, in a thread that may be appended to."""
    in_conversation: bool = False
    """Whether the thread is that of a conversation which was not deleted."""


def save(project: str, row: ResponseRow) -> Steps[None]:
    yield from save_at(project, row, (yield from _place(project, row)))


def save_apart(project: str, row: ResponseRow) -> Steps[None]:
    """Keep an unfinished response. A conversation sees nothing of it yet (behaviours.md section 7.4)."""
    end, in_conversation = yield from _place(project, row)
    if in_conversation:
        end = Segment((yield from threads.fork(project, *end)), end.below)
    yield from save_at(project, row, Place(end))


def grow(project: str, response_id: str, json: bytes, output: Sequence[ItemRow]) -> Steps[bool]:
    """Put its output behind a response, where nothing follows it. False: something does, or its thread is a
    conversation's, and nothing was done."""
    stands = "FROM responses WHERE project_id = $2 AND id = $3"
    sql = f"""
        UPDATE threads SET next_position = next_position + $1
        WHERE id = (SELECT thread {stands}) AND next_position = (SELECT stop {stands})
            AND conversation_id IS NULL
        RETURNING id, next_position"""
    found = yield from one(Statement(sql, (len(output), project, response_id)))
    if found is None:
        return False
    thread, stop = found
    yield from threads.link(project, Segment(thread, stop - len(output)), output, repeat(LINKED))
    sql = "UPDATE responses SET json = $1, stop = $2 WHERE project_id = $3 AND id = $4"
    yield Statement(sql, (json, stop, project, response_id))
    return True


def save_at(project: str, row: ResponseRow, place: Place) -> Steps[None]:
    items = [*row.input, *row.output]
    states: Iterable[int] = repeat(LINKED)
    if place.in_conversation:
        states = yield from _states(project, place.end.thread, items)
    yield from threads.append(project, place.end, items, states)
    yield Insert(_RESPONSE, (_values(project, row, *place.end),))


def _values(project: str, row: ResponseRow, thread: int, start: int) -> Row:
    """The row of a response whose input begins at a position."""
    middle = start + len(row.input)
    stop = middle + len(row.output)
    return (project, row.id, row.created_at, thread, start, middle, stop, row.json)


def _place(project: str, row: ResponseRow) -> Steps[Place]:
    place = None
    if row.conversation_id is not None:
        place = yield from _end_of_conversation(project, row.conversation_id)
    elif row.previous_response_id is not None:
        place = yield from _end_of_response(project, row.previous_response_id)
    # What it continued may have been deleted while it ran. The response is kept, for itself.
    return place or Place(Segment((yield from threads.start_thread(project)), 0))


def _end_of_conversation(project: str, conversation_id: str) -> Steps[Place | None]:
    """The conversation's thread; if the conversation is deleted, a fork of what is left of it."""
    yield from threads.hold_conversation(project, conversation_id)
    sql = """
        SELECT t.id, t.next_position, c.id IS NOT NULL
        FROM threads AS t
        LEFT JOIN conversations AS c ON c.project_id = t.project_id AND c.id = t.conversation_id
        WHERE t.project_id = $1 AND t.conversation_id = $2"""
    found = yield from one(Statement(sql, (project, conversation_id)))
    if found is None:
        return None
    thread, end, is_alive = found
    if not is_alive:
        thread = yield from threads.fork(project, thread, end)
    return Place(Segment(thread, end), bool(is_alive))


def _end_of_response(project: str, response_id: str) -> Steps[Place | None]:
    """The thread of the response while nothing follows it there, else a fork. A conversation's thread is
    always left: what chains onto one of its responses is not said in the conversation."""
    sql = """
        SELECT r.thread, r.stop, t.next_position = r.stop AND t.conversation_id IS NULL
        FROM responses AS r JOIN threads AS t ON t.id = r.thread
        WHERE r.project_id = $1 AND r.id = $2
        /*! FOR KEY SHARE OF r FOR NO KEY UPDATE OF t */"""
    found = yield from one(Statement(sql, (project, response_id)))
    if found is None:
        return None
    thread, stop, open_end = found
    if not open_end:
        thread = yield from threads.fork(project, thread, stop)
    return Place(Segment(thread, stop))


def _states(project: str, thread: int, items: Sequence[ItemRow]) -> Steps[list[int]]:
    """An item that the conversation has already belongs to the response only: ids in it are unique."""
    known = yield from threads.held_ids(project, thread, items)
    states = []
    for item in items:
        states.append(HIDDEN if item.id in known else HELD)
        known.add(item.id)
    return states


def _is_alive(thread: int) -> Steps[bool]:
    """Whether the thread is that of a conversation which was not deleted."""
    sql = """
        SELECT 1 FROM threads AS t
        JOIN conversations AS c ON c.project_id = t.project_id AND c.id = t.conversation_id
        WHERE t.id = $1"""
    return bool((yield Statement(sql, (thread,))))


# ---- reading ----------------------------------------------------------------------------------------


def load(project: str, response_id: str) -> Steps[StoredResponse | None]:
    sql = "SELECT json, thread, middle, stop FROM responses WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, response_id)))
    if found is None:
        return None
    json, thread, middle, stop = found
    return StoredResponse(json=json, output=(yield from threads.between(thread, middle, stop)))


def history(project: str, response_id: str) -> Steps[list[bytes] | None]:
    sql = """
        SELECT thread, stop FROM responses AS r
        WHERE project_id = $1 AND id = $2 AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')"""
    found = yield from one(Statement(sql, (project, response_id)))
    if found is None:
        return None
    return (yield from threads.history((yield from threads.path(Segment(*found)))))


def settled(project: str, response_id: str) -> Steps[int | None]:
    # Positions count along a history: where all that it has is seen, its end is their number.
    sql = """
        WITH RECURSIVE path (thread) AS (
            SELECT thread FROM responses WHERE project_id = $1 AND id = $2
            UNION ALL
            SELECT t.parent FROM path JOIN threads AS t ON t.id = path.thread WHERE t.parent IS NOT NULL
        )
        SELECT stop FROM responses AS r
        WHERE project_id = $1 AND id = $2 AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')
            AND NOT EXISTS (
                SELECT 1 FROM path JOIN threads AS t ON t.id = path.thread
                WHERE t.conversation_id IS NOT NULL)"""
    found = yield from one(Statement(sql, (project, response_id)))
    return int(found[0]) if found is not None else None


def extent(project: str, response_id: str) -> Steps[tuple[int, int, int] | None]:
    """The thread of a response, where it starts, and where its output does."""
    sql = "SELECT thread, start, middle FROM responses WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, response_id)))
    return (found[0], found[1], found[2]) if found is not None else None


def hold(project: str, response_id: str) -> Steps[None]:
    """Nobody deletes the response before the rule ends."""
    sql = "SELECT 1 FROM responses WHERE project_id = $1 AND id = $2 FOR KEY SHARE"
    yield Lock(sql, (project, response_id))


def exists(project: str, response_id: str) -> Steps[bool]:
    return (yield from extent(project, response_id)) is not None


def fork_before(project: str, response_id: str) -> Steps[Place | None]:
    """A place behind all that came before the response; None: there is no such response."""
    found = yield from extent(project, response_id)
    if found is None:
        return None
    thread, start, _ = found
    return Place(Segment((yield from threads.fork(project, thread, start)), start))


def texts(project: str, ids: Sequence[str]) -> Steps[list[tuple[str, bytes]]]:
    """The items of these responses, each with the id of its response."""
    sql = f"""
        SELECT r.id, i.json
        FROM responses AS r
        JOIN links AS l ON l.thread = r.thread AND l.position >= r.start AND l.position < r.stop
        JOIN items AS i ON i.key = l.item
        WHERE r.project_id = $1 AND r.id IN ({placeholders(2, len(ids))})"""
    return [(row[0], row[1]) for row in (yield Statement(sql, (project, *ids)))]


def own_input(project: str, response_id: str) -> Steps[list[ItemRow]]:
    """The items that the response brought itself."""
    sql = """
        SELECT i.id, i.json
        FROM responses AS r
        JOIN links AS l ON l.thread = r.thread AND l.position >= r.start AND l.position < r.middle
        JOIN items AS i ON i.key = l.item
        WHERE r.project_id = $1 AND r.id = $2
        ORDER BY l.position"""
    return [ItemRow(*row) for row in (yield Statement(sql, (project, response_id)))]


def input_items(project: str, response_id: str, query: PageQuery) -> Steps[Page[ItemRow] | None]:
    found = yield from extent(project, response_id)
    if found is None:
        return None
    thread, start, middle = found
    segments = yield from threads.path(Segment(thread, middle))
    return (yield from threads.page(project, segments, query, own=start))


# ---- what goes --------------------------------------------------------------------------------------


def delete(project: str, response_id: str) -> Steps[bool]:
    run = "FROM runs WHERE project_id = $1 AND id = $2"
    yield from inline_data.release("run", f"SELECT key {run}", (project, response_id))
    yield Statement(f"DELETE {run}", (project, response_id))
    found = yield from remove(project, response_id)
    yield from recordings.delete(project, response_id)
    return found


def remove(project: str, response_id: str) -> Steps[bool]:
    """Take away a response and what nothing else needs."""
    sql = "DELETE FROM responses WHERE project_id = $1 AND id = $2 RETURNING thread, start, stop"
    found = yield from one(Statement(sql, (project, response_id)))
    if found is None:
        return False
    thread = found[0]
    yield from threads.hold(thread)
    own = "thread = $1 AND position >= $2 AND position < $3"
    yield from threads.unlink(f"{own} AND state = 2", found)
    if not (yield from _is_alive(thread)):
        # Items outlive their conversation, but not the response as well.
        yield Statement(f"UPDATE links SET state = 0 WHERE {own} AND state = 1", found)
        yield from threads.prune(thread)
    return True


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        SELECT project_id, id FROM responses AS r
        WHERE created_at < $1 AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')
        ORDER BY created_at LIMIT $2 /*! FOR UPDATE SKIP LOCKED */"""
    over = yield Statement(sql, (before, limit))
    for project, response_id in over:
        yield from delete(project, response_id)
    return len(over)
