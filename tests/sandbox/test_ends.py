"""However a server or a sandbox ends, no process, folder or group of processes remains."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.sandbox.boxes import left, put, said, shell, until
from tests.sandbox.served_boxes import processes_below

from antiphon.sandbox.base import SandboxEnded, SandboxUnavailable, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap


def runs(home: Path) -> set[str]:
    """The servers that have a folder."""
    return {folder.name for folder in home.glob("run-*")}


def grouped(names: set[str]) -> set[str]:
    """Those of them that have groups of processes. Others begin and end while one looks."""
    found = {name for _, folders, _ in os.walk("/sys/fs/cgroup") for name in folders}
    return {name.removeprefix("antiphon-") for name in found} & names


def alive(processes: list[int]) -> list[int]:
    """Those that have not ended; whether somebody has taken note of it is not asked."""
    found = []
    for pid in processes:
        with suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            found += [pid] if state != "Z" else []
    return found


@contextmanager
def server(home: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """One with a sandbox, and the processes of that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sandbox.served_boxes", str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
async def test_a_server_that_is_killed_takes_its_processes_along_and_the_next_one_removes_the_rest(
    driver: Bubblewrap, home: Path, number: int
) -> None:
    mine = runs(home)
    with server(home) as (process, processes):
        assert len(alive(processes)) >= 4
        its = runs(home) - mine
        assert len(its) == 1
        assert bool(grouped(its)) == bool(grouped(mine))
        process.send_signal(number)
        process.wait()

        async def none_is_left() -> bool:
            return not alive(processes)

        await until(none_is_left)
    assert len(left(home, "left")) == 1

    second = Bubblewrap(home)
    assert await second.check() is None

    assert left(home, "left") == []
    assert not its & runs(home)
    assert grouped(its) == set()
    await second.close()
    assert runs(home) == mine
    assert set(os.listdir(home)) - mine == {".runs"}


async def test_what_a_living_server_has_is_left_alone(driver: Bubblewrap, home: Path) -> None:
    box = await driver.start(Wanted(name="mine"))
    await put(box, "/mnt/data/f", b"kept")
    with server(home) as (_, processes):
        third = Bubblewrap(home)
        assert await third.check() is None
        await third.close()

        assert len(alive(processes)) >= 4
        assert len(left(home, "left")) == 1
    assert await said(box, "cat f") == "kept"


async def test_a_server_that_closes_leaves_nothing(driver: Bubblewrap, home: Path) -> None:
    mine = runs(home)
    others = processes_below(Path("/proc/self"))
    other = Bubblewrap(home)
    assert await other.check() is None
    its = runs(home) - mine
    boxes = [await other.start(Wanted(name=f"n{number}")) for number in range(3)]
    running = [asyncio.create_task(shell(box, "setsid sleep 600 & sleep 600", 600)) for box in boxes]
    await said(boxes[0], "true")
    processes = sorted(processes_below(Path("/proc/self"), but=others))
    await other.close()

    assert all(
        isinstance(each, SandboxEnded) for each in await asyncio.gather(*running, return_exceptions=True)
    )
    assert [box.ended for box in boxes] == ["The server ends."] * 3
    assert runs(home) == mine
    assert grouped(its) == set()
    assert alive(processes) == []


async def test_a_server_that_closes_while_a_sandbox_starts_leaves_nothing(
    driver: Bubblewrap, home: Path
) -> None:
    folders = os.listdir(home)
    for delay in (0.0, 0.005, 0.01, 0.02, 0.04):
        other = Bubblewrap(home)
        assert await other.check() is None
        starting = asyncio.create_task(other.start(Wanted(name="late")))
        await asyncio.sleep(delay)
        await other.close()

        (came_of,) = await asyncio.gather(starting, return_exceptions=True)
        assert isinstance(came_of, SandboxUnavailable) or came_of.ended == "The server ends."
    assert os.listdir(home) == folders


async def test_folders_that_are_deep_or_closed_are_removed(driver: Bubblewrap, home: Path) -> None:
    """Also those which the sandbox ends for."""
    box = await driver.start(Wanted(name="odd"))
    await said(box, "mkdir -p a/b; touch a/b/f; chmod 0 a/b a")
    with pytest.raises(SandboxEnded, match="64 folders"):
        await shell(box, "for i in $(seq 3000); do mkdir d; cd d; done; sleep 60")
    await box.close()

    assert left(home, "odd") == []


async def test_a_sandbox_that_is_killed_from_outside_says_so_and_the_next_one_starts(
    driver: Bubblewrap, home: Path
) -> None:
    before = processes_below(Path("/proc/self"))
    box = await driver.start(Wanted(name="one"))
    processes = sorted(processes_below(Path("/proc/self"), but=before))
    running = asyncio.create_task(shell(box, "sleep 600", 600))
    await said(box, "true")
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(SandboxEnded, match="ended from outside"):
        await running
    await box.close()
    assert left(home, "one") == []
    assert alive(processes) == []
    assert await said(await driver.start(Wanted(name="one")), "echo well") == "well"


async def test_a_sandbox_lives_on_when_the_thread_is_gone_in_which_it_was_wanted(home: Path) -> None:
    """What bubblewrap starts ends with the thread that has started it."""
    driver = Bubblewrap(home)
    if (why := await driver.check()) is not None:
        pytest.skip(why)
    with ThreadPoolExecutor(4) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        box = await driver.start(Wanted(name="one"))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    assert await said(box, "sleep 0.2; echo well") == "well"
    await driver.close()


def test_a_loop_in_another_thread_has_sandboxes_too(home: Path) -> None:
    async def use() -> str:
        driver = Bubblewrap(home)
        if (why := await driver.check()) is not None:
            return f"skip: {why}"
        box = await driver.start(Wanted(name="one"))
        try:
            return await said(box, "sleep 0.2; echo well")
        finally:
            await driver.close()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: asyncio.run(use())).result()
    if found.startswith("skip"):
        pytest.skip(found)
    assert found == "well"
