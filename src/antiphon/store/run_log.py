"""The log of a background run: durable before anybody reads it, and written by one process at a time.

A claim is a token: whoever lost it can write nothing more. The end of a run is one transaction: the last
events, the finished response, its activity, and the deliveries of webhooks.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.store import activity, allowances, inline_data, responses, webhooks
from antiphon.store.activity import ActivityRow
from antiphon.store.allowances import Settled
from antiphon.store.errors import LostRun
from antiphon.store.inline_data import DataRow, Marked
from antiphon.store.items import ItemRow
from antiphon.store.responses import ResponseRow
from antiphon.store.statements import Insert, Row, Statement, Steps, changed, one
from antiphon.store.webhooks import Delivery

ROWS = 32
"""Rows of events that are read at a time."""
_LARGE = 1 << 20
"""Bytes of events that are not read while others wait."""


class Claim(Struct, frozen=True):
    """A run that is ours to carry."""

    key: int
    project: str
    id: str
    """That of its response."""
    owner: str
    conversation_id: str | None
    streamed: bool
    cancelled: bool
    request: bytes
    progress: bytes | None
    claims: int
    """How often it was claimed, this time included."""
    started_at: float
    """When it was claimed first: seconds since the epoch."""
    next: int
    """The sequence number that comes next in its log."""
    left_by: str | None
    """Who carried it last and did not let go of it."""
    advanced: bool
    """Whether its log got on under that one, other than by saying that it is in progress."""
    deaths: int
    """How many died under it since it last got on, as far as it was noted."""


class Record(Struct, frozen=True):
    """More of a run's log. `first` is the sequence number of the first event."""

    first: int
    events: Sequence[bytes]
    """The JSON of each, or of several in a row: a line each."""
    progress: bytes
    response: bytes | None = None
    """The response without output, when it changed."""
    data: Sequence[DataRow] = ()
    """What came in with the events."""
    until: int | None = None
    """The sequence number behind the last event; None: there are no lines."""

    @property
    def after(self) -> int:
        """The sequence number behind the last event."""
        return self.first + len(self.events) if self.until is None else self.until


def whole_events(record: Record) -> list[bytes]:
    """Those that may have data in them: deltas of which several come together are short."""
    return [event for event in record.events if not _is_run(event)]


def with_events(record: Record, marked: Sequence[Marked]) -> Record:
    """The record as it is written."""
    left = iter(marked)
    events = [event if _is_run(event) else next(left).json for event in record.events]
    return replace(record, events=events, data=[row for event in marked for row in event.data])


def _is_run(event: bytes) -> bool:
    return b"\n" in event


class RunEnd(Struct, frozen=True):
    """How a run ended: the finished response, and the last events."""

    record: Record
    response: bytes
    """Without output."""
    output: Sequence[ItemRow]
    speaks: bool = True
    """Whether its items go to its conversation."""
    deliveries: Sequence[Delivery] = ()
    """Webhooks that are due with it."""
    activity: ActivityRow | None = None
    settled: Sequence[Settled] = ()
    """What it counts to its key."""


class LoggedEvents(Struct, frozen=True):
    """Events of a log, and whether it has ended (there may be more to read even so)."""

    events: Sequence[bytes]
    ended: bool


OURS = "key = $1 AND owner = $2 AND id = $3"
"""The run of a claim (`claim_of`), while it is its own. In SQLite the key of a run that was deleted may be
another's now."""


def claim_of(claim: Claim) -> tuple[int, str, str]:
    return claim.key, claim.owner, claim.id


# ---- reading ----------------------------------------------------------------------------------------


def whole(claim: Claim) -> Steps[list[bytes]]:
    """All events so far. Raises LostRun."""
    if not (yield Statement(f"SELECT 1 FROM runs WHERE {OURS}", claim_of(claim))):
        raise LostRun
    return (yield from _from(claim.key, 0))


def is_large(project: str, response_id: str, after: int) -> Steps[bool]:
    """Whether what `events_after` gives is: pictures and tables that code displayed may be in it."""
    sql = f"""
        SELECT length(e.json) FROM runs AS r /*ordered*/ JOIN events AS e ON e.run = r.key
        WHERE r.project_id = $1 AND r.id = $2 AND e.last > $3 ORDER BY e.last LIMIT {ROWS}"""
    rows = yield Statement(sql, (project, response_id, after))
    return bool(sum(size for (size,) in rows) > _LARGE)


def events_after(project: str, response_id: str, after: int) -> Steps[LoggedEvents | None]:
    return (yield from _behind(project, response_id, after, "streamed = 1"))


def progress(project: str, response_id: str, after: int) -> Steps[LoggedEvents | None]:
    """The same of a run whose log is no client's to read; it goes when the run ends."""
    return (yield from _behind(project, response_id, after, "(streamed = 1 OR status <> 'ended')"))


def _behind(project: str, response_id: str, after: int, which: str) -> Steps[LoggedEvents | None]:
    sql = f"SELECT key, status = 'ended' FROM runs WHERE project_id = $1 AND id = $2 AND {which}"
    found = yield from one(Statement(sql, (project, response_id)))
    if found is None:
        return None
    key, ended = found
    sql = f"SELECT last, json FROM events WHERE run = $1 AND last > $2 ORDER BY last LIMIT {ROWS}"
    lines = lines_behind(after, (yield Statement(sql, (key, after))))
    return LoggedEvents(lines, bool(ended))


