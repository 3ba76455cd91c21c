"""Files and their bytes: what is kept, what goes, and what a crash leaves."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.store.base import PageQuery
from antiphon.store.blobs import Blobs
from antiphon.store.files import FileRow
from antiphon.store.filing import BATCH_SECONDS, STRANGER_SECONDS, UPLOAD_SECONDS, About, Filing
from antiphon.store.sqlite import SqliteStore

NOTE = About("note.txt", "user_data")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def filing(tmp_path: Path, folder: Path, clock: Clock) -> AsyncIterator[Filing]:
    store = await SqliteStore.open(tmp_path / "db", clock=clock)
    yield Filing(store.files, Blobs(folder), clock)
    await store.close()


async def file(filing: Filing, *chunks: bytes, about: About = NOTE, project: str = "p") -> FileRow:
    async with filing.arriving() as arriving:
        for chunk in chunks:
            await arriving.write(chunk)
        return await filing.add(project, arriving, about)


def on_disk(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def make_old(folder: Path) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (0, path.stat().st_mtime - STRANGER_SECONDS - 1))


async def ids(filing: Filing, project: str = "p", purpose: str | None = None, **query: object) -> list[str]:
    page = await filing.files(project, PageQuery(**query), purpose)  # type: ignore[arg-type]
    return [row.id for row in page.rows]


# ---- files ------------------------------------------------------------------------------------------


async def test_a_file_is_read_back_as_it_came(filing: Filing, clock: Clock) -> None:
    chunks = [os.urandom(700_000) for _ in range(5)]
    whole = b"".join(chunks)

    row = await file(filing, *chunks)

    assert row == FileRow(
        row.id, int(clock.now), "note.txt", "user_data", 3_500_000, hashlib.sha256(whole).digest()
    )
    assert await filing.file("p", row.id) == row
    assert await filing.content(row) == whole


async def test_an_empty_file_is_a_file(filing: Filing) -> None:
    row = await file(filing)

    assert (row.size, await filing.content(row)) == (0, b"")


async def test_only_the_owner_of_the_process_can_read_the_bytes(filing: Filing) -> None:
    row = await file(filing, b"secret")

    assert filing.path(row).stat().st_mode & 0o077 == 0


async def test_a_deleted_file_is_gone_from_the_disk(filing: Filing, folder: Path) -> None:
    row = await file(filing, b"x")

    assert await filing.remove("p", row.id)

    assert await filing.file("p", row.id) is None
    assert on_disk(folder) == set()
    assert not await filing.remove("p", row.id)
    assert await filing.content(row) is None


async def test_another_project_sees_nothing_and_removes_nothing(filing: Filing) -> None:
    row = await file(filing, b"x")

    assert await filing.file("q", row.id) is None
    assert await ids(filing, "q") == []
    assert not await filing.remove("q", row.id)
    with pytest.raises(NotFound):
        await ids(filing, "q", after=row.id)
    assert await filing.content(row) == b"x"


async def test_lists_go_either_way_and_by_purpose(filing: Filing) -> None:
    notes = [(await file(filing, b"x")).id for _ in range(3)]
    photo = (await file(filing, b"x", about=About("a.png", "vision"))).id

    assert await ids(filing) == [photo, *reversed(notes)]
    assert await ids(filing, order="asc", limit=2) == notes[:2]
    assert await ids(filing, order="asc", after=notes[1]) == [notes[2], photo]
    assert await ids(filing, after=notes[1]) == [notes[0]]
    assert await ids(filing, purpose="vision") == [photo]
    with pytest.raises(NotFound):
        await ids(filing, after="file-unknown")


# ---- what expires -----------------------------------------------------------------------------------


async def test_an_expired_file_is_not_there_and_its_bytes_go_with_the_next_sweep(
    filing: Filing, folder: Path, clock: Clock
) -> None:
    row = await file(filing, b"x", about=About("a", "user_data", 3600))
    other = await file(filing, b"y")
    assert row.expires_at == int(clock.now) + 3600

    clock.now += 3599
    assert await filing.file("p", row.id) is not None
    clock.now += 1

    assert await filing.file("p", row.id) is None
    assert await ids(filing) == [other.id]
    assert not await filing.remove("p", row.id)
    await filing.sweep()
    assert on_disk(folder) == {other.id}


async def test_files_for_batches_are_kept_for_30_days_unless_told_otherwise(
    filing: Filing, clock: Clock
) -> None:
    row = await file(filing, b"x", about=About("a", "batch"))
    brief = await file(filing, b"x", about=About("a", "batch", 3600))

    assert (row.expires_at, brief.expires_at) == (int(clock.now) + BATCH_SECONDS, int(clock.now) + 3600)


async def test_an_upload_that_is_late_takes_no_parts_and_leaves_none(
    filing: Filing, folder: Path, clock: Clock
) -> None:
    upload = await filing.begin("p", NOTE, "text/plain", 1)
    async with filing.arriving_part() as arriving:
        await arriving.write(b"x")
        part = await filing.add_part("p", upload.id, arriving)
    assert part is not None

    clock.now += UPLOAD_SECONDS

    async with filing.arriving_part() as arriving:
        assert await filing.add_part("p", upload.id, arriving) is None
    assert await filing.complete("p", upload, [part.id], None) is None
    assert not await filing.cancel("p", upload.id)
    await filing.sweep()
    assert on_disk(folder) == set()
    assert await filing.upload("p", upload.id) is None


# ---- what breaks ------------------------------------------------------------------------------------


async def test_what_did_not_arrive_leaves_nothing(filing: Filing, folder: Path) -> None:
    async with filing.arriving() as arriving:
        await arriving.write(b"x" * 3_000_000)
        assert len(on_disk(folder)) == 1

    assert on_disk(folder) == set()


async def test_whoever_is_cancelled_while_bytes_arrive_leaves_nothing(filing: Filing, folder: Path) -> None:
    begun = asyncio.Event()

    async def arrive() -> None:
        async with filing.arriving() as arriving:
            while True:
                await arriving.write(b"x" * 1_000_000)
                begun.set()

    task = asyncio.create_task(arrive())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert on_disk(folder) == set()


async def test_a_crash_between_bytes_and_row_is_swept_once_it_is_old(filing: Filing, folder: Path) -> None:
    """As if the process had died after the rename, and in the middle of writing another."""
    kept = await file(filing, b"kept")
    for place in (folder / "ab" / "file-crashedAB", folder / "arriving" / "file-half"):
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_bytes(b"x")

    await filing.sweep()
    assert on_disk(folder) == {kept.id, "file-crashedAB", "file-half"}
    make_old(folder)
    await filing.sweep()

    assert on_disk(folder) == {kept.id}
    assert await filing.content(kept) == b"kept"


async def test_two_that_complete_an_upload_at_once_make_one_file(filing: Filing, folder: Path) -> None:
    upload = await filing.begin("p", NOTE, "text/plain", 1)
    async with filing.arriving_part() as arriving:
        await arriving.write(b"x")
        part = await filing.add_part("p", upload.id, arriving)
    assert part is not None

    rows = await asyncio.gather(
        *(filing.complete("p", upload, [part.id], None) for _ in range(4)), return_exceptions=True
    )

    made = [row for row in rows if isinstance(row, FileRow)]
    assert len(made) == 1
    assert all(row is None or isinstance(row, FileRow | InvalidRequest) for row in rows)
    assert on_disk(folder) == {made[0].id}


def test_a_name_that_is_not_ours_is_no_place(folder: Path) -> None:
    for name in ("../x", "/etc/passwd", "file-../x", "file-a/b", "", "file-a.b", "x"):
        with pytest.raises(ValueError, match="not the name"):
            Blobs(folder).path(name)
