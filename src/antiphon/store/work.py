"""Work: everything that must happen later, and must not be forgotten.

A job is enqueued in the transaction of what it belongs to (`enqueue` is a rule that others yield from), so it
is there exactly when that is. A process *claims* a job for a lease, which it renews as long as it works; when
the lease ends without a renewal, the next claim takes the job over. Each claim has a new *fence*: whoever
lost the job can neither renew nor end it. A job ends by being deleted; one that fails is due again later, or
is kept as failed for people to see.

So a job may run more than once, never not at all: what it does must bear being done again.
"""

from collections.abc import Sequence

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.statements import Insert, Row, Statement, Steps, changed, placeholders


class Job(Struct, frozen=True, kw_only=True):
    """Something to be done."""

    kind: str
    """Who does it: `index_file`, `expire`, …"""
    payload: bytes
    """What it needs, in JSON."""
    project: str | None = None
    run_at: float = 0
    """Not before this time: seconds since the epoch."""
    name: str | None = None
    """Of jobs with one kind and name there is at most one that has not ended: the first. So what has to
    happen from time to time is enqueued by every process that starts, and there once."""


class ClaimedJob(Struct, frozen=True):
    """A job that is ours to do."""

    key: int
    kind: str
    project: str | None
    payload: bytes
    attempts: int
    """How often it was claimed, this time included."""
    fence: int
    """The number of this claim."""


class FailedJob(Struct, frozen=True):
    """A job that nobody does any more."""

    key: int
    kind: str
    project: str | None
    attempts: int
    error: str
    failed_at: float
    """Seconds since the epoch."""


