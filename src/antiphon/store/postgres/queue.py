"""The queue on PostgreSQL: Procrastinate keeps whose turn it is, and who works.

Each run, and each piece of work, has one of Procrastinate's jobs as long as it has not ended. The schema sees
to that (`migrations/postgres/0003_queue.sql`): a job is deferred by the transaction that writes the row, put
back by the one that lets go of it, and deleted by the one that ends it. So neither is there without the
other, whatever becomes of the process; and as a row is ended only by who holds it (its owner and fence), a
process that comes back from the dead ends nobody's job.

Procrastinate's are the jobs, their order and times, who does each, the heartbeats of those, and the notice
that a job came. It is used through the functions of its schema, within the transactions of our own rules. Its
worker in Python would end a job apart from what the job is for, and lose what fails between the two.

The rules here stand in for those of leases, with the same promises (`own`). For `lease` seconds after its
last heartbeat a process keeps what it does; then the jobs are put back by whoever looks next. The column
`leased_until` says only that somebody has the row.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, TypeVarTuple

from msgspec import Struct

from antiphon.store import runs, work
from antiphon.store.run_log import Claim
from antiphon.store.runs import AcceptedRun, Place
from antiphon.store.statements import Statement, Steps, changed, one
from antiphon.store.work import ClaimedJob, Wanted

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CHANNEL = "procrastinate_any_queue_v1"
"""Where Procrastinate says that a job was deferred."""

_JOBS, _WORKERS = "antiphon_queue.procrastinate_jobs", "antiphon_queue.procrastinate_workers"
_HELD = 1e12
"""Seconds: until it is let go of."""
_BEAT = 1.0
"""Seconds between heartbeats, at least: all that a process does at once would wait for that one row."""
_FORGET_SECONDS = 3600.0
"""After which a process that is silent is no worker any more."""
_MEETINGS = 8
"""How often another process may be quicker before we look at it later."""

_STALLED = f"""
    FROM {_JOBS} AS j LEFT JOIN {_WORKERS} AS w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND j.queue_name = $1
        AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => $2))"""
_TAKE = f"UPDATE {_JOBS} SET status = 'doing', worker_id = $2 WHERE id = $1 AND status = 'todo' RETURNING 1"
_ADOPT = f"""
    UPDATE {{0}} SET job = queue_defer_{{1}}({{0}}), leased_until = 0 WHERE {{2}} AND NOT EXISTS (
        SELECT 1 FROM {_JOBS} AS j WHERE j.id = {{0}}.job AND j.status IN ('todo', 'doing'))"""


class _Worker(Struct, frozen=True):
    """What an owner is to Procrastinate."""

    id: int
    silent: float
    """Seconds since its last heartbeat before this one."""


# ---- who works --------------------------------------------------------------------------------------


def _worker(owner: str) -> Steps[_Worker]:
    """The owner as a worker, who is alive by this."""
    sql = f"""
        SELECT w.id, CAST(extract(epoch FROM now() - w.last_heartbeat) AS FLOAT8)
        FROM queue_owners AS o JOIN {_WORKERS} AS w ON w.id = o.worker WHERE o.owner = $1"""
    found = yield from one(Statement(sql, (owner,)))
    if found is None:
        return (yield from _new_worker(owner))
    worker = _Worker(*found)
    if worker.silent > _BEAT:
        yield Statement("SELECT antiphon_queue.procrastinate_update_heartbeat_v1($1)", (worker.id,))
    return worker


def _new_worker(owner: str) -> Steps[_Worker]:
    """Of two who make one for the same owner at once, both get that of the first."""
    sql = """
        INSERT INTO queue_owners (owner, worker)
        SELECT $1, worker_id FROM antiphon_queue.procrastinate_register_worker_v1()
        ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner RETURNING worker"""
    ((worker,),) = yield Statement(sql, (owner,))
    return _Worker(worker, 0.0)


def _unregister(owner: str) -> Steps[None]:
    sql = """
        SELECT antiphon_queue.procrastinate_unregister_worker_v1(worker)
        FROM queue_owners WHERE owner = $1"""
    yield Statement(sql, (owner,))


def _sweep(worker: _Worker, queue: str, lease: float) -> Steps[None]:
    """Put back the jobs of those who are silent. Who was silent himself leaves the others the time to speak:
    after the database was away, all have been."""
    if worker.silent > lease:
        return
    sql = f"SELECT j.id, CAST(j.args ->> 'key' AS BIGINT) {_STALLED} FOR UPDATE OF j SKIP LOCKED"
    stalled = yield Statement(sql, (queue, lease))
    for job, key in stalled:
        yield Statement("SELECT queue_again($1, 0)", (job,))
        yield Statement(f"UPDATE {queue} SET leased_until = 0 WHERE key = $1", (key,))
    if stalled:
        yield from adopt()
        sql = "SELECT antiphon_queue.procrastinate_prune_stalled_workers_v1($1)"
        yield Statement(sql, (_FORGET_SECONDS,))


def adopt() -> Steps[None]:
    """A job for all that has none and has not ended: people can delete jobs, too."""
    yield Statement(_ADOPT.format("runs", "run", "status <> 'ended'"))
    yield Statement(_ADOPT.format("work", "work", "failed_at IS NULL"))


def _any_stalled(queue: str, lease: float) -> Steps[bool]:
    return bool((yield Statement(f"SELECT 1 {_STALLED} LIMIT 1", (queue, lease))))


# ---- runs -------------------------------------------------------------------------------------------


def accept(
    project: str, run: AcceptedRun, queue: int, owner: str | None, now: float, lease: float
) -> Steps[Claim | None]:
    waiting = yield from runs.keep(project, run, queue)
    if owner is None or waiting:
        return None
    return (yield from claim_run(owner, now, lease, (project, run.response.id), quiet=False))


def run_waits(now: float, lease: float, quiet: bool) -> Steps[bool]:
    if quiet and (yield from runs.next_patient()):
        return True
    sql = f"""
        SELECT 1 FROM {_JOBS} WHERE status = 'todo' AND queue_name = 'runs'
            AND (scheduled_at IS NULL OR scheduled_at <= now()) LIMIT 1"""
    return bool((yield Statement(sql))) or (yield from _any_stalled("runs", lease))


def claim_run(owner: str, now: float, lease: float, only: Place | None, quiet: bool) -> Steps[Claim | None]:
    worker = yield from _worker(owner)
    place = yield from _next_run(worker, only)
    if place is None:
        yield from _sweep(worker, "runs", lease)
        place = yield from _next_run(worker, only)
    if place is None and only is None and quiet:
        patient = yield from runs.next_patient()
        place = patient and (yield from _next_run(worker, patient))
    return None if place is None else (yield from runs.claim(owner, now, _HELD, place, quiet))


def cancel_run(project: str, response_id: str) -> Steps[bool]:
    """A patient one is due now, so that whoever looks next ends it."""
    asked = yield from runs.cancel(project, response_id)
    if asked:
        job = "(SELECT job FROM runs WHERE project_id = $1 AND id = $2)"
        sql = f"UPDATE {_JOBS} SET scheduled_at = NULL WHERE status = 'todo' AND id = {job}"
        yield Statement(sql, (project, response_id))
    return asked


def _next_run(worker: _Worker, only: Place | None) -> Steps[Place | None]:
    """The run whose job is the worker's now."""
    if only is None:
        return (yield from _fetched(worker))
    job = yield from one(Statement("SELECT job FROM runs WHERE project_id = $1 AND id = $2", only))
    if job is None or not (yield from changed(Statement(_TAKE, (*job, worker.id)))):
        return None
    return only


