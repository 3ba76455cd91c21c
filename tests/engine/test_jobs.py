"""Jobs are done: once if nothing goes wrong, again if something does, and by another process if one stops."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from tests.store.contract.homes import HOMES, Home

from antiphon.engine.jobs import JobQueue, Jobs, JobWorker, name_of
from antiphon.engine.queue import Pool
from antiphon.store import work
from antiphon.store.store import Store
from antiphon.store.work import ClaimedJob, Job


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)


@pytest.fixture
async def store(home: Home) -> AsyncIterator[Store]:
    store = await home.open(time.time)
    yield store
    await store.close()


class Handler:
    """Notes what it is asked to do, and fails so many times before it does it."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[bytes] = []
        self.done = asyncio.Event()
        self._failures = failures

    async def __call__(self, job: ClaimedJob) -> None:
        self.asked.append(job.payload)
        if len(self.asked) <= self._failures:
            raise ValueError("not yet")
        self.done.set()


async def nothing_left(store: Store) -> None:
    async with asyncio.timeout(60):
        while await store.work.due(["index"]) is not None:
            await store.work.wait_for_jobs("index")


async def test_a_job_is_done_once_by_one_of_several_processes(store: Store) -> None:
    handler = Handler()
    one, other = (Jobs(store.work, {"index": handler}) for _ in range(2))
    await store.work.enqueue([Job(kind="index", payload=b"%d" % number) for number in range(9)])
    async with one.running(), other.running():
        await nothing_left(store)
    assert sorted(handler.asked) == [b"%d" % number for number in range(9)]


async def test_jobs_of_other_kinds_are_left_alone(store: Store) -> None:
    handler = Handler()
    await store.work.enqueue([Job(kind="other", payload=b"x"), Job(kind="index", payload=b"y")])
    async with Jobs(store.work, {"index": handler}).running():
        await nothing_left(store)
    assert handler.asked == [b"y"]
    assert await store.work.due(["other"]) is not None


async def test_a_job_that_fails_is_tried_again(store: Store) -> None:
    handler = Handler(failures=2)
    jobs = Jobs(store.work, {"index": handler}, pauses=(0.0, 0.0))
    await store.work.enqueue([Job(kind="index", payload=b"x")])
    async with jobs.running():
        await nothing_left(store)
    assert handler.asked == [b"x"] * 3
    assert await store.work.failed(9) == []


async def test_it_is_given_up_in_the_end_and_kept_for_people_to_see(store: Store) -> None:
    handler = Handler(failures=9)
    jobs = Jobs(store.work, {"index": handler}, pauses=(0.0,))
    await store.work.enqueue([Job(kind="index", payload=b"x")])
    async with jobs.running():
        await nothing_left(store)
    assert handler.asked == [b"x"] * 2
    (failed,) = await store.work.failed(9)
    assert (failed.attempts, failed.error) == (2, "ValueError: not yet")


async def test_what_is_under_way_when_a_process_stops_is_done_by_another_one(store: Store) -> None:
    begun = asyncio.Event()

    async def hang(job: ClaimedJob) -> None:
        begun.set()
        await asyncio.Event().wait()

    await store.work.enqueue([Job(kind="index", payload=b"x")])
    async with asyncio.timeout(60), Jobs(store.work, {"index": hang}).running():
        await begun.wait()
    handler = Handler()
    async with asyncio.timeout(60), Jobs(store.work, {"index": handler}).running():
        await handler.done.wait()
        await nothing_left(store)
    assert handler.asked == [b"x"]


async def test_a_job_waits_for_its_time(store: Store) -> None:
    handler = Handler()
    later = Job(kind="index", payload=b"later", run_at=2e9)
    await store.work.enqueue([later, Job(kind="index", payload=b"now")])
    async with asyncio.timeout(60), Jobs(store.work, {"index": handler}).running():
        await handler.done.wait()
    assert handler.asked == [b"now"]
    assert await store.work.due(["index"]) == 2e9


class Slow(JobQueue):
    """Says what is ours only when something new has been claimed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.work, ["index"], of_project=2)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def owned(self) -> Mapping[str, bool]:
        found = await super().owned()
        self.asked.set()
        await self.may_answer.wait()
        return found


async def test_a_project_whose_jobs_take_long_leaves_room_for_another_one(store: Store) -> None:
    gate, done = asyncio.Event(), asyncio.Event()
    under_way: list[str | None] = []

    async def handle(job: ClaimedJob) -> None:
        under_way.append(job.project)
        if job.project == "small":
            done.set()
        else:
            await gate.wait()

    jobs = Jobs(store.work, {"index": handle}, at_once=4)
    async with asyncio.timeout(60), jobs.running():
        await store.work.enqueue([Job(kind="index", payload=b"", project="large") for _ in range(20)])
        await store.work.enqueue([Job(kind="index", payload=b"", project="small")])
        jobs.wake()
        await done.wait()
        assert under_way.count("large") <= 3
        gate.set()
        await nothing_left(store)
    assert under_way.count("large") == 20


async def test_what_is_claimed_while_the_store_is_asked_what_is_ours_is_not_given_up(store: Store) -> None:
    gates = {b"first": asyncio.Event(), b"second": asyncio.Event()}
    begun: dict[bytes, asyncio.Event] = {name: asyncio.Event() for name in gates}
    asked: list[bytes] = []

    async def handle(job: ClaimedJob) -> None:
        asked.append(job.payload)
        begun[job.payload].set()
        await gates[job.payload].wait()

    queue = Slow(store)
    pool = Pool(queue, lambda job: JobWorker(queue, job, handle, ()), 2)
    async with asyncio.timeout(60), pool.running():
        await store.work.enqueue([Job(kind="index", payload=b"first")])
        await begun[b"first"].wait()
        await queue.asked.wait()
        await store.work.enqueue([Job(kind="index", payload=b"second")])
        await begun[b"second"].wait()
        queue.may_answer.set()
        queue.asked.clear()
        await queue.asked.wait()  # it has looked once more
        for gate in gates.values():
            gate.set()
        await nothing_left(store)
    assert asked == [b"first", b"second"]


async def test_the_end_of_a_job_that_was_withdrawn_is_not_that_of_the_next(store: Store) -> None:
    queue = JobQueue(store.work, ["index"], of_project=2)
    claimed = []
    for name in ("1", "2"):
        await store.work.enqueue([Job(kind="index", payload=b"", name=name)])
        claimed.append(await queue.claim(60))
        await store.write(work.withdraw, "index", ["1"])
    gone, mine = (name_of(job) for job in claimed if job is not None)

    await queue.finish(gone, ())
    assert set(await queue.owned()) == {mine}
    await queue.finish(mine, ())
    assert await store.work.due(["index"]) is None
