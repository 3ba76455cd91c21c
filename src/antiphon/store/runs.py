"""Background runs, as they are kept: a queue, and who carries each run. `run_log` is what each run said.

A run is accepted together with its response, which is stored as it stands: queued, with its input and no
output. From then on it is never lost. A server process *claims* a run for a lease, which it renews as long as
it lives, and writes down the log before anybody reads it. When the lease ends without a renewal, the next
claim takes the run over, and the one who had it can write nothing more.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from antiphon.store import inline_data, responses, run_log, threads
from antiphon.store.database import Database
from antiphon.store.errors import LostRun, QueueFull
from antiphon.store.follower import Follower
from antiphon.store.inline_data import InlineData, Marked
from antiphon.store.items import marked
from antiphon.store.notices import QUEUE
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.responses import ResponseRow, with_items
from antiphon.store.run_log import Claim, LoggedEvents, Record, RunEnd, whole_events, with_events
from antiphon.store.statements import Insert, Statement, Steps, alone, changed, one, placeholders, portions
from antiphon.store.threads import Segment

Place: TypeAlias = tuple[str, str]
"""A response: the project and the id."""


class AcceptedRun(Struct, frozen=True):
    """A run to be kept. `response` has no output yet."""

    response: ResponseRow
    request: bytes
    """All that is needed to carry it out; kept until it ends. It may hold secrets, so it comes sealed."""
    events: Sequence[bytes]
    """The JSON of the first events."""
    streamed: bool
    """Whether its log may be read by clients, and is kept after its end."""
    patience: float = 0
    """Seconds in which it may wait for quiet times; then it is due as any other."""
    continuation_id: str | None = None
    """What runs that belong together have in common: a patient one waits no longer than the one before it."""


class Context(Struct, frozen=True):
    """What a run's model reads: JSON of items."""

    history: Sequence[bytes]
    input: Sequence[bytes]


class QueuedRun(Struct, frozen=True):
    """A run that has not ended, as people look at it. Times are seconds since the epoch."""

    id: str
    status: str
    """`queued` or `running`."""
    created_at: int
    started_at: float | None
    claims: int
    """How often a process took it up."""
    cancelled: int
    """1: somebody has asked for its end."""
    patient_until: float
    """Until when it may wait for quiet times; 0: it may not."""
    response: bytes
    """JSON, as it stood when it was accepted."""


class Waiting(Struct, frozen=True):
    """What nobody has begun."""

    count: int
    since: float | None
    """When the oldest was accepted, of those that are wanted soonest: seconds since the epoch."""


