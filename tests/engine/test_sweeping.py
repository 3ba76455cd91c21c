"""What is done again and again is done by one process at a time, and does not end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.store.contract.homes import HOMES, Home

from antiphon.engine import sweeping
from antiphon.engine.jobs import Jobs
from antiphon.engine.sweeping import Sweeping
from antiphon.store.store import Store


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)


@pytest.fixture
async def stores(home: Home) -> AsyncIterator[list[Store]]:
    """The same, as three processes have it."""
    stores = [await home.open(time.time) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()


class Rounds:
    """Counts them, and fails in each."""

    def __init__(self) -> None:
        self.count = 0
        self.under_way = 0
        self.most = 0
        self._woken = asyncio.Event()

    async def fail(self) -> None:
        raise OSError("the disk is full")

    async def __call__(self) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        self.count += 1
        self._woken.set()

    async def until(self, count: int) -> None:
        while self.count < count:
            self._woken.clear()
            await self._woken.wait()


async def running(stack: AsyncExitStack, store: Store, rounds: Rounds) -> None:
    each = Sweeping(store.work, (rounds.fail, rounds))
    await each.begin()
    await stack.enter_async_context(Jobs(store.work, each.handlers).running())


async def test_several_processes_do_a_round_once(stores: list[Store]) -> None:
    rounds = Rounds()
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for store in stores:
            await running(stack, store, rounds)
        await rounds.until(1)
        while (await stores[0].work.due(["sweep"]) or 0) < time.time() + sweeping.PERIOD_SECONDS / 2:
            await stores[0].work.wait_for_jobs("sweep")
    assert rounds.count == 1


async def test_a_round_follows_the_other_whatever_fails(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PERIOD_SECONDS", 0.0)
    rounds = Rounds()
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for store in stores:
            await running(stack, store, rounds)
        await rounds.until(5)
    assert rounds.most == 1