def lines_behind(after: int, stretches: Sequence[Row]) -> list[bytes]:
    """The events behind a number, from stretches that follow each other: the number of each's last event, and
    its events."""
    lines: list[bytes] = []
    for last, json in stretches:
        some = json.split(b"\n")
        lines += some[max(0, after - (last - len(some))) :]
        after = last
    return lines


def _from(key: int, first: int) -> Steps[list[bytes]]:
    """The events of a log from a number on."""
    sql = "SELECT last, json FROM events WHERE run = $1 AND last >= $2 ORDER BY last"
    lines: list[bytes] = []
    for last, json in (yield Statement(sql, (key, first))):
        some = json.split(b"\n")
        lines += some[max(0, first - (last + 1 - len(some))) :]
    return lines


# ---- writing ----------------------------------------------------------------------------------------


def record(claim: Claim, more: Record) -> Steps[None]:
    """Append to the log. What is there already is not written again, so whoever did not learn whether a
    record was written records it again, alone or with what came since. Raises LostRun."""
    yield from _append_record(claim, more)
    if more.response is not None:
        sql = "UPDATE responses SET json = $1 WHERE project_id = $2 AND id = $3"
        yield Statement(sql, (more.response, claim.project, claim.id))


def append(key: int, after: int, events: Sequence[bytes]) -> Steps[None]:
    """`after`: the sequence number behind the last of them."""
    if events:
        row = (key, after - 1, b"\n".join(events))
        yield Insert("events (run, last, json)", (row,))


def _append_record(claim: Claim, more: Record) -> Steps[None]:
    """Raises LostRun unless it is the owner who goes on, exactly where the log stands."""
    yield from inline_data.arrive(claim.project, more.data)
    yield from inline_data.use("run", claim.key, claim.project, more.events)
    if (yield from _advance(claim, more, more.first)):
        yield from append(claim.key, more.after, more.events)
        return
    known = yield from _known(claim, more)
    yield from _advance(claim, more, more.first + known)
    yield from append(claim.key, more.after, _lines(more)[known:])


def _advance(claim: Claim, more: Record, stands: int) -> Steps[bool]:
    sql = f"UPDATE runs SET next = $4, progress = $5 WHERE {OURS} AND next = $6 RETURNING 1"
    values = (*claim_of(claim), more.after, more.progress, stands)
    return (yield from changed(Statement(sql, values)))


def _known(claim: Claim, more: Record) -> Steps[int]:
    """How many of the events are in the log already. Raises LostRun when others are."""
    sql = f"SELECT next FROM runs WHERE {OURS} /*! FOR NO KEY UPDATE */"
    found = yield from one(Statement(sql, claim_of(claim)))
    if found is None or not more.first < found[0] <= more.after:
        raise LostRun
    known = found[0] - more.first
    if (yield from _from(claim.key, more.first)) != _lines(more)[:known]:
        raise LostRun
    return int(known)


def _lines(more: Record) -> list[bytes]:
    """The events one by one."""
    return b"\n".join(more.events).split(b"\n") if more.events else []


def finish(claim: Claim, end: RunEnd, now: float) -> Steps[None]:
    """The response is what it has become, in its final place. Raises LostRun."""
    yield from _append_record(claim, end.record)
    if not claim.streamed:
        yield Statement("DELETE FROM events WHERE run = $1", (claim.key,))
    sql = """
        UPDATE runs SET status = 'ended', ended_at = $1, owner = NULL, request = NULL, progress = NULL
        WHERE key = $2 RETURNING created_at, previous_id, conversation_id"""
    (accepted,) = yield Statement(sql, (now, claim.key))
    grown = claim.conversation_id is None and (
        yield from responses.grow(claim.project, claim.id, end.response, end.output)
    )
    if not grown:
        yield from _replace(claim, end, *accepted)
    if not claim.streamed:
        yield from inline_data.release("run", "$1", (claim.key,))
    yield from webhooks.enqueue(end.deliveries)
    yield from activity.record_all([end.activity] if end.activity is not None else [])
    yield from allowances.settle_all(end.settled)


def _replace(
    claim: Claim, end: RunEnd, created_at: int, previous: str | None, conversation: str | None
) -> Steps[None]:
    """Put the response where it belongs now. When what it continues was deleted meanwhile, it keeps all that
    it was made from."""
    project, place = claim.project, None
    row = ResponseRow(
        id=claim.id,
        created_at=created_at,
        json=end.response,
        input=(yield from responses.own_input(project, claim.id)),
        output=end.output,
        previous_response_id=previous,
        conversation_id=conversation if end.speaks else None,
    )
    if previous is not None:
        yield from responses.hold(project, previous)
    if previous is not None and not (yield from responses.exists(project, previous)):
        place = yield from responses.fork_before(project, row.id)
    yield from responses.remove(project, row.id)
    if place is None:
        yield from responses.save(project, row)
    else:
        yield from responses.save_at(project, row, place)
