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
from antiphon.store.notices import QUEUE
from antiphon.store.statements import Insert, Statement, Steps, changed, placeholders, portions

MANY = 2**31
"""Jobs: no bound."""


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


class Wanted(Struct, frozen=True):
    """Which jobs are claimed."""

    kinds: tuple[str, ...]
    now: float
    owner: str
    lease: float
    """Seconds."""
    of_project: int
    """As many jobs as the owner may have of one project. The jobs of none are together as one project's."""


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
        self._served = ""
        """The project whose job was claimed last: the next one has its turn."""

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Keep jobs that belong to nothing else; durable when this returns. Those that belong to something
        are enqueued by its rule (`Store.write`)."""
        await self._database.write(enqueue, jobs)
        self.announce(jobs)

    def announce(self, jobs: Sequence[Job]) -> None:
        """Wake who waits for such jobs in this process: after a rule of another noun enqueued them."""
        for topic in {_topic(job.kind) for job in jobs} | {QUEUE}:
            self._database.notices.report(topic)

    async def claim(
        self, kinds: Sequence[str], owner: str, lease: float, limit: int, of_project: int = MANY
    ) -> Sequence[ClaimedJob]:
        """Take at most `limit` jobs of these kinds that are due and that nobody does, for `lease` seconds.
        Projects take turns, however many jobs one has; of its own, that comes first which has been due
        longest. An owner has no more than so many of one project."""
        wanted = Wanted(tuple(kinds), self._database.clock(), owner, lease, of_project)
        if await self._database.read(next_due, wanted, self._served) is None:
            return ()  # to look costs little, to write does not
        jobs = await self._database.write(claim, wanted, self._served, limit)
        if jobs:
            self._served = jobs[-1].project or ""
        return jobs

    async def due(self, kinds: Sequence[str]) -> float | None:
        """When the next job of these kinds is due, or a lease ends: seconds since the epoch. None: there is
        nothing to come."""
        return await self._database.read(due, kinds)

    async def waiting(self) -> int:
        """How many jobs are due that nobody does."""
        return await self._database.read(waiting, self._database.clock())

    async def wait_for_jobs(self, kind: str) -> None:
        """Returns when there may be more to do, or after a moment: look again in either case. Jobs of other
        processes wake nobody here."""
        await self._database.notices.wait(_topic(kind))

    async def wait_for_queue(self, seconds: float) -> None:
        """Returns when there may be a job to claim, or after so many seconds."""
        await self._database.notices.wait(QUEUE, seconds)

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
        self._database.notices.report(QUEUE)

    async def leave(self, owner: str, keys: Sequence[int]) -> None:
        """The same for some of it."""
        await self._database.write(leave, owner, keys)
        self._database.notices.report(QUEUE)

    async def failed(self, limit: int) -> Sequence[FailedJob]:
        """What was given up, the newest first."""
        return await self._database.read_long(list_failed, limit)

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` jobs that failed before; gives how many went."""
        return await self._database.write(expire, before, limit)


_JOB = "work (kind, name, project_id, payload, run_at)"
_OURS = "key = $1 AND fence = $2 AND failed_at IS NULL"
_ONCE = "ON CONFLICT DO NOTHING"


def _topic(kind: str) -> str:
    return f"work:{kind}"


def enqueue(jobs: Sequence[Job]) -> Steps[None]:
    """Keep jobs, in the transaction of the rule that this is a part of."""
    if jobs:
        rows = [(job.kind, job.name, job.project, job.payload, float(job.run_at)) for job in jobs]
        yield Insert(_JOB, rows, conflict=_ONCE)


_PROJECT = "coalesce(project_id, '')"
_NEXT = f"""
    SELECT {_PROJECT} FROM work
    WHERE failed_at IS NULL AND {_PROJECT} {{beyond}} ORDER BY {_PROJECT} LIMIT 1"""


