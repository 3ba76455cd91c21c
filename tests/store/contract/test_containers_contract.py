"""Containers and skills in the store: rows and bytes, who uses what, and what is left of it."""

import asyncio
import hashlib

import pytest
from tests.store.contract.blob_homes import BlobHome
from tests.store.contract.kit import Clock, P, rows_of

from antiphon.protocol.ids import new_container_id, new_skill_id, new_skill_version_id
from antiphon.store.blobs import Blobs
from antiphon.store.bundles import Bundle
from antiphon.store.container_files import MOST_FILES, ContainerFileRow
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.containers import ContainerSkill, NewContainerRow
from antiphon.store.errors import (
    AlreadyExists,
    ContainerBusy,
    DefaultVersion,
    ExpiredContainer,
    TooManyContainerFiles,
    UnknownBundle,
    UnknownCursor,
)
from antiphon.store.file_storage import ORPHAN_SECONDS, About, FileStorage
from antiphon.store.paging import PageQuery
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.skills import NewVersion
from antiphon.store.store import Store

TABLES = ("containers", "container_files", "container_skills", "skill_bundles", "skills", "skill_versions")
MINUTE = 60


@pytest.fixture
def storage(store: Store, blobs: Blobs, clock: Clock) -> ContainerStorage:
    return ContainerStorage(store, blobs, clock)


async def made(storage: ContainerStorage, project: str = P, *skills: Bundle, minutes: int = 20) -> str:
    mounted = [
        ContainerSkill(name="s", description="d", folder=f"s-{n}", bundle=each)
        for n, each in enumerate(skills)
    ]
    new = NewContainerRow(
        id=new_container_id(), name="work", minutes=minutes, memory_limit="1g", skills=mounted
    )
    return (await storage.create(project, new)).id


async def put(
    storage: ContainerStorage, container: str, name: str, content: bytes = b"x", project: str = P
) -> ContainerFileRow | None:
    async with storage.incoming() as incoming:
        await incoming.write(content)
        row = await storage.arrived(incoming, f"/mnt/data/{name}", "assistant")
    return await storage.put(project, container, row)


async def bundle(storage: ContainerStorage, content: bytes) -> Bundle:
    return await storage.bundled(content, hashlib.sha256(content).digest(), "s", "d")


async def skill(storage: ContainerStorage, content: bytes = b"one") -> str:
    first = NewVersion(new_skill_version_id(), await bundle(storage, content))
    return (await storage.create_skill(P, new_skill_id(), first)).id


async def paths(store: Store, container: str) -> list[str]:
    return [row.path.removeprefix("/mnt/data/") for row in await store.container_files.all(P, container)]


# ---- files ------------------------------------------------------------------------------------------


async def test_a_path_keeps_its_id_when_its_content_changes(
    storage: ContainerStorage, blob_home: BlobHome
) -> None:
    container = await made(storage)

    first = await put(storage, container, "a", b"one")
    second = await put(storage, container, "a", b"three")

    assert first is not None
    assert second is not None
    assert (second.id, second.size, second.created_at) == (first.id, 5, first.created_at)
    assert b"".join([piece async for piece in storage.pieces(second.blob)]) == b"three"
    assert len(blob_home.there()) == 1


async def test_a_copied_file_outlives_what_it_is_a_copy_of(
    storage: ContainerStorage, store: Store, blobs: Blobs, blob_home: BlobHome
) -> None:
    files = FileStorage(store.files, blobs)
    async with files.incoming() as incoming:
        await incoming.write(b"hello")
        file = await files.add(P, incoming, About("a.txt", "user_data"))
    container = await made(storage)

    copied = await storage.copied(file, "/mnt/data/a")
    assert copied is not None
    await storage.put(P, container, copied)
    await files.remove(P, file.id)

    assert b"".join([piece async for piece in storage.pieces(copied.blob)]) == b"hello"
    async with storage.as_file(copied.blob) as path:
        assert path.stat().st_mode & 0o077 == 0
        assert path.read_bytes() == b"hello"
    assert await storage.copied(file, "/mnt/data/b") is None
    await storage.delete(P, container)
    assert len(blob_home.there()) == 0


