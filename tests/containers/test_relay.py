"""Server processes that find each other: a container goes on where its sandbox lives."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.containers.conftest import OpenRoom
from tests.containers.making import P, content, driver_of, made, printed

from antiphon.containers.room import Room
from antiphon.sandbox.base import SandboxEnded
from antiphon.store.statements import Statement, Steps
from antiphon.tools.containers import ContainerError, ContainerExpired, NoSuchContainer

UNTIL_GO = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture
def sockets(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
async def one(open_room: OpenRoom, sockets: Path) -> AsyncIterator[Room]:
    async with open_room("one", sockets) as room:
        yield room


@pytest.fixture
async def two(open_room: OpenRoom, sockets: Path) -> AsyncIterator[Room]:
    async with open_room("two", sockets) as room:
        yield room


async def test_the_state_of_python_goes_on_whichever_process_is_asked(one: Room, two: Room) -> None:
    container = await made(one)
    await one.execute(P, container, "x = 1")

    await two.execute(P, container, "x += 1")

    assert printed(await one.execute(P, container, "print(x)")) == "2\n"
    assert (len(driver_of(one).started), driver_of(two).started) == (1, [])


async def test_all_that_comes_of_a_call_comes_to_who_asked(one: Room, two: Room) -> None:
    container = await made(one)
    await one.execute(P, container, "pass")

    ran = await two.execute(
        P, container, "print('said'); open('/mnt/data/a', 'w').write('a'); show(b'picture'); 1 / 0"
    )
    results = await two.run(P, container, ["cat a", "cat b >&2; exit 3"], None, None)

    (logs, picture) = ran.execution.outputs
    assert (logs.text, picture.data) == ("said\n", b"picture")  # type: ignore[union-attr]
    assert ran.execution.error is not None
    assert "ZeroDivisionError" in ran.execution.error
    assert [file.path for file in ran.files] == ["/mnt/data/a"]
    assert await content(two, container, ran.pictures[0].id) == b"picture"
    assert [(each.stdout, each.exit_code) for each in results] == [("a", 0), ("", 3)]
    assert "b" in results[1].stderr


async def test_what_goes_wrong_there_is_raised_here(one: Room, two: Room) -> None:
    container = await made(one)
    await one.execute(P, container, "pass")

    with pytest.raises(SandboxEnded):
        await two.execute(P, container, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert printed(await two.execute(P, container, "print(1)")) == "1\n"
    assert driver_of(two).started == []
    with pytest.raises(NoSuchContainer):
        await two.execute("other", container, "1")

    await one.storage.store.write(_age, container)
    with pytest.raises(ContainerExpired, match=r"^Container is expired\.$"):
        await two.execute(P, container, "1")


async def test_who_waits_too_long_for_a_place_there_is_told_so(open_room: OpenRoom, sockets: Path) -> None:
    async with (
        open_room("one", sockets, sandboxes=1, queue_seconds=1) as one,
        open_room("two", sockets) as two,
    ):
        container, other = await made(one), await made(one)
        for each in (other, container):
            await one.execute(P, each, "pass")
        sandbox = driver_of(one).started[-1]
        sandbox.used.clear()
        busy = asyncio.create_task(one.run(P, container, [UNTIL_GO], None, None))
        await sandbox.used.wait()

        with pytest.raises(ContainerError, match="All containers that may run at once are busy"):
            await two.execute(P, other, "1")
        sandbox.put("go")
        await busy


async def test_a_process_that_stopped_leaves_its_containers_to_others(
    open_room: OpenRoom, two: Room, sockets: Path
) -> None:
    async with open_room("one", sockets) as one:
        container = await made(one)
        await one.execute(P, container, "open('/mnt/data/a', 'w').write('kept'); x = 1")

    ran = await two.execute(P, container, "print(open('/mnt/data/a').read(), 'x' in globals())")

    assert printed(ran) == "kept False\n"
    assert listed(sockets) == {two._claims.home}


async def test_a_process_that_stops_while_it_runs_something_for_another_ends_that(
    open_room: OpenRoom, two: Room, sockets: Path
) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with open_room("one", sockets) as one:
        container = await made(one)
        await one.execute(P, container, "open('/mnt/data/a', 'w').write('kept')")
        (sandbox,) = driver_of(one).started
        sandbox.used.clear()
        call = asyncio.create_task(two.execute(P, container, "import time; time.sleep(60)"))
        await sandbox.used.wait()

    with pytest.raises(SandboxEnded):
        await call
    assert printed(await two.execute(P, container, "print(open('/mnt/data/a').read())")) == "kept\n"
    assert faults == []


async def test_a_process_that_was_killed_leaves_its_containers_to_others(
    open_room: OpenRoom, two: Room, sockets: Path
) -> None:
    """What it leaves is a socket on which nobody listens."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(sockets / "dead"))
    container = await made(two)
    await two.storage.store.write(_of_the_dead, container)

    assert printed(await two.execute(P, container, "print(1)")) == "1\n"
    async with open_room("three", sockets) as three:
        assert listed(sockets) == {two._claims.home, three._claims.home}


async def test_who_goes_away_ends_what_runs_for_him_there(one: Room, two: Room) -> None:
    container = await made(one)
    await one.execute(P, container, "pass")
    (sandbox,) = driver_of(one).started
    sandbox.used.clear()
    call = asyncio.create_task(two.run(P, container, [UNTIL_GO], None, None))
    await sandbox.used.wait()

    call.cancel()
    await asyncio.wait({call})
    (result,) = await two.run(P, container, ["touch go"], None, None)

    assert result.exit_code == 0
    assert not one._claims._used


async def test_what_is_no_call_harms_nobody(one: Room, two: Room, sockets: Path) -> None:
    for said in (b"", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2{}"):
        reader, writer = await asyncio.open_unix_connection(sockets / one._claims.home)
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    container = await made(one)
    await one.execute(P, container, "x = 1")
    assert printed(await two.execute(P, container, "print(x)")) == "1\n"


async def test_only_their_user_reaches_the_sockets(one: Room, sockets: Path) -> None:
    assert os.stat(sockets).st_mode & 0o077 == 0


def listed(sockets: Path) -> set[str]:
    """The processes that have a socket."""
    return {path.name for path in sockets.iterdir()}


def _age(container: str) -> Steps[None]:
    yield Statement(
        "UPDATE containers SET last_active_at = last_active_at - 1201 WHERE id = $1", (container,)
    )


def _of_the_dead(container: str) -> Steps[None]:
    yield Statement("UPDATE containers SET home = 'dead' WHERE id = $1", (container,))