def next_due(wanted: Wanted, served: str) -> Steps[int | None]:
    """The key of the job that is next: of the next project behind the one that was served, in the order of
    their names, that has any which is due."""
    found = yield from _first_due(wanted, "> $2", served)
    if found is None:
        found = yield from _first_due(wanted, ">= $2", "")
    return found


def _first_due(wanted: Wanted, beyond: str, project: str) -> Steps[int | None]:
    """From project to project, and for each to its job: none of the others is read."""
    sql = f"""
        WITH RECURSIVE turns (project) AS (
            SELECT ({_NEXT.format(beyond=beyond)})
            UNION ALL
            SELECT ({_NEXT.format(beyond="> turns.project")}) FROM turns WHERE turns.project IS NOT NULL)
        SELECT found.key FROM (
            SELECT (
                SELECT key FROM work
                WHERE {_PROJECT} = turns.project AND failed_at IS NULL AND run_at <= $1
                    AND leased_until <= $1 AND kind IN ({placeholders(5, len(wanted.kinds))})
                ORDER BY run_at, key LIMIT 1) AS key
            FROM turns
            WHERE turns.project IS NOT NULL AND $4 > (
                SELECT count(*) FROM work WHERE owner = $3 AND {_PROJECT} = turns.project)
        ) AS found
        WHERE found.key IS NOT NULL LIMIT 1"""
    values = (wanted.now, project, wanted.owner, wanted.of_project, *wanted.kinds)
    rows = yield Statement(sql, values)
    return int(rows[0][0]) if rows else None


def claim(wanted: Wanted, served: str, limit: int) -> Steps[list[ClaimedJob]]:
    sql = """
        UPDATE work SET owner = $2, leased_until = $3, attempts = attempts + 1, fence = fence + 1
        WHERE key = $1 AND leased_until <= $4 AND failed_at IS NULL
        RETURNING key, kind, project_id, payload, attempts, fence"""
    jobs: list[ClaimedJob] = []
    while len(jobs) < limit:
        key = yield from next_due(wanted, served)
        if key is None:
            break
        values = (key, wanted.owner, wanted.now + wanted.lease, wanted.now)
        for row in (yield Statement(sql, values)):  # none: another process took it meanwhile
            jobs.append(ClaimedJob(*row))
            served = jobs[-1].project or ""
    return jobs


def due(kinds: Sequence[str]) -> Steps[float | None]:
    sql = f"""
        SELECT min(CASE WHEN run_at > leased_until THEN run_at ELSE leased_until END) FROM work
        WHERE kind IN ({placeholders(1, len(kinds))}) AND failed_at IS NULL"""
    ((found,),) = yield Statement(sql, tuple(kinds))
    return None if found is None else float(found)


def waiting(now: float) -> Steps[int]:
    sql = "SELECT count(*) FROM work WHERE failed_at IS NULL AND run_at <= $1 AND leased_until < $1"
    ((found,),) = yield Statement(sql, (now,))
    return int(found)


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


def leave(owner: str, keys: Sequence[int]) -> Steps[None]:
    for key in keys:
        sql = """
            UPDATE work SET owner = NULL, leased_until = 0, fence = fence + 1
            WHERE owner = $1 AND key = $2 AND failed_at IS NULL"""
        yield Statement(sql, (owner, key))


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
            SELECT key FROM work WHERE failed_at < $1 ORDER BY failed_at LIMIT $2
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))


def holds(job: ClaimedJob) -> Steps[bool]:
    """Whether it is still ours: as a part of a rule that only its owner may carry out."""
    sql = f"SELECT 1 FROM work WHERE {_OURS} /*! FOR NO KEY UPDATE */"
    return bool((yield Statement(sql, _claim_of(job))))


def withdraw(kind: str, names: Sequence[str]) -> Steps[None]:
    """What these jobs are for is gone: whoever does one has lost it."""
    for some in portions(names):
        sql = f"DELETE FROM work WHERE kind = $1 AND name IN ({placeholders(2, len(some))})"
        yield Statement(sql, (kind, *some))