class Runs:
    """The background runs of an installation. What is not there is None."""

    def __init__(self, database: Database, data: InlineData) -> None:
        self._database = database
        self._data = data
        self._followers: dict[Place, set[Follower]] = {}

    async def accept(
        self, project: str, run: AcceptedRun, queue: int, owner: str | None = None, lease: float = 0
    ) -> Claim | None:
        """Keep a run; durable when this returns. With an `owner`, and if nothing else waits, it is claimed
        at once. Raises QueueFull when `queue` runs wait already."""
        items = [*run.response.input, *run.response.output]

        async def write(jsons: Sequence[Marked]) -> Claim | None:
            whole = replace(run, response=with_items(run.response, marked(items, jsons)))
            now = self._database.clock()
            return await self._database.write(accept, project, whole, queue, owner, now, lease)

        return await self._data.storing(project, [item.json for item in items], write)

    async def unended(self, project: str, limit: int) -> Sequence[bytes]:
        """The responses of the project that are queued or made in the background, the newest first: JSON
        without output."""
        return await self._database.read_long(unended, project, limit)

    async def page(self, project: str, query: PageQuery) -> Page[QueuedRun]:
        """Runs that have not ended, by creation. Raises UnknownCursor."""
        return await self._database.read_long(list_runs, project, query)

    async def claim(
        self, owner: str, lease: float, only: Place | None = None, *, quiet: bool = False
    ) -> Claim | None:
        """Take the oldest run that is due and that nobody carries, for `lease` seconds, or in `quiet` times
        one that is patient; or `only` this one. `owner` names this process. It may be given what it carries
        already, when it renewed too late."""
        now = self._database.clock()
        if only is None and not await self._database.read(waits, now, lease, quiet):
            return None  # to look costs little, to write does not
        return await self._database.write(claim, owner, now, lease, only, quiet)

    async def renew(self, owner: str, lease: float, ids: Sequence[str]) -> None:
        """Hold on to what the owner carries, by the ids of the responses."""
        await self._database.write(renew, owner, self._database.clock() + lease, ids)

    async def release(self, owner: str) -> None:
        """Let go of all that the owner carries: others may claim it at once."""
        await self._database.write(release, owner)
        self._database.notices.report(QUEUE)

    async def leave(self, owner: str, ids: Sequence[str]) -> None:
        """The same for some of it, by the ids of the responses."""
        await self._database.write(leave, owner, ids)
        self._database.notices.report(QUEUE)

    async def note_deaths(self, claim: Claim, deaths: int) -> None:
        """Keep how many processes died under the run since it last got on; durable when this returns."""
        await self._database.write(note_deaths, claim, deaths)

    async def owned(self, owner: str) -> Mapping[str, bool]:
        """The ids of the responses whose runs the owner carries, and whether each is to be cancelled."""
        return await self._database.read(owned, owner)

    async def waiting(self) -> Waiting:
        """How many runs of all projects wait."""
        return await self._database.read(waiting)

    async def context(self, claim: Claim) -> Context:
        """What the run's model reads. Raises LostRun when the response was deleted."""
        found = await self._database.read_long(context, claim)
        jsons = await self._data.filled(claim.project, [*found.history, *found.input])
        middle = len(found.history)
        return Context(jsons[:middle], jsons[middle:])

    async def log(self, claim: Claim) -> Sequence[bytes]:
        """All events so far. Raises LostRun."""
        found = await self._database.read_long(run_log.whole, claim)
        return await self._data.filled(claim.project, found)

    async def record(self, claim: Claim, record: Record) -> None:
        """Append to the log; durable when this returns. Whoever does not know whether a record was written
        may record it again, alone or with what came since: each number of the log is written once.

        Raises LostRun when the run is somebody else's, or when the log has other events at these numbers.
        """

        async def write(events: Sequence[Marked]) -> None:
            await self._database.write(run_log.record, claim, with_events(record, events))

        await self._data.storing(claim.project, whole_events(record), write)
        self._tell(claim, record, ended=False)

    async def finish(self, claim: Claim, end: RunEnd) -> None:
        """End the run. Raises LostRun, also when it has ended already."""
        items, events = end.output, whole_events(end.record)
        middle = len(events)

        async def write(jsons: Sequence[Marked]) -> None:
            record = with_events(end.record, jsons[:middle])
            whole = replace(end, record=record, output=marked(items, jsons[middle:]))
            await self._database.write(run_log.finish, claim, whole, self._database.clock())

        await self._data.storing(claim.project, [*events, *(item.json for item in items)], write)
        self._tell(claim, end.record, ended=True)

    def _tell(self, claim: Claim, record: Record, *, ended: bool) -> None:
        """Who follows the log here is told what was written, and all are woken."""
        for follower in self._followers.get((claim.project, claim.id), ()):
            follower.tell(record, ended=ended)
        self._database.notices.report(claim.id)

    async def cancel(self, project: str, response_id: str) -> bool:
        """Ask whoever carries the run to cancel it. False: there is no such run, or it has ended."""
        asked = await self._database.write(cancel, project, response_id)
        self._database.notices.report(QUEUE)
        return asked

    async def wait_for_queue(self, seconds: float) -> None:
        """Returns when there may be a run to claim or to cancel, or after so many seconds."""
        await self._database.notices.wait(QUEUE, seconds)

    async def running(self, project: str, response_id: str) -> bool:
        """Whether the response has a run that has not ended."""
        return await self._database.read(running, project, response_id)

    async def events_after(self, project: str, response_id: str, after: int) -> LoggedEvents | None:
        """Events behind the number `after` (-1: from the first), some at a time. None: there is no log that
        clients may read."""
        read = self._database.read
        if self._database.reads_inline and await read(run_log.is_large, project, response_id, after):
            read = self._database.read_long
        found = await read(run_log.events_after, project, response_id, after)
        return found and LoggedEvents(await self._data.filled(project, found.events), found.ended)

    @contextmanager
    def followed(
        self, project: str, response_id: str, after: int, begins: Sequence[bytes] = ()
    ) -> Iterator[Follower]:
        """Who reads the log behind the number `after` as it grows, and may know how it `begins`."""
        place = project, response_id
        wait = partial(self.wait_for_events, response_id)
        follower = Follower(partial(self.events_after, project, response_id), wait, after, begins)
        others = self._followers.setdefault(place, set())
        others.add(follower)
        try:
            yield follower
        finally:
            others.discard(follower)
            if not others:
                self._followers.pop(place, None)

    async def wait_for_events(self, response_id: str) -> None:
        """Returns when there may be more of a run's log, or after a moment: look again in either case. All
        who wait in this process are woken by what is written in it."""
        await self._database.notices.wait(response_id)

    async def expire(self, before: float, limit: int) -> int:
        """Delete the logs of runs that ended before (seconds since the epoch), the oldest first and at most
        `limit`; gives how many went."""
        return await self._database.write(expire, before, limit)


