"""Code inside that takes all it can get: only its own sandbox ends, or not even that."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.sandbox.boxes import names, put, said, shell, until

from antiphon.sandbox.arguments import python
from antiphon.sandbox.base import CommandResult, Limits, Sandbox, SandboxEnded, Wanted
from antiphon.sandbox.bubblewrap import Bubblewrap

pytestmark = pytest.mark.attack

MIB = 1 << 20
LIMITS = Limits(memory_bytes=200 * MIB, disk_bytes=40 * MIB, processes=50)


@pytest.fixture
async def victim(driver: Bubblewrap) -> Sandbox:
    return await driver.start(Wanted(name="victim", limits=LIMITS))


@pytest.fixture
async def neighbour(box: Sandbox) -> AsyncIterator[Sandbox]:
    """One that goes on answering."""

    async def ask() -> None:
        while True:
            began = time.monotonic()
            assert await said(box, "echo well") == "well"
            assert time.monotonic() - began < 30
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    yield box
    assert not asking.done()
    asking.cancel()
    await asyncio.wait({asking})


async def until_ended(box: Sandbox, words: str) -> None:
    async def has_ended() -> bool:
        return box.ended is not None

    await until(has_ended)
    assert words in (box.ended or "")
    with pytest.raises(SandboxEnded, match=words):
        await shell(box, "true")


@pytest.mark.parametrize(
    "bomb",
    [
        ":(){ :|:& };:; sleep 60",
        "f(){ (setsid bash -c 'f(){ f & f & }; f' &) ; f & }; f; sleep 60",
        "python3 -c 'import os\nwhile True:\n try: os.fork()\n except OSError: pass'",
        # Whoever is seen has ended already: each process starts the next one and goes.
        "python3 -c 'import os\nwhile True:\n if os.fork(): os._exit(0)\n os.setsid()'; sleep 60",
    ],
)
async def test_who_forks_without_end_is_stopped_with_all_that_came_of_it(
    victim: Sandbox, neighbour: Sandbox, bomb: str
) -> None:
    result = await shell(victim, bomb, seconds=0.7)

    assert result.exit_code is None
    assert int(await said(victim, "ls -d /proc/[0-9]* | wc -l")) < 8


async def test_no_more_processes_run_than_may(victim: Sandbox) -> None:
    count = """python3 -c '
import os, time
for number in range(1000):
    try:
        if not os.fork():
            time.sleep(60)
    except OSError:
        print(number)
        break'"""

    assert 20 < int(await said(victim, count)) < LIMITS.processes
    assert await said(victim, "echo well") == "well"


async def test_one_object_that_is_too_large_is_refused(victim: Sandbox, neighbour: Sandbox) -> None:
    result = await shell(victim, "python3 -c 'bytearray(6 << 30)'")

    assert "MemoryError" in result.stderr
    assert await said(victim, "echo well") == "well"


GROW = f"{python()} -c 'import time; held = bytearray(b\"x\" * (90 << 20)); time.sleep(60)'"


async def test_many_processes_that_are_too_large_together_end_and_it_is_said_why(
    victim: Sandbox, neighbour: Sandbox
) -> None:
    """Where the kernel bounds them together it ends those that are too much; else the sandbox ends."""
    many = f"for i in $(seq 6); do {GROW} & done; wait -n; exit $?"
    (result,) = await asyncio.gather(shell(victim, many, seconds=60), return_exceptions=True)

    if isinstance(result, CommandResult):
        assert result.exit_code == 137
        assert "needed more than 200 MiB of memory" in result.stderr
        assert await said(victim, "echo well") == "well"
    else:
        assert "more than 200 MiB of memory" in str(result)
        await until_ended(victim, "memory")


async def test_memory_that_is_files_counts_as_well(victim: Sandbox) -> None:
    fill = "head -c 19000000 /dev/zero > /tmp/a; head -c 19000000 /dev/zero > /dev/shm/b; sleep 0.2"
    assert (await shell(victim, fill)).exit_code == 0
    assert "No space left" in (await shell(victim, "head -c 30000000 /dev/zero > /tmp/b")).stderr


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ("for i in 1 2 3 4 5 6; do head -c 10000000 /dev/zero > f$i; done; sleep 60", "40 MiB"),
        ("for i in 1 2 3; do head -c 15000000 /dev/zero > d$i; done; chmod 0 d*; sleep 60", "40 MiB"),
        (
            "mkdir d; cd d; for i in 1 2 3; do head -c 15000000 /dev/zero > f$i; done; chmod 0 .; sleep 60",
            "40 MiB",
        ),
        ("for i in 1 2 3 4 5 6; do truncate -s 30M f$i; done; sleep 60", "40 MiB"),
        ("head -c 19000000 /dev/zero > /tmp/x; cp /tmp/x ~/x; cp /tmp/x f; sleep 60", "40 MiB"),
        (
            "for i in 1 2 3 4; do head -c 15000000 /dev/zero > f; exec {fd}<f; rm f; done; sleep 60",
            "40 MiB",
        ),
        (
            f"""{python()} -c '
import mmap, os, time
held = []
for number in range(4):
    with open("f", "w+b") as file:
        file.truncate(15 << 20)
        held.append(mmap.mmap(file.fileno(), 0))
    os.unlink("f")
    held[-1][:] = b"x" * (15 << 20)
time.sleep(60)'""",
            "40 MiB",
        ),
        ("for i in $(seq 100); do mkdir d; cd d; done; sleep 60", "64 folders within each other"),
    ],
)
async def test_who_fills_the_disk_ends(victim: Sandbox, neighbour: Sandbox, fill: str, words: str) -> None:
    with pytest.raises(SandboxEnded, match=words):
        await shell(victim, fill)
    await until_ended(victim, words)