def _fetched(worker: _Worker) -> Steps[Place | None]:
    sql = """
        SELECT id, CAST(args ->> 'key' AS BIGINT)
        FROM antiphon_queue.procrastinate_fetch_job_v2(CAST(ARRAY['runs'] AS VARCHAR[]), $1)"""
    ((job, key),) = yield Statement(sql, (worker.id,))
    if job is None:
        return None
    sql = "UPDATE runs SET leased_until = 0 WHERE key = $1 AND job = $2 RETURNING project_id, id"
    place = yield from one(Statement(sql, (key, job)))
    if place is None:  # somebody made a job by hand
        yield Statement(f"DELETE FROM {_JOBS} WHERE id = $1", (job,))
    return place and (place[0], place[1])


def renew_runs(owner: str, until: float, ids: Sequence[str]) -> Steps[None]:
    yield from _worker(owner)


def release_runs(owner: str) -> Steps[None]:
    yield from runs.release(owner)
    yield from _unregister(owner)


# ---- work -------------------------------------------------------------------------------------------


def next_work(wanted: Wanted, served: str) -> Steps[int | None]:
    """The key of what is next, or any number when somebody is silent who does some."""
    found = yield from work.next_due(wanted, served)
    if found is None and (yield from _any_stalled("work", wanted.lease)):
        return 0
    return found