# ---- the queue --------------------------------------------------------------------------------------

_RUN = (
    "runs (project_id, id, created_at, previous_id, conversation_id, streamed, request, next,"
    " patient_until, continuation_id)"
)
_FREE = "status <> 'ended' AND leased_until < $1"
_DUE = f"{_FREE} AND (status = 'running' OR patient_until <= $1)"
_AT_ONE_MOMENT = 250
"""Runs that servers accept at the same moment, at most: each has a few connections to the database."""
_QUEUED = "FROM runs WHERE status = 'queued'"
_WAITING = f"SELECT count(*) {_QUEUED} AND patient_until"


def accept(
    project: str, run: AcceptedRun, queue: int, owner: str | None, now: float, lease: float
) -> Steps[Claim | None]:
    waiting = yield from keep(project, run, queue)
    if owner is None or waiting:
        return None
    return (yield from claim(owner, now, lease, (project, run.response.id), quiet=False))


def keep(project: str, run: AcceptedRun, queue: int) -> Steps[int]:
    """Gives how many wait already. Raises QueueFull."""
    waiting = yield from _waiting(queue, is_patient=bool(run.patience))
    if waiting >= queue:
        raise QueueFull
    row = run.response
    yield from responses.save_apart(project, row)
    values = (
        project,
        row.id,
        row.created_at,
        row.previous_response_id,
        row.conversation_id,
        int(run.streamed),
        run.request,
        len(run.events),
        (yield from _patient_until(project, run)),
        run.continuation_id,
    )
    ((key,),) = yield Insert(_RUN, (values,), key="key")
    yield from run_log.append(key, len(run.events), run.events)
    yield from inline_data.use("run", key, project, [item.json for item in row.input])
    return waiting


def _patient_until(project: str, run: AcceptedRun) -> Steps[float]:
    """What goes on with a run that was patient before is as urgent as that one."""
    if not run.patience:
        return 0.0
    own = run.response.created_at + run.patience
    sql = """
        SELECT patient_until FROM runs WHERE project_id = $1 AND continuation_id = $2 AND patient_until > 0
        ORDER BY key DESC LIMIT 1"""
    before = yield from one(Statement(sql, (project, run.continuation_id)))
    return own if before is None else min(own, before[0])


def waiting() -> Steps[Waiting]:
    oldest = "min(CASE WHEN patient_until = 0 THEN created_at END)"
    ((count, since),) = yield Statement(f"SELECT count(*), {oldest} {_QUEUED}")
    return Waiting(int(count), None if since is None else float(since))


def _waiting(queue: int, *, is_patient: bool) -> Steps[int]:
    """How many wait that are patient, or that are not: neither takes the room of the others. Where as many
    more as may come at the same moment would be too many, they come one behind another."""
    sql = f"{_WAITING} {'>' if is_patient else '='} 0"
    ((waiting,),) = yield Statement(sql)
    if waiting < queue <= waiting + _AT_ONE_MOMENT:
        yield from alone("queue", "")
        ((waiting,),) = yield Statement(sql)
    return int(waiting)


def waits(now: float, lease: float, quiet: bool) -> Steps[bool]:
    wanted = _FREE if quiet else _DUE
    return bool((yield Statement(f"SELECT 1 FROM runs WHERE {wanted} LIMIT 1", (now,))))


def claim(owner: str, now: float, lease: float, only: Place | None, quiet: bool) -> Steps[Claim | None]:
    if only is not None:
        return (yield from _claim(f"{_FREE} AND project_id = $4 AND id = $5", owner, now, lease, *only))
    found = yield from _claim(_DUE, owner, now, lease)
    if found is None and quiet:
        most_urgent = yield from next_patient()
        found = most_urgent and (yield from claim(owner, now, lease, most_urgent, quiet))
    return found


def next_patient() -> Steps[Place | None]:
    sql = """
        SELECT project_id, id FROM runs WHERE status = 'queued' AND patient_until > 0
        ORDER BY patient_until, key LIMIT 1"""
    found = yield from one(Statement(sql))
    return found and (found[0], found[1])