async def test_a_container_has_so_many_files_and_no_more(
    storage: ContainerStorage, store: Store, clock: Clock, blob_home: BlobHome
) -> None:
    full = [
        ContainerFileRow(
            id=f"cfile_{n}",
            path=f"/mnt/data/{n}",
            created_at=1,
            size=0,
            source="user",
            sha256=b"",
            blob=f"blob_{n}",
        )
        for n in range(MOST_FILES)
    ]
    new = NewContainerRow(id="cntr_1", name="", minutes=20, memory_limit="1g", files=full)
    await store.containers.create(P, new)

    with pytest.raises(TooManyContainerFiles):
        await put(storage, "cntr_1", "more")

    assert len(blob_home.there()) == 0
    assert await put(storage, "cntr_1", "7", b"new") is not None


async def test_what_is_put_into_no_container_leaves_nothing(
    storage: ContainerStorage, clock: Clock, blob_home: BlobHome
) -> None:
    container = await made(storage)

    assert await put(storage, "cntr_none", "a") is None
    assert await put(storage, container, "a", project="other") is None
    clock.now += 20 * MINUTE
    with pytest.raises(ExpiredContainer):
        await put(storage, container, "a")

    assert len(blob_home.there()) == 0


async def test_bytes_that_a_row_knows_are_no_orphans(
    storage: ContainerStorage, store: Store, blobs: Blobs, blob_home: BlobHome
) -> None:
    """The sweep of files looks through the same folder."""
    container = await made(storage)
    await put(storage, container, "a")
    await skill(storage)
    await bundle(storage, b"nobody's")
    blob_home.age(ORPHAN_SECONDS + 1)

    await FileStorage(store.files, blobs).sweep()

    assert len(blob_home.there()) == 2


async def test_a_copy_is_as_young_as_what_has_just_arrived(
    storage: ContainerStorage, store: Store, blobs: Blobs, blob_home: BlobHome
) -> None:
    """A sweep may come between its bytes and its row."""
    files = FileStorage(store.files, blobs)
    async with files.incoming() as incoming:
        file = await files.add(P, incoming, About("a.txt", "user_data"))
    blob_home.age(ORPHAN_SECONDS + 1)

    await storage.copied(file, "/mnt/data/a")
    await files.sweep()

    assert len(blob_home.there()) == 2


# ---- containers -------------------------------------------------------------------------------------


async def test_a_container_expires_when_nobody_used_it_for_its_minutes(
    storage: ContainerStorage, store: Store, clock: Clock
) -> None:
    container = await made(storage, minutes=10)
    await put(storage, container, "a")
    clock.now += 9 * MINUTE
    used = await store.containers.use(P, container)
    assert used is not None
    assert used.last_active_at == int(clock.now)

    clock.now += 9 * MINUTE
    await store.containers.claim(P, container, "me", 5)
    clock.now += 10 * MINUTE

    row = await store.containers.use(P, container)
    assert row is not None
    assert row.expired
    for asked in (
        store.container_files.get(P, container, "cfile_none"),
        store.container_files.at(P, container, "/mnt/data/a"),
        store.container_files.page(P, container, PageQuery()),
        store.container_files.remove(P, container, "cfile_none"),
        store.containers.claim(P, container, "me", 5),
    ):
        with pytest.raises(ExpiredContainer):
            await asked


async def test_a_sweep_takes_what_is_in_expired_containers_and_leaves_what_they_were(
    storage: ContainerStorage, store: Store, clock: Clock, blob_home: BlobHome
) -> None:
    old = [await made(storage, P, await bundle(storage, b"shared")) for _ in range(12)]
    for container in old:
        await put(storage, container, "a")
    clock.now += 15 * MINUTE
    young = await made(storage)
    await put(storage, young, "a")
    clock.now += 5 * MINUTE

    await storage.sweep()

    assert len(blob_home.there()) == 1
    assert await rows_of(store, *TABLES) == {"containers": 13, "container_files": 1}
    await Retention(retention_rules(store, 30, 24, 30, 90), clock, pause=0).sweep()
    assert len((await store.containers.page(P, PageQuery())).rows) == 13
    clock.pass_days(31)
    await storage.sweep()
    await Retention(retention_rules(store, 30, 24, 30, 90), clock, pause=0).sweep()
    assert await rows_of(store, *TABLES) == {}
    assert len(blob_home.there()) == 0


