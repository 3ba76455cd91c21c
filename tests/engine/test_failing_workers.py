"""Work whose worker fails, or of which nobody was told that it is his, is done all the same by a process that
lives."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.contract.homes import HOMES
from tests.store.contract.kit import turn

from antiphon.engine import queue
from antiphon.engine.background.run_queue import RunQueue
from antiphon.engine.queue import Pool
from antiphon.store.run_log import Claim
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store


@pytest.fixture(params=HOMES)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    monkeypatch.setattr(queue, "LEASE", 1.5)
    monkeypatch.setattr(queue, "RENEWAL", 0.1)
    monkeypatch.setattr(queue, "WATCH", 0.05)
    store = await HOMES[request.param](tmp_path).open(time.time)
    yield store
    await store.close()


class Workers:
    """Starts them. The first one of each run fails; what is done twice is done, and `steady` never is."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done = asyncio.Event()

    def __call__(self, claim: Claim) -> "OneWorker":
        self.begun.append(claim.id)
        return OneWorker(self, claim.id, self.begun.count(claim.id))


class OneWorker:
    def __init__(self, workers: Workers, name: str, time: int) -> None:
        self.name = name
        self._workers = workers
        self._time = time

    async def alone(self) -> bool:
        return False

    async def work(self) -> None:
        if self.name == "steady":
            await asyncio.Event().wait()
        if self._time == 1:
            raise OSError("what it needs is away")
        self._workers.done.set()
        await asyncio.Event().wait()

    def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()

    def release(self, task: asyncio.Task[None]) -> None:
        task.cancel()


async def accept(store: Store, name: str, owner: str | None = None) -> None:
    run = AcceptedRun(response=turn(name), request=b"{}", events=[], streamed=False)
    await store.runs.accept("p", run, 100, owner, 60.0)


@pytest.fixture(params=[["steady"], []], ids=["beside another", "alone"])
async def others(request: pytest.FixtureRequest, store: Store) -> list[str]:
    """Runs that go on."""
    for name in request.param:
        await accept(store, name)
    return list(request.param)


async def test_a_run_whose_worker_failed_is_begun_again(store: Store, others: list[str]) -> None:
    workers = Workers()
    pool = Pool(RunQueue(store.runs, "me", lambda: False), workers, 4)
    await accept(store, "faulty")
    async with pool.running():
        await asyncio.wait_for(workers.done.wait(), 60)
    assert sorted(set(workers.begun)) == ["faulty", *others]
    assert workers.begun.count("steady") == len(others)


@pytest.mark.usefixtures("others")
async def test_a_run_that_is_ours_and_of_which_we_never_heard_is_begun(store: Store) -> None:
    workers = Workers()
    workers.begun.append("unheard")
    pool = Pool(RunQueue(store.runs, "me", lambda: False), workers, 4)
    await accept(store, "unheard", "me")
    async with pool.running():
        await asyncio.wait_for(workers.done.wait(), 60)
    assert workers.begun.count("unheard") == 2