def claim_work(wanted: Wanted, served: str, limit: int) -> Steps[list[ClaimedJob]]:
    """Whose turn it is among the projects is ours to say; that it is his, Procrastinate's."""
    worker = yield from _worker(wanted.owner)
    yield from _sweep(worker, "work", wanted.lease)
    claimed: list[ClaimedJob] = []
    meetings = 0
    while len(claimed) < limit and meetings < _MEETINGS:
        key = yield from work.next_due(wanted, served)
        if key is None:
            break
        job = yield from _taken(worker, key, wanted)
        if job is None:
            meetings += 1
            yield Statement(f"{_ADOPT.format('work', 'work', 'failed_at IS NULL')} AND key = $1", (key,))
        else:
            claimed.append(job)
            served = job.project or ""
    return claimed


def _taken(worker: _Worker, key: int, wanted: Wanted) -> Steps[ClaimedJob | None]:
    """None: another process was quicker, or the job is gone."""
    job = yield from one(Statement("SELECT job FROM work WHERE key = $1", (key,)))
    if job is None or not (yield from changed(Statement(_TAKE, (*job, worker.id)))):
        return None
    sql = """
        UPDATE work SET owner = $2, leased_until = $3, attempts = attempts + 1, fence = fence + 1
        WHERE key = $1 RETURNING key, kind, project_id, payload, attempts, fence"""
    row = yield from one(Statement(sql, (key, wanted.owner, wanted.now + _HELD)))
    return None if row is None else ClaimedJob(*row)


def renew_work(job: ClaimedJob, until: float) -> Steps[bool]:
    sql = "SELECT owner FROM work WHERE key = $1 AND fence = $2 AND failed_at IS NULL"
    found = yield from one(Statement(sql, (job.key, job.fence)))
    if found is None:
        return False
    yield from _worker(found[0])
    return True


def release_work(owner: str) -> Steps[None]:
    yield from work.release(owner)
    yield from _unregister(owner)


_OWN: Mapping[Callable[..., Steps[Any]], Any] = {
    runs.accept: accept,
    runs.waits: run_waits,
    runs.claim: claim_run,
    runs.cancel: cancel_run,
    runs.renew: renew_runs,
    runs.release: release_runs,
    work.next_due: next_work,
    work.claim: claim_work,
    work.renew: renew_work,
    work.release: release_work,
}


def own(rule: Callable[[*Ts], Steps[T]]) -> Callable[[*Ts], Steps[T]]:
    """What is carried out here instead of a rule of leases; any other rule as it is."""
    found: Callable[[*Ts], Steps[T]] = _OWN.get(rule, rule)
    return found