async def test_containers_are_listed_by_creation_and_by_name(storage: ContainerStorage, store: Store) -> None:
    new = [await made(storage) for _ in range(3)]
    await made(storage, "other")

    page = await store.containers.page(P, PageQuery(order="asc", after=new[0], limit=1))
    assert ([row.id for row in page.rows], page.more) == ([new[1]], True)
    assert [row.id for row in (await store.containers.page(P, PageQuery(), "work")).rows] == new[::-1]
    assert (await store.containers.page(P, PageQuery(), "Work")).rows == []
    with pytest.raises(UnknownCursor):
        await store.containers.page("other", PageQuery(after=new[0]))


async def test_an_id_is_given_once(storage: ContainerStorage) -> None:
    new = NewContainerRow(id="cntr_1", name="", minutes=20, memory_limit="1g")
    await storage.create(P, new)
    with pytest.raises(AlreadyExists):
        await storage.create("other", new)


async def test_another_project_sees_and_changes_nothing(storage: ContainerStorage, store: Store) -> None:
    container = await made(storage)
    row = await put(storage, container, "a")
    assert row is not None

    assert await store.containers.use("other", container) is None
    assert await store.containers.claim("other", container, "me", 5) is None
    assert await store.containers.skills("other", container) == []
    assert await store.container_files.all("other", container) == []
    assert await store.container_files.get("other", container, row.id) is None
    assert await store.container_files.page("other", container, PageQuery()) is None
    assert not await storage.remove("other", container, row.id)
    assert not await storage.delete("other", container)
    assert await paths(store, container) == ["a"]


# ---- whose sandbox has it ---------------------------------------------------------------------------


async def test_a_container_is_used_by_one_process_at_a_time(
    storage: ContainerStorage, store: Store, other: Store, clock: Clock
) -> None:
    container = await made(storage)

    first = await store.containers.claim(P, container, "me", 20)
    again = await store.containers.claim(P, container, "me", 20)
    assert first is not None
    assert again is not None
    assert (first.is_ours, again.is_ours) == (False, True)
    with pytest.raises(ContainerBusy):
        await other.containers.claim(P, container, "you", 20)

    await store.containers.release(first.key, "me")
    theirs = await other.containers.claim(P, container, "you", 20)
    assert theirs is not None
    assert not theirs.is_ours
    assert await store.containers.at_home([first.key], "me") == []
    await store.containers.release(first.key, "me")
    with pytest.raises(ContainerBusy):
        await store.containers.claim(P, container, "me", 20)


async def test_a_claim_ends_unless_it_is_renewed_and_a_renewal_counts_as_use(
    storage: ContainerStorage, store: Store, clock: Clock
) -> None:
    container = await made(storage)
    claim = await store.containers.claim(P, container, "me", 20)
    assert claim is not None

    for _ in range(100):
        clock.now += 15
        await store.containers.renew([claim.key], "me", 20)
    with pytest.raises(ContainerBusy):
        await store.containers.claim(P, container, "you", 20)

    clock.now += 21
    assert await store.containers.claim(P, container, "you", 20) is not None
    await store.containers.renew([claim.key], "me", 20)
    assert await store.containers.at_home([claim.key], "you") == [claim.key]


async def test_of_many_processes_that_ask_at_once_one_has_it(
    storage: ContainerStorage, store: Store, other: Store
) -> None:
    container = await made(storage)

    asked = [each.containers.claim(P, container, f"{n}", 20) for n in range(10) for each in (store, other)]
    answers = await asyncio.gather(*asked, return_exceptions=True)

    homes = [answer for answer in answers if not isinstance(answer, ContainerBusy)]
    assert len(homes) == 2  # both asked for the same process
    assert sum(1 for each in homes if each.is_ours) == 1  # type: ignore[union-attr]


# ---- skills -----------------------------------------------------------------------------------------


