"""Sandboxes that are kept ready."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest
from tests.kept_python import kept_python
from tests.sandbox.boxes import left, said, until

from antiphon.sandbox.base import Driver, Limits, Sandbox, SandboxError, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap
from antiphon.sandbox.warm import Warm

_PYTHON = "ls /run/antiphon | grep -- '^k.*-5$' || true"


@pytest.fixture(scope="session")
def python() -> Path:
    return kept_python().folder


@pytest.fixture
async def inner(python: Path, home: Path) -> AsyncIterator[Bubblewrap]:
    driver = Bubblewrap(home, lambda: python)
    if (why := await driver.check()) is not None:
        pytest.skip(why)
    yield driver
    await driver.close()


async def has_python(sandbox: Sandbox) -> bool:
    """Whether it runs already."""
    return await said(sandbox, _PYTHON) != ""


async def settled(warm: Warm) -> None:
    """Wait until one is ready."""

    async def look() -> bool:
        return len(warm.ready) == 1

    await until(look)


async def until_kept(home: Path) -> None:
    """Wait until one has Python."""

    async def look() -> bool:
        return left(home, "*/sockets/k*-5") != []

    await until(look)


async def test_nothing_is_kept_before_one_was_wanted(inner: Bubblewrap, home: Path) -> None:
    warm = Warm(inner, 1)

    assert await warm.check() is None

    assert left(home, "*/sockets") == []


async def test_the_second_one_has_its_python_already(inner: Bubblewrap) -> None:
    warm = Warm(inner, 1)
    first = await warm.start(Wanted(name="first"))
    assert not await has_python(first)
    await settled(warm)

    second = await warm.start(Wanted(name="second"))

    assert await has_python(second)
    assert "Cell In[1]" in str((await second.execute("1 / 0", 20)).error)


async def test_one_that_died_meanwhile_is_not_handed_out(inner: Bubblewrap) -> None:
    warm = Warm(inner, 1)
    await warm.start(Wanted(name="first"))
    await settled(warm)
    await warm.ready[0].close()

    second = await warm.start(Wanted(name="second"))

    assert second.ended is None
    assert await said(second, "echo alive") == "alive"


async def test_other_limits_are_another_kind(inner: Bubblewrap) -> None:
    warm = Warm(inner, 1)
    await warm.start(Wanted(name="first"))
    await settled(warm)

    large = await warm.start(Wanted(name="large", limits=Limits(processes=64)))

    assert not await has_python(large)


async def test_one_with_hosts_is_always_new(inner: Bubblewrap) -> None:
    warm = Warm(inner, 1)
    await warm.start(Wanted(name="first"))
    await settled(warm)

    wide = await warm.start(Wanted(name="wide", domains=["a.example"]))

    assert not await has_python(wide)
    assert "127.0.0.1" in await said(wide, "echo $HTTPS_PROXY")


async def test_it_is_given_up_when_none_is_wanted_any_more(inner: Bubblewrap, home: Path) -> None:
    """Though it takes longer to start than it may wait."""
    warm = Warm(inner, 1, idle_seconds=0.01)
    first = await warm.start(Wanted(name="first"))
    await until_kept(home)

    async def gone() -> bool:
        return left(home, "*/sockets/k*-5") == []

    await until(gone)
    assert first.ended is None


class Failing(Driver):
    """A driver that starts two, and then fails."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault
        self.started: list[Mock] = []

    async def check(self) -> str | None:
        return None

    async def start(self, wanted: Wanted) -> Sandbox:
        if len(self.started) == 2:
            raise self._fault
        self.started.append(create_autospec(Sandbox, instance=True))
        return self.started[-1]

    async def close(self) -> None: ...


@pytest.mark.parametrize("fault", [SandboxError("full"), OSError("no more files"), KeyError("a bug")])
async def test_those_that_are_ready_are_given_up_however_the_filling_failed(fault: Exception) -> None:
    driver = Failing(fault)
    warm = Warm(driver, 2, idle_seconds=0.01)
    await warm.start(Wanted(name="first"))

    async def given_up() -> bool:
        return len(driver.started) == 2 and driver.started[1].close.called

    await until(given_up)
    assert not driver.started[0].close.called
    await warm.close()


async def test_closing_ends_what_is_kept_and_what_is_being_started(inner: Bubblewrap, home: Path) -> None:
    warm = Warm(inner, 2)
    await warm.start(Wanted(name="first"))
    await asyncio.sleep(0)

    await warm.close()

    assert left(home, "*/sockets") == []
