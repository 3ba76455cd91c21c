"""Containers at work: what runs in them, what of it is kept, and what becomes of their sandboxes."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.containers.conftest import OpenRoom
from tests.containers.making import P, content, driver_of, filed, inline, made, printed
from tests.containers.plain_driver import PlainDriver
from tests.small_disk import mounted
from tests.store.contract.blob_homes import BlobHome

from antiphon.containers.room import Room
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.tools import SkillReference
from antiphon.sandbox.base import SandboxEnded, SandboxError
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.statements import Statement, Steps
from antiphon.tools.containers import (
    ContainerError,
    ContainerExpired,
    NewContainer,
    NoSuchContainer,
)

UNTIL_GO = "until [ -e go ]; do sleep 0.05; done"
"""A command that runs until a file is there."""


async def test_a_sandbox_starts_with_the_first_execution_and_keeps_its_state(room: Room) -> None:
    container = await made(room)
    assert driver_of(room).started == []

    await room.execute(P, container, "x = 20")
    ran = await room.execute(P, container, "print(x + 1)")

    assert printed(ran) == "21\n"
    assert len(driver_of(room).started) == 1


async def test_calls_at_the_same_time_share_one_sandbox(room: Room) -> None:
    container = await made(room)

    ran = await asyncio.gather(*(room.execute(P, container, f"print({n})") for n in range(5)))

    assert [printed(each) for each in ran] == [f"{n}\n" for n in range(5)]
    assert len(driver_of(room).started) == 1


async def test_what_code_makes_changes_and_deletes_becomes_of_the_container(room: Room) -> None:
    container = await made(room)

    first = await room.execute(P, container, "open('/mnt/data/a.txt', 'w').write('one')")
    same = await room.execute(P, container, "open('/mnt/data/a.txt', 'w').write('one')")
    second = await room.execute(
        P, container, "open('/mnt/data/a.txt', 'w').write('two!'); open('/mnt/data/b.txt', 'w').write('b')"
    )

    assert [(file.path, file.size) for file in first.files] == [("/mnt/data/a.txt", 3)]
    assert same.files == []
    assert [file.path for file in second.files] == ["/mnt/data/a.txt", "/mnt/data/b.txt"]
    assert second.files[0].id == first.files[0].id
    assert await content(room, container, first.files[0].id) == b"two!"

    await room.execute(P, container, "import os; os.remove('/mnt/data/a.txt')")

    assert [file.path for file in await room.files(P, container)] == ["/mnt/data/b.txt"]


async def test_what_a_command_makes_is_kept_too(room: Room) -> None:
    container = await made(room)

    (result,) = await room.run(P, container, ["echo hello | tee greeting.txt"], None, None)

    assert (result.stdout, result.exit_code) == ("hello\n", 0)
    (file,) = await room.files(P, container)
    assert (file.path, await content(room, container, file.id)) == ("/mnt/data/greeting.txt", b"hello\n")


async def test_a_picture_that_is_displayed_is_a_file_with_its_id_as_its_name(room: Room) -> None:
    container = await made(room)

    ran = await room.execute(P, container, "show(b'one'); show(b'two')")
    await room.execute(P, container, "pass")

    assert [picture.path for picture in ran.pictures] == [
        f"/mnt/data/{picture.id}.png" for picture in ran.pictures
    ]
    assert [await content(room, container, picture.id) for picture in ran.pictures] == [b"one", b"two"]
    assert ran.files == []


async def test_a_sandbox_that_ended_is_started_again_from_its_files(room: Room) -> None:
    container = await made(room)
    await room.execute(P, container, "open('/mnt/data/a.txt', 'w').write('kept'); show(b'x'); x = 1")

    with pytest.raises(SandboxEnded):
        await room.execute(P, container, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    ran = await room.execute(P, container, "print(open('/mnt/data/a.txt').read(), 'x' in globals())")

    assert printed(ran) == "kept False\n"
    assert len(driver_of(room).living) == 1
    assert len(await room.files(P, container)) == 2


async def test_a_sandbox_that_is_found_gone_before_anything_ran_is_not_missed(room: Room) -> None:
    container = await made(room)
    await room.execute(P, container, "open('/mnt/data/a.txt', 'w').write('kept')")
    driver_of(room).started[0].vanish()
    file = await room.add(P, container, "b.txt", b"new")

    ran = await room.execute(
        P, container, f"print(open('/mnt/data/a.txt').read(), open('{file.path}').read())"
    )

    assert printed(ran) == "kept new\n"


async def test_files_that_come_and_go_meanwhile_do_so_in_the_sandbox(room: Room, tmp_path: Path) -> None:
    file_id = await filed(room, tmp_path, b"1,2\n")
    container = await made(room, file_ids=[file_id])
    looks = "import os; print(sorted(os.listdir('/mnt/data')))"
    assert printed(await room.execute(P, container, looks)) == f"['{file_id}-a.csv']\n"

    added = await room.add(P, container, "notes.txt", b"hello")
    again = await room.add(P, container, "notes.txt", b"hello")
    name = added.path.rpartition("/")[2]
    ran = await room.execute(P, container, f"print(open('{added.path}').read())")
    assert again == added
    assert printed(ran) == "hello\n"
    assert ran.files == []

    assert await room.storage.remove(P, container, added.id)
    assert name not in printed(await room.execute(P, container, looks))


async def test_skills_are_in_the_sandbox_each_in_a_folder_of_its_own(room: Room) -> None:
    container = await made(room, skills=[inline()])
    (skill,) = await room.skills(P, container)
    assert (skill.name, skill.description) == ("greeting", "How to greet.")
    assert skill.path.startswith("/home/oai/skills/greeting-")

    ran = await room.execute(P, container, f"print(open('{skill.path}/words/hello.txt').read())")

    assert printed(ran) == "Hello!\n"
    assert await room.files(P, container) == []


async def test_a_skill_that_is_sent_again_is_kept_once(room: Room, blob_home: BlobHome) -> None:
    for _ in range(3):
        await made(room, skills=[inline()])

    assert len(blob_home.there()) == 1


@pytest.mark.parametrize(
    ("members", "param", "fault"),
    [
        ({"file_ids": ["file-none"]}, "file_ids", NotFound),
        ({"memory_limit": "4g"}, "memory_limit", InvalidRequest),
        ({"minutes": 21}, "expires_after.minutes", InvalidRequest),
        ({"skills": [SkillReference(skill_id="skill_none")]}, "skills[0].skill_id", NotFound),
        ({"skills": [inline(), inline(name="Bad_Name")]}, "skills[1].name", InvalidRequest),
        ({"skills": [inline({"greeting/a.txt": b""})]}, "skills[0].source.data", InvalidRequest),
    ],
)
async def test_what_a_container_cannot_be_made_of_is_named(
    room: Room, members: dict[str, object], param: str, fault: type[Exception]
) -> None:
    with pytest.raises(fault) as alone:
        await made(room, **members)
    with pytest.raises(fault) as placed:
        await made(room, place="tools[0].container", **members)

    assert alone.value.param == param  # type: ignore[attr-defined]
    assert placed.value.param == f"tools[0].container.{param}"  # type: ignore[attr-defined]


async def test_more_memory_than_the_server_gives_names_the_setting(room: Room) -> None:
    with pytest.raises(InvalidRequest, match=r"at most 1024 MB \(memory_mb of \[sandbox\]"):
        await made(room, memory_limit="64g")


async def test_a_sandbox_gets_what_its_container_was_made_with(open_room: OpenRoom) -> None:
    async with open_room(memory_mb=8192, disk_mb=64) as room:
        container = await made(room, memory_limit="4g", domains=["pypi.org"])
        await room.execute(P, container, "pass")

        (wanted,) = driver_of(room).wanted
        assert (wanted.limits.memory_bytes, wanted.limits.disk_bytes) == (4 << 30, 64 << 20)
        assert list(wanted.domains) == ["pypi.org"]


async def test_an_older_container_is_gone_on_with_where_it_is_as_wanted(room: Room, tmp_path: Path) -> None:
    file_id = await filed(room, tmp_path, b"x")
    container = await made(room, skills=[inline()])

    assert await room.adopt(P, container, NewContainer(file_ids=[file_id], skills=[inline()]))
    assert [file.path for file in await room.files(P, container)] == [f"/mnt/data/{file_id}-a.csv"]
    assert await room.adopt(P, container, NewContainer(memory_limit="1g"))
    assert not await room.adopt(P, container, NewContainer(domains=["pypi.org"]))
    other = inline({"other/SKILL.md": b"---\nname: other\ndescription: x\n---\n"}, "other")
    assert not await room.adopt(P, container, NewContainer(skills=[other]))


async def test_an_id_that_is_wanted_is_given_once(room: Room) -> None:
    wanted = "cntr_" + "a" * 48

    assert await room.create(P, NewContainer(), wanted) == wanted
    assert await room.create("other", NewContainer(), wanted) != wanted


async def test_no_project_reaches_anothers_container(room: Room) -> None:
    container = await made(room)

    for asked in (
        room.check("other", container),
        room.execute("other", container, "1"),
        room.files("other", container),
        room.add("other", container, "a", b"x"),
    ):
        with pytest.raises(NoSuchContainer):
            await asked
    assert not await room.delete("other", container)


# ---- limits -----------------------------------------------------------------------------------------


async def test_what_is_too_much_is_said_once_and_stays_in_the_sandbox(open_room: OpenRoom) -> None:
    async with open_room(file_bytes=10, harvest_files=2) as room:
        container = await made(room)
        code = "for name in 'abcd': open('/mnt/data/' + name, 'w').write(name * (11 if name == 'a' else 1))"

        ran = await room.execute(P, container, code)

        assert [file.path for file in ran.files] == ["/mnt/data/b"]
        assert printed(ran).splitlines() == [
            "Not kept for later:",
            "/mnt/data/a is larger than 10 bytes",
            "/mnt/data/c is more than the 2 files that are kept at a time",
            "/mnt/data/d is more than the 2 files that are kept at a time",
        ]
        again = await room.execute(P, container, "print(open('/mnt/data/a').read())")
        assert printed(again) == "a" * 11 + "\n"
        assert [file.path for file in again.files] == ["/mnt/data/c", "/mnt/data/d"]


async def test_what_was_refused_and_is_gone_is_forgotten(open_room: OpenRoom) -> None:
    """Code can make new names for ever; and what comes again is said again."""
    again = "import os; open('/mnt/data/a', 'w').write('x' * 11); os.utime('/mnt/data/a', (1, 1))"
    async with open_room(file_bytes=10) as room:
        container = await made(room)
        for _ in range(2):
            assert "/mnt/data/a is larger than 10 bytes" in printed(await room.execute(P, container, again))
            gone = await room.execute(P, container, "os.unlink('/mnt/data/a')")
            assert printed(gone) == ""


async def test_what_is_more_than_the_project_may_keep_is_not_kept(room: Room) -> None:
    container = await made(room)
    await room.storage.store.usage.bound(1000)

    ran = await room.execute(P, container, "open('/mnt/data/a', 'w').write('x' * 2000); show(b'x' * 2000)")
    (result,) = await room.run(P, container, ["printf '%2000s' > b"], None, None)

    assert "/mnt/data/a is more than this project may keep" in printed(ran)
    assert ran.pictures == []
    assert "/mnt/data/b is more than this project may keep" in result.stderr
    assert await room.files(P, container) == []

    await room.storage.store.usage.bound(50_000_000)
    later = await room.execute(P, container, "pass")
    assert [file.path for file in later.files] == ["/mnt/data/a", "/mnt/data/b"]


async def test_what_does_not_fit_on_the_disk_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "antiphon.db")
    with mounted(tmp_path / "files", 8) as disk:
        storage = ContainerStorage(store, FolderBlobs(disk))
        room = Room(storage, PlainDriver(tmp_path / "one"))
        async with room.running():
            container = await made(room)
            writes = (
                "open('/mnt/data/a', 'wb').write(b'x' * 9_000_000); open('/mnt/data/b', 'wb').write(b'x')"
            )
            ran = await room.execute(P, container, writes)
    await store.close()

    assert "/mnt/data/a does not fit on the disk of this server" in printed(ran)
    assert [file.path for file in ran.files] == ["/mnt/data/b"]


async def test_what_a_container_has_no_room_for_is_an_error_in_words(open_room: OpenRoom) -> None:
    async with open_room(disk_mb=1) as room:
        container = await made(room)
        file = await room.add(P, container, "big", b"x" * 2_000_000)

        with pytest.raises(SandboxError, match="no room"):
            await room.execute(P, container, "1")

        assert driver_of(room).living == []
        await room.storage.remove(P, container, file.id)
        await room.execute(P, container, "1")


async def test_the_sandbox_used_last_gives_way_to_a_new_one(open_room: OpenRoom) -> None:
    async with open_room(sandboxes=2, project_sandboxes=2) as room:
        first, second, third = [await made(room) for _ in range(3)]
        for container in (first, second, first, third):
            await room.execute(P, container, "open('/mnt/data/a', 'w').write('a'); x = 1")

        assert len(driver_of(room).living) == 2
        assert printed(await room.execute(P, first, "print('x' in globals())")) == "True\n"
        assert printed(await room.execute(P, second, "print('x' in globals())")) == "False\n"


async def test_a_sandbox_that_nobody_used_for_as_long_as_its_container_is_kept_ends(room: Room) -> None:
    old, young = await made(room, minutes=1), await made(room)
    for container in (old, young):
        await room.execute(P, container, "pass")
    for seat in room._sandboxes._seats.values():
        seat.last_used -= 61

    await room._sandboxes.tidy()

    assert [sandbox.ended is None for sandbox in driver_of(room).started] == [False, True]


async def test_a_project_that_has_all_its_sandboxes_loses_one_of_its_own(open_room: OpenRoom) -> None:
    async with open_room(sandboxes=3, project_sandboxes=1) as room:
        other = await made(room, "other")
        await room.execute("other", other, "x = 1")
        for _ in range(3):
            await room.execute(P, await made(room), "x = 1")

        assert len(driver_of(room).living) == 2
        assert printed(await room.execute("other", other, "print(x)")) == "1\n"


async def test_who_comes_when_all_are_busy_waits_and_is_refused_in_the_end(open_room: OpenRoom) -> None:
    async with open_room(sandboxes=1, queue_seconds=1) as room:
        first, second = await made(room), await made(room)
        await room.execute(P, first, "pass")
        (sandbox,) = driver_of(room).started
        sandbox.used.clear()
        busy = asyncio.create_task(room.run(P, first, [UNTIL_GO], None, None))
        await sandbox.used.wait()

        with pytest.raises(ContainerError, match="All containers that may run at once are busy"):
            await room.execute(P, second, "1")

        sandbox.put("go")
        await busy
        await room.execute(P, second, "1")


async def test_who_goes_away_at_any_moment_holds_nothing(open_room: OpenRoom) -> None:
    async with open_room(sandboxes=1, project_sandboxes=1) as room:
        containers = [await made(room) for _ in range(2)]
        for number in range(60):
            code = f"open('/mnt/data/{number}', 'w').write('x')"
            call = asyncio.create_task(room.execute(P, containers[number % 2], code))
            await asyncio.wait({call}, timeout=number / 1000)
            call.cancel()
            await asyncio.wait({call})

        assert not room._claims._used
        assert [seat.users for seat in room._sandboxes._seats.values()] in ([], [0])
        assert len(driver_of(room).living) <= 1
        for container in containers:
            assert printed(await room.execute(P, container, "print(1)")) == "1\n"


# ---- what is over -----------------------------------------------------------------------------------


async def test_an_expired_container_runs_nothing_and_its_files_go(room: Room, blob_home: BlobHome) -> None:
    container = await made(room, skills=[inline()])
    await room.execute(P, container, "open('/mnt/data/a', 'w').write('a')")
    await room.storage.store.write(_age, container)

    for asked in (
        room.check(P, container),
        room.execute(P, container, "1"),
        room.files(P, container),
        room.add(P, container, "a", b"x"),
    ):
        with pytest.raises(ContainerExpired, match=r"^Container is expired\.$"):
            await asked
    await room.storage.sweep()

    assert blob_home.there() == set()
    row = await room.storage.store.containers.use(P, container)
    assert row is not None
    assert row.expired


async def test_a_deleted_container_takes_its_sandbox_along(room: Room) -> None:
    container = await made(room)
    await room.execute(P, container, "open('/mnt/data/a', 'w').write('a')")

    assert await room.delete(P, container)

    assert driver_of(room).living == []
    with pytest.raises(NoSuchContainer):
        await room.execute(P, container, "1")


async def test_a_container_that_is_deleted_while_code_runs_ends_it(room: Room, blob_home: BlobHome) -> None:
    container = await made(room)
    await room.execute(P, container, "pass")
    (sandbox,) = driver_of(room).started
    sandbox.used.clear()
    runs = asyncio.create_task(room.execute(P, container, "import time; time.sleep(30)"))
    await sandbox.used.wait()

    assert await room.delete(P, container)

    with pytest.raises(SandboxEnded):
        await runs
    assert blob_home.there() == set()


# ---- several processes that do not find each other --------------------------------------------------


async def test_another_process_goes_on_with_the_files(open_room: OpenRoom) -> None:
    async with open_room("one") as one, open_room("two") as two:
        container = await made(one)
        await one.execute(P, container, "open('/mnt/data/a', 'w').write('one'); x = 1")
        ran = await two.execute(P, container, "print(open('/mnt/data/a').read())")
        await two.execute(P, container, "open('/mnt/data/a', 'w').write('two')")

        back = await one.execute(P, container, "print(open('/mnt/data/a').read(), 'x' in globals())")

        assert (printed(ran), printed(back)) == ("one\n", "two False\n")
        assert len(driver_of(one).living) == 1
        await two._end_lost()
        assert driver_of(two).living == []


async def test_a_process_waits_while_another_runs_code(open_room: OpenRoom) -> None:
    async with (
        open_room("one") as one,
        open_room("two", queue_seconds=0.1) as two,
        open_room("three") as three,
    ):
        container = await made(one)
        await one.execute(P, container, "pass")
        (sandbox,) = driver_of(one).started
        sandbox.used.clear()
        runs = asyncio.create_task(one.run(P, container, [f"{UNTIL_GO}; echo done > a"], None, None))
        await sandbox.used.wait()

        with pytest.raises(ContainerError, match="busy in another process"):
            await two.execute(P, container, "1")
        waits = asyncio.create_task(three.execute(P, container, "print(open('/mnt/data/a').read())"))
        sandbox.put("go")

        assert printed(await waits) == "done\n\n"
        await runs


async def test_a_process_that_died_does_not_keep_a_container(open_room: OpenRoom) -> None:
    """What a killed process leaves is a claim that nobody renews."""
    async with open_room("two") as two:
        container = await made(two)
        await two.storage.store.write(_claimed_by_the_dead, container)

        assert printed(await two.execute(P, container, "print(1)")) == "1\n"


def _age(container: str) -> Steps[None]:
    yield Statement(
        "UPDATE containers SET last_active_at = last_active_at - 1201 WHERE id = $1", (container,)
    )


def _claimed_by_the_dead(container: str) -> Steps[None]:
    until = time.time() + 0.5
    yield Statement("UPDATE containers SET home = 'dead', home_until = $2 WHERE id = $1", (container, until))
