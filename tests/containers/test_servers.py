"""Servers on several machines, with one database: each has sockets of its own, and none reaches another."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.containers.conftest import OpenRoom
from tests.containers.making import P, content, driver_of, made, printed
from tests.store.contract.homes import HOMES, Home

from antiphon.containers.room import Room
from antiphon.sandbox.base import SandboxEnded
from antiphon.store.statements import Statement, Steps

UNTIL_GO = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return HOMES["postgres"](tmp_path)


@pytest.fixture
async def one(open_room: OpenRoom, tmp_path: Path) -> AsyncIterator[Room]:
    async with open_room("one", tmp_path / "s1") as room:
        yield room


@pytest.fixture
async def two(open_room: OpenRoom, tmp_path: Path) -> AsyncIterator[Room]:
    async with open_room("two", tmp_path / "s2") as room:
        yield room


async def test_another_server_goes_on_with_the_files_and_the_first_ends_its_sandbox(
    one: Room, two: Room
) -> None:
    container = await made(one)
    await one.execute(P, container, "open('/mnt/data/a', 'w').write('one')")

    there = await two.execute(P, container, "print(open('/mnt/data/a').read())")
    await two.run(P, container, ["echo two > a; echo more > b"], None, None)
    await one._end_lost()

    assert printed(there) == "one\n"
    assert driver_of(one).living == []
    back = await one.execute(P, container, "print(open('/mnt/data/a').read() + open('/mnt/data/b').read())")
    assert printed(back) == "two\nmore\n\n"


async def test_a_model_that_misses_its_variables_learns_that_python_was_started_anew(
    one: Room, two: Room
) -> None:
    container = await made(one)
    missed = await one.execute(P, container, "x")
    await one.execute(P, container, "x = 1")

    await two.execute(P, container, "y = 1")
    ran = await two.execute(P, container, "print(x)")

    words = "\nPython was started anew since it ran before: variables are gone, files are still there."
    assert ran.execution.error is not None
    assert ran.execution.error.endswith(f"NameError: name 'x' is not defined{words}")
    assert missed.execution.error is not None
    assert missed.execution.error.rstrip().endswith("NameError: name 'x' is not defined")


async def test_nothing_runs_on_two_servers_at_once(one: Room, two: Room) -> None:
    container = await made(one)
    await one.execute(P, container, "pass")
    (sandbox,) = driver_of(one).started
    sandbox.used.clear()
    runs = asyncio.create_task(one.run(P, container, [f"{UNTIL_GO}; echo done > a"], None, None))
    await sandbox.used.wait()

    waits = asyncio.create_task(two.execute(P, container, "print(open('/mnt/data/a').read())"))
    sandbox.put("go")

    assert printed(await waits) == "done\n\n"
    await runs


async def test_what_a_server_runs_that_was_given_up_takes_nobodys_place(one: Room, two: Room) -> None:
    """It did not reach the database for longer than it had claimed the container."""
    container = await made(one)
    await one.execute(P, container, "pass")
    (sandbox,) = driver_of(one).started
    sandbox.used.clear()
    runs = asyncio.create_task(one.run(P, container, [f"{UNTIL_GO}; echo old > a"], None, None))
    await sandbox.used.wait()
    await one.storage.store.write(_away, container)

    await two.execute(P, container, "open('/mnt/data/a', 'w').write('new')")
    sandbox.put("go")

    with pytest.raises(SandboxEnded, match="is used elsewhere"):
        await runs
    (file,) = await two.files(P, container)
    assert await content(two, container, file.id) == b"new"


def _away(container: str) -> Steps[None]:
    yield Statement("UPDATE containers SET home = 'third', home_until = 0 WHERE id = $1", (container,))
