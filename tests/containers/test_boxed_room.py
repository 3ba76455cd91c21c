"""The room over real sandboxes: what hostile code leaves in its folder, and what reaches whom."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.containers.making import P, content, inline, made

from antiphon.containers.room import Room
from antiphon.containers.rules import Rules
from antiphon.sandbox.base import SandboxError
from antiphon.sandbox.bubblewrap import Bubblewrap
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.sqlite.database import open_sqlite


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """With bubblewrap, and no Python inside; where it cannot run, its tests are skipped, with its words."""
    driver = Bubblewrap(tmp_path / "sandboxes")
    if (why := await driver.check()) is not None:
        pytest.skip(why)
    store = await open_sqlite(tmp_path / "antiphon.db")
    room = Room(ContainerStorage(store, FolderBlobs(tmp_path / "files")), driver, Rules(disk_mb=64))
    try:
        async with room.running():
            yield room
    finally:
        await store.close()


async def run(room: Room, container: str, command: str) -> str:
    (result,) = await room.run(P, container, [command], None, None)
    return result.stdout + result.stderr


async def fill(room: Room, container: str) -> None:
    for number in range(40):
        await run(room, container, f"head -c 8000000 /dev/zero > big{number}; sleep 0.2")


async def paths(room: Room, container: str) -> list[str]:
    return [file.path for file in await room.files(P, container)]


async def test_files_go_in_and_come_out(room: Room) -> None:
    container = await made(room, skills=[inline()])
    (skill,) = await room.skills(P, container)
    file = await room.add(P, container, "numbers.csv", b"1,2\n")

    out = await run(
        room, container, f"cat '{file.path}' {skill.path}/words/hello.txt; mkdir -p a/b; echo x > a/b/c"
    )

    assert out == "1,2\nHello!"
    assert await paths(room, container) == [file.path, "/mnt/data/a/b/c"]


async def test_what_is_no_file_is_not_taken_for_one(room: Room, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    container = await made(room)

    await run(
        room,
        container,
        f"ln -s /etc/passwd link; ln -s {tmp_path}/secret far; ln -s / root; mkfifo pipe;"
        " echo mine > mine; ln mine same; mkdir deep; ln -s ../mine deep/near; touch $'a\\nb' $'\\xff'",
    )

    assert not {"link", "far", "root", "pipe", "near"} & {
        path.rpartition("/")[2] for path in await paths(room, container)
    }


async def test_a_file_that_becomes_a_link_is_gone_from_the_container(room: Room) -> None:
    container = await made(room)
    await run(room, container, "echo mine > mine")
    assert await paths(room, container) == ["/mnt/data/mine"]

    await run(room, container, "rm mine; ln -s /etc/passwd mine")

    assert await paths(room, container) == []


async def test_a_file_that_is_put_where_code_has_made_a_link_leads_nowhere(
    room: Room, tmp_path: Path
) -> None:
    """A user's file comes back into a folder that the code has turned into a link to the host's."""
    container = await made(room)
    file = await room.add(P, container, "a.txt", b"new")
    target = tmp_path / "target"
    target.write_text("old")
    os.chmod(target, 0o666)
    await run(room, container, f"rm -f '{file.path}'; ln -s {target} '{file.path}'")

    again = await room.add(P, container, "a.txt", b"newer")
    out = await run(room, container, f"cat '{again.path}'")

    assert out == "newer"
    assert target.read_text() == "old"


async def test_a_disk_that_is_filled_little_by_little_does_not_lock_its_container(room: Room) -> None:
    container, other = await made(room), await made(room)
    await run(room, other, "echo theirs > theirs")

    with pytest.raises(SandboxError):
        await fill(room, container)

    assert await run(room, other, "cat theirs") == "theirs\n"
    assert "big0" in await run(room, container, "rm big1; ls")


async def test_containers_do_not_see_each_other(room: Room) -> None:
    one, two = await made(room), await made(room)
    secret = "a-secret-of-the-first"
    running = asyncio.create_task(
        run(room, one, f"echo {secret} > s; : {secret}; until [ -e go ]; do sleep 0.05; done")
    )
    out = await run(
        room, two, "ls -a; cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '; find / -name s 2>/dev/null"
    )

    assert secret not in out
    await room.add(P, one, "go", b"")
    assert await paths(room, two) == []
    running.cancel()
    await asyncio.wait({running})


async def test_a_large_file_is_read_back_whole(room: Room) -> None:
    container = await made(room)

    await run(room, container, "seq 1 1000000 > numbers")

    (file,) = await room.files(P, container)
    data = await content(room, container, file.id)
    assert data == "".join(f"{number}\n" for number in range(1, 1_000_001)).encode()