def _claim(wanted: str, owner: str, now: float, lease: float, *place: str) -> Steps[Claim | None]:
    sql = f"""
        UPDATE runs
        SET owner = $2, leased_until = $3, status = 'running', claims = claims + 1,
            started_at = coalesce(started_at, $1), left_by = owner,
            advanced = CASE WHEN next - claimed_next > 1 THEN 1 ELSE 0 END, claimed_next = next
        WHERE key = (SELECT key FROM runs WHERE {wanted} ORDER BY key LIMIT 1
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key, project_id, id, owner, conversation_id, streamed, cancelled, request, progress,
            claims, started_at, next, left_by, advanced, deaths"""
    found = yield from one(Statement(sql, (now, owner, now + lease, *place)))
    if found is None:
        return None
    key, project, response_id, owner, conversation, streamed, cancelled, *rest = found
    request, progress, claims, started_at, following, left_by, advanced, deaths = rest
    return Claim(
        key=key,
        project=project,
        id=response_id,
        owner=owner,
        conversation_id=conversation,
        streamed=bool(streamed),
        cancelled=bool(cancelled),
        request=request,
        progress=progress,
        claims=claims,
        started_at=started_at,
        next=following,
        left_by=left_by,
        advanced=bool(advanced),
        deaths=deaths,
    )


def renew(owner: str, until: float, ids: Sequence[str]) -> Steps[None]:
    for some in portions(ids):
        named = placeholders(3, len(some))
        sql = f"""
            UPDATE runs SET leased_until = $1 WHERE key IN (
                SELECT key FROM runs WHERE owner = $2 AND id IN ({named}) ORDER BY key
                /*! FOR NO KEY UPDATE */)"""
        yield Statement(sql, (until, owner, *some))


def release(owner: str) -> Steps[None]:
    yield Statement("UPDATE runs SET leased_until = 0, owner = NULL WHERE owner = $1", (owner,))


def leave(owner: str, ids: Sequence[str]) -> Steps[None]:
    for response_id in ids:
        sql = "UPDATE runs SET leased_until = 0, owner = NULL WHERE owner = $1 AND id = $2"
        yield Statement(sql, (owner, response_id))


def note_deaths(claim: Claim, deaths: int) -> Steps[None]:
    sql = f"UPDATE runs SET deaths = $4 WHERE {run_log.OURS}"
    yield Statement(sql, (*run_log.claim_of(claim), deaths))


def release_all() -> Steps[None]:
    """Nobody carries anything: for a process that knows that it is the only one."""
    yield Statement("UPDATE runs SET leased_until = 0 WHERE owner IS NOT NULL")


def owned(owner: str) -> Steps[dict[str, bool]]:
    rows = yield Statement("SELECT id, cancelled FROM runs WHERE owner = $1", (owner,))
    return {response_id: bool(cancelled) for response_id, cancelled in rows}


def context(claim: Claim) -> Steps[Context]:
    found = yield from responses.extent(claim.project, claim.id)
    if found is None:
        raise LostRun
    thread, start, middle = found
    history = yield from threads.history((yield from threads.path(Segment(thread, start))))
    return Context(history, (yield from threads.between(thread, start, middle)))


def cancel(project: str, response_id: str) -> Steps[bool]:
    sql = """
        UPDATE runs SET cancelled = 1, patient_until = 0
        WHERE project_id = $1 AND id = $2 AND status <> 'ended'
        RETURNING 1"""
    return (yield from changed(Statement(sql, (project, response_id))))


def unended(project: str, limit: int) -> Steps[list[bytes]]:
    sql = """
        SELECT p.json FROM runs AS r
        JOIN responses AS p ON p.project_id = r.project_id AND p.id = r.id
        WHERE r.status <> 'ended' AND r.project_id = $1 ORDER BY r.key DESC LIMIT $2"""
    return [json for (json,) in (yield Statement(sql, (project, limit)))]


def list_runs(project: str, query: PageQuery) -> Steps[Page[QueuedRun]]:
    wanted, values = "", [project, query.limit + 1]
    if query.after is not None:
        sql = "SELECT key FROM runs WHERE project_id = $1 AND id = $2"
        values.append((yield from key_of("run", query.after, Statement(sql, (project, query.after)))))
        wanted = f"AND r.key {query.side} $3"
    sql = f"""
        SELECT r.id, r.status, r.created_at, r.started_at, r.claims, r.cancelled, r.patient_until, p.json
        FROM runs AS r
        JOIN responses AS p ON p.project_id = r.project_id AND p.id = r.id
        WHERE r.status <> 'ended' AND r.project_id = $1 {wanted} ORDER BY r.key {query.order} LIMIT $2"""
    rows = [QueuedRun(*row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def running(project: str, response_id: str) -> Steps[bool]:
    sql = "SELECT 1 FROM runs WHERE project_id = $1 AND id = $2 AND status <> 'ended'"
    return bool((yield Statement(sql, (project, response_id))))


def expire(before: float, limit: int) -> Steps[int]:
    sql = "SELECT key FROM runs WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 /*! FOR UPDATE SKIP LOCKED */"
    over = yield Statement(sql, (before, limit))
    for key in over:
        yield from inline_data.release("run", "$1", key)
        yield Statement("DELETE FROM runs WHERE key = $1", key)
    return len(over)