class Work:
    """The jobs of an installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Keep jobs that belong to nothing else; durable when this returns. Those that belong to something
        are enqueued by its rule (`Store.write`)."""
        await self._database.write(enqueue, jobs)
        self.announce(jobs)

    def announce(self, jobs: Sequence[Job]) -> None:
        """Wake who waits for such jobs in this process: after a rule of another noun enqueued them."""
        for kind in {job.kind for job in jobs}:
            self._database.notices.report(_topic(kind))

    async def claim(self, kinds: Sequence[str], owner: str, lease: float, limit: int) -> Sequence[ClaimedJob]:
        """Take at most `limit` jobs of these kinds that are due and that nobody does, those first that have
        been due longest, for `lease` seconds."""
        now = self._database.clock()
        if not await self._database.read(waits, kinds, now):
            return ()  # to look costs little, to write does not
        return await self._database.write(claim, kinds, owner, now, lease, limit)

    async def due(self, kinds: Sequence[str]) -> float | None:
        """When the next job of these kinds is due, or a lease ends: seconds since the epoch. None: there is
        nothing to come."""
        return await self._database.read(due, kinds)

    async def wait_for_jobs(self, kind: str) -> None:
        """Returns when there may be more to do, or after a moment: look again in either case. Jobs of other
        processes wake nobody here."""
        await self._database.notices.wait(_topic(kind))

    async def renew(self, job: ClaimedJob, lease: float) -> bool:
        """Hold on to a job. False: it is somebody else's now, or has ended."""
        return await self._database.write(renew, job, self._database.clock() + lease)

    async def finish(self, job: ClaimedJob, following: Sequence[Job] = ()) -> bool:
        """It is done; what follows from it is enqueued with it. False, and nothing is: it is somebody else's
        now."""
        ended = await self._database.write(finish, job, following)
        if ended:
            self.announce(following)
        return ended

    async def retry(self, job: ClaimedJob, run_at: float, error: str) -> bool:
        """It did not work: it is due again at `run_at`. False: it is somebody else's now."""
        return await self._database.write(retry, job, run_at, error)

    async def fail(self, job: ClaimedJob, error: str) -> bool:
        """It did not work, and is given up. False: it is somebody else's now."""
        return await self._database.write(fail, job, error, self._database.clock())

    async def owned(self, owner: str) -> set[int]:
        """The keys of the jobs that the owner does, whether or not their leases have run out."""
        return await self._database.read(owned, owner)

    async def release(self, owner: str) -> None:
        """Let go of all that the owner does: others may claim it at once."""
        await self._database.write(release, owner)

    async def failed(self, limit: int) -> Sequence[FailedJob]:
        """What was given up, the newest first."""
        return await self._database.read_long(list_failed, limit)

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` jobs that failed before; gives how many went."""
        return await self._database.write(expire, before, limit)


_JOB = "work (kind, name, project_id, payload, run_at)"
_OURS = "key = $1 AND fence = $2 AND failed_at IS NULL"
_ONCE = "ON CONFLICT DO NOTHING"
_AT_ONCE = 32
"""Names in one statement."""


def _topic(kind: str) -> str:
    return f"work:{kind}"


def enqueue(jobs: Sequence[Job]) -> Steps[None]:
    """Keep jobs, in the transaction of the rule that this is a part of."""
    if jobs:
        rows = [(job.kind, job.name, job.project, job.payload, float(job.run_at)) for job in jobs]
        yield Insert(_JOB, rows, conflict=_ONCE)


def _due_sql(kinds: int) -> str:
    named = placeholders(2, kinds)
    return f"kind IN ({named}) AND failed_at IS NULL AND run_at <= $1 AND leased_until <= $1"


def waits(kinds: Sequence[str], now: float) -> Steps[bool]:
    sql = f"SELECT 1 FROM work WHERE {_due_sql(len(kinds))} LIMIT 1"
    return bool((yield Statement(sql, (now, *kinds))))


def claim(kinds: Sequence[str], owner: str, now: float, lease: float, limit: int) -> Steps[list[ClaimedJob]]:
    first = len(kinds) + 2
    sql = f"""
        UPDATE work
        SET owner = ${first}, leased_until = ${first + 1}, attempts = attempts + 1, fence = fence + 1
        WHERE key IN (
            SELECT key FROM work WHERE {_due_sql(len(kinds))} ORDER BY run_at, key LIMIT ${first + 2})
        RETURNING run_at, key, kind, project_id, payload, attempts, fence"""
    rows = yield Statement(sql, (now, *kinds, owner, now + lease, limit))
    return [ClaimedJob(*job) for _, *job in sorted(rows, key=_order)]


def _order(row: Row) -> tuple[float, int]:
    return row[0], row[1]


def due(kinds: Sequence[str]) -> Steps[float | None]:
    sql = f"""
        SELECT min(CASE WHEN run_at > leased_until THEN run_at ELSE leased_until END) FROM work
        WHERE kind IN ({placeholders(1, len(kinds))}) AND failed_at IS NULL"""
    ((found,),) = yield Statement(sql, tuple(kinds))
    return None if found is None else float(found)


def renew(job: ClaimedJob, until: float) -> Steps[bool]:
    sql = f"UPDATE work SET leased_until = $3 WHERE {_OURS} RETURNING 1"
    return (yield from changed(Statement(sql, (job.key, job.fence, until))))


def finish(job: ClaimedJob, following: Sequence[Job]) -> Steps[bool]:
    """As a part of another rule: what the job did is written exactly when it ends."""
    if not (yield from changed(Statement(f"DELETE FROM work WHERE {_OURS} RETURNING 1", _claim_of(job)))):
        return False
    yield from enqueue(following)
    return True


def retry(job: ClaimedJob, run_at: float, error: str) -> Steps[bool]:
    sql = f"""
        UPDATE work SET run_at = $3, error = $4, owner = NULL, leased_until = 0, fence = fence + 1
        WHERE {_OURS} RETURNING 1"""
    return (yield from changed(Statement(sql, (*_claim_of(job), float(run_at), error))))


def fail(job: ClaimedJob, error: str, now: float) -> Steps[bool]:
    """A job that failed has no name any more: another may take its place."""
    sql = f"""
        UPDATE work SET failed_at = $3, error = $4, owner = NULL, name = NULL
        WHERE {_OURS} RETURNING 1"""
    return (yield from changed(Statement(sql, (*_claim_of(job), now, error))))


def _claim_of(job: ClaimedJob) -> tuple[int, int]:
    return job.key, job.fence


def owned(owner: str) -> Steps[set[int]]:
    rows = yield Statement("SELECT key FROM work WHERE owner = $1", (owner,))
    return {key for (key,) in rows}


def release(owner: str) -> Steps[None]:
    sql = """
        UPDATE work SET owner = NULL, leased_until = 0, fence = fence + 1
        WHERE owner = $1 AND failed_at IS NULL"""
    yield Statement(sql, (owner,))


def release_all() -> Steps[None]:
    """Nobody does anything: for a process that knows that it is the only one."""
    sql = "UPDATE work SET owner = NULL, leased_until = 0, fence = fence + 1 WHERE owner IS NOT NULL"
    yield Statement(sql)


def list_failed(limit: int) -> Steps[list[FailedJob]]:
    sql = """
        SELECT key, kind, project_id, attempts, error, failed_at FROM work
        WHERE failed_at IS NOT NULL ORDER BY failed_at DESC, key DESC LIMIT $1"""
    return [FailedJob(*row) for row in (yield Statement(sql, (limit,)))]


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM work WHERE key IN (
            SELECT key FROM work WHERE failed_at < $1 ORDER BY failed_at LIMIT $2)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))


def holds(job: ClaimedJob) -> Steps[bool]:
    """Whether it is still ours: as a part of a rule that only its owner may carry out."""
    return bool((yield Statement(f"SELECT 1 FROM work WHERE {_OURS}", _claim_of(job))))


def withdraw(kind: str, names: Sequence[str]) -> Steps[None]:
    """What these jobs are for is gone: whoever does one has lost it."""
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        sql = f"DELETE FROM work WHERE kind = $1 AND name IN ({placeholders(2, len(some))})"
        yield Statement(sql, (kind, *some))