async def test_who_makes_files_without_end_ends_too(driver: Bubblewrap) -> None:
    box = await driver.start(Wanted(name="files", limits=Limits(disk_bytes=MIB)))
    with pytest.raises(SandboxEnded, match="1 MiB"):
        await shell(box, f"""{python()} -c 'for n in range(3000): open(str(n), "w").close()'; sleep 60""")
    await until_ended(box, "1 MiB")


async def test_one_file_that_is_too_large_is_cut(victim: Sandbox) -> None:
    result = await shell(victim, "head -c 60000000 /dev/zero > f; stat -c %s f")

    assert "File size limit exceeded" in result.stderr
    assert result.stdout == f"{40 * MIB * 15 // 16}\n"


async def test_there_is_no_room_for_a_put_beyond_the_limit(victim: Sandbox) -> None:
    await put(victim, "/mnt/data/first", b"x" * (30 * MIB))
    with pytest.raises(Exception, match="no room for /mnt/data/second: the files may come to 40 MiB"):
        await put(victim, "/mnt/data/second", b"x" * (11 * MIB))

    assert victim.ended is None
    assert await names(victim) == ["/mnt/data/first"]


async def test_output_without_end_costs_the_server_nothing(victim: Sandbox, neighbour: Sandbox) -> None:
    (result,) = await victim.run(["yes & yes >&2"], 1.0, 5000)

    assert result.exit_code is None
    assert (len(result.stdout), len(result.stderr)) == (5000, 5000)
    assert await said(victim, "echo well") == "well"


async def test_a_flood_of_signals_changes_nothing(victim: Sandbox) -> None:
    flood = (
        "for i in $(seq 300); do kill -CHLD 1; kill -USR1 1; kill -PIPE 1; kill -HUP 1; kill -ALRM 1; done"
    )
    await shell(victim, f"{flood}; kill -TERM $PPID; kill -KILL 1; kill -SEGV 1")

    assert await said(victim, "echo well") == "well"


async def test_who_ends_all_processes_inside_gets_a_new_start(victim: Sandbox, neighbour: Sandbox) -> None:
    result = await shell(victim, "kill -9 -1")

    assert result.exit_code == 137
    assert "ended all processes" in result.stderr
    assert await said(victim, "echo well") == "well"


async def test_a_command_that_ends_its_supervisor_leaves_nothing_behind(victim: Sandbox) -> None:
    result = await shell(victim, "setsid sleep 600 & (setsid sleep 600 &); kill -9 $PPID; sleep 60")

    assert result.exit_code == 137
    assert await said(victim, "pgrep -c sleep || true") == "0"


async def test_the_loop_goes_on_while_thousands_of_files_are_listed_and_removed(
    driver: Bubblewrap,
) -> None:
    box = await driver.start(Wanted(name="many"))
    await said(box, f"""{python()} -c 'for n in range(12000): open(str(n), "w").close()'""")
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()  # what the loop itself does, however busy the machine is
            await asyncio.sleep(0.005)
            longest = max(longest, time.thread_time() - began)

    ticking = asyncio.create_task(tick())
    listed = await box.files()
    await box.close()
    ticking.cancel()

    assert len(listed) == 10_000
    assert longest < 0.5


async def test_twenty_neighbours_go_on_answering_whatever_goes_off(driver: Bubblewrap) -> None:
    neighbours = [await driver.start(Wanted(name=f"n{number}")) for number in range(20)]
    bombs = [
        ":(){ :|:& };:; sleep 60",
        f"for i in $(seq 6); do {GROW} & done; sleep 60",
        "for i in 1 2 3 4 5 6; do head -c 10000000 /dev/zero > f$i; done; sleep 60",
        "yes & yes >&2",
        "while :; do :; done & while :; do :; done",
    ]
    victims = [await driver.start(Wanted(name=f"v{each}", limits=LIMITS)) for each in range(len(bombs))]
    going_off = [asyncio.create_task(shell(box, bomb, 2.0)) for box, bomb in zip(victims, bombs, strict=True)]

    for _ in range(5):
        began = time.monotonic()
        assert await asyncio.gather(*(said(box, "echo well") for box in neighbours)) == ["well"] * 20
        assert time.monotonic() - began < 30
    await asyncio.gather(*going_off, return_exceptions=True)
    await asyncio.gather(*(box.close() for box in [*neighbours, *victims]))