async def test_the_same_content_is_kept_once_in_a_project_as_long_as_something_uses_it(
    storage: ContainerStorage, store: Store, blob_home: BlobHome
) -> None:
    first, second = await skill(storage), await skill(storage)
    container = await made(storage, P, await bundle(storage, b"one"))
    assert len(blob_home.there()) == 1

    await storage.delete_skill(P, first)
    await storage.delete_skill(P, second)
    assert len(blob_home.there()) == 1
    await storage.delete(P, container)

    assert len(blob_home.there()) == 0
    assert await rows_of(store, *TABLES) == {}


async def test_projects_share_no_content(
    storage: ContainerStorage, store: Store, blob_home: BlobHome
) -> None:
    await skill(storage)

    assert await store.bundles.find("other", hashlib.sha256(b"one").digest()) is None
    await made(storage, "other", await bundle(storage, b"one"))
    assert len(blob_home.there()) == 2


async def test_a_zip_that_was_found_and_is_gone_is_refused(storage: ContainerStorage, store: Store) -> None:
    skill_id = await skill(storage)
    found = await store.bundles.find(P, hashlib.sha256(b"one").digest())
    assert found is not None
    await storage.delete_skill(P, skill_id)

    with pytest.raises(UnknownBundle):
        await made(storage, P, found)
    with pytest.raises(UnknownBundle):
        await storage.create_skill(P, new_skill_id(), NewVersion(new_skill_version_id(), found))

    assert await rows_of(store, *TABLES) == {}


async def test_versions_count_on_and_the_default_stays(storage: ContainerStorage, store: Store) -> None:
    skill_id = await skill(storage)
    for content in (b"two", b"three"):
        version = NewVersion(new_skill_version_id(), await bundle(storage, content))
        await storage.add_version(P, skill_id, version)
    assert await storage.delete_version(P, skill_id, 3)
    assert not await storage.delete_version(P, skill_id, 3)
    again = await storage.add_version(
        P, skill_id, NewVersion(new_skill_version_id(), await bundle(storage, b"four"))
    )
    assert again is not None
    assert again.number == 4

    assert await store.skills.set_default(P, skill_id, 2)
    assert not await store.skills.set_default(P, skill_id, 3)
    with pytest.raises(DefaultVersion):
        await storage.delete_version(P, skill_id, 2)
    row = await store.skills.get(P, skill_id)
    assert row is not None
    assert (row.default_version, row.latest_version) == (2, 4)
    numbers = []
    for which in ("default", "latest", 1):
        version_row = await store.skills.version(P, skill_id, which)  # type: ignore[arg-type]
        assert version_row is not None
        numbers.append(version_row.number)
    assert numbers == [2, 4, 1]


async def test_versions_that_come_at_once_have_numbers_of_their_own(storage: ContainerStorage) -> None:
    skill_id = await skill(storage)

    async def add(number: int) -> int:
        new = NewVersion(new_skill_version_id(), await bundle(storage, b"%d" % number))
        row = await storage.add_version(P, skill_id, new)
        assert row is not None
        return row.number

    assert sorted(await asyncio.gather(*map(add, range(8)))) == list(range(2, 10))


# ---- quota ------------------------------------------------------------------------------------------


async def test_files_of_containers_and_zips_count_as_long_as_they_are_kept(
    storage: ContainerStorage, store: Store, clock: Clock
) -> None:
    await store.usage.bound(10_000)
    container = await made(storage, P, await bundle(storage, b"x" * 1000))
    assert await store.usage.stored(P) == 1000
    await put(storage, container, "a", b"x" * 200)
    await put(storage, container, "b", b"x" * 30)
    assert await store.usage.stored(P) == 1230
    row = await put(storage, container, "a", b"x" * 100)
    assert row is not None
    assert await store.usage.stored(P) == 1130
    await storage.remove(P, container, row.id)
    assert await store.usage.stored(P) == 1030
    await store.usage.bound(None)
    await store.usage.bound(10_000)
    assert await store.usage.stored(P) == 1030

    clock.now += 20 * MINUTE
    await storage.sweep()

    assert await store.usage.stored(P) == 0
