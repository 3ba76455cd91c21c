"""Files and their bytes: what is kept, what goes, and what a crash leaves."""

import asyncio
import hashlib
import os

import pytest
from tests.store.contract.blob_homes import BlobHome
from tests.store.contract.kit import Clock

from antiphon.store.blobs import Blobs
from antiphon.store.errors import BadPart, UnknownCursor, WrongChecksum, WrongSize
from antiphon.store.file_storage import BATCH_SECONDS, ORPHAN_SECONDS, UPLOAD_SECONDS, About, FileStorage
from antiphon.store.files import FileRow, UploadRow
from antiphon.store.paging import PageQuery
from antiphon.store.store import Store

NOTE = About("note.txt", "user_data")


@pytest.fixture
def storage(store: Store, blobs: Blobs, clock: Clock) -> FileStorage:
    return FileStorage(store.files, blobs, clock)


async def file(storage: FileStorage, *chunks: bytes, about: About = NOTE, project: str = "p") -> FileRow:
    async with storage.incoming() as incoming:
        for chunk in chunks:
            await incoming.write(chunk)
        return await storage.add(project, incoming, about)


async def ids(
    storage: FileStorage, project: str = "p", purpose: str | None = None, **query: object
) -> list[str]:
    page = await storage.files(project, PageQuery(**query), purpose)  # type: ignore[arg-type]
    return [row.id for row in page.rows]


# ---- files ------------------------------------------------------------------------------------------


async def test_a_file_is_read_back_as_it_came(storage: FileStorage, clock: Clock) -> None:
    chunks = [os.urandom(700_000) for _ in range(5)]
    whole = b"".join(chunks)

    row = await file(storage, *chunks)

    assert row == FileRow(
        row.id, int(clock.now), "note.txt", "user_data", 3_500_000, hashlib.sha256(whole).digest()
    )
    assert await storage.file("p", row.id) == row
    assert await storage.content(row) == whole


async def test_an_empty_file_is_a_file(storage: FileStorage) -> None:
    row = await file(storage)

    assert (row.size, await storage.content(row)) == (0, b"")


async def test_a_file_lies_where_only_the_owner_of_the_process_can_read_it(storage: FileStorage) -> None:
    row = await file(storage, b"secret")

    async with storage.as_file(row) as path:
        assert path.stat().st_mode & 0o077 == 0
        assert path.read_bytes() == b"secret"


async def test_a_file_that_is_removed_while_it_is_read_is_read_whole(storage: FileStorage) -> None:
    row = await file(storage, b"x" * 3_000_000)

    opened = await storage.open(row)
    assert await storage.remove("p", row.id)

    assert opened.size == 3_000_000
    assert b"".join([piece async for piece in opened.pieces()]) == b"x" * 3_000_000
    with pytest.raises(FileNotFoundError):
        await storage.open(row)
    with pytest.raises(FileNotFoundError):
        async with storage.as_file(row):
            pass


async def test_a_deleted_file_is_gone_from_the_disk(storage: FileStorage, blob_home: BlobHome) -> None:
    row = await file(storage, b"x")

    assert await storage.remove("p", row.id)

    assert await storage.file("p", row.id) is None
    assert blob_home.there() == set()
    assert not await storage.remove("p", row.id)
    assert await storage.content(row) is None


async def test_another_project_sees_nothing_and_removes_nothing(storage: FileStorage) -> None:
    row = await file(storage, b"x")

    assert await storage.file("q", row.id) is None
    assert await ids(storage, "q") == []
    assert not await storage.remove("q", row.id)
    with pytest.raises(UnknownCursor):
        await ids(storage, "q", after=row.id)
    assert await storage.content(row) == b"x"


async def test_lists_go_either_way_and_by_purpose(storage: FileStorage) -> None:
    notes = [(await file(storage, b"x")).id for _ in range(3)]
    photo = (await file(storage, b"x", about=About("a.png", "vision"))).id

    assert await ids(storage) == [photo, *reversed(notes)]
    assert await ids(storage, order="asc", limit=2) == notes[:2]
    assert await ids(storage, order="asc", after=notes[1]) == [notes[2], photo]
    assert await ids(storage, after=notes[1]) == [notes[0]]
    assert await ids(storage, purpose="vision") == [photo]
    with pytest.raises(UnknownCursor):
        await ids(storage, after="file-unknown")


# ---- what expires -----------------------------------------------------------------------------------


async def test_an_expired_file_is_not_there_and_its_bytes_go_with_the_next_sweep(
    storage: FileStorage, blob_home: BlobHome, clock: Clock
) -> None:
    row = await file(storage, b"x", about=About("a", "user_data", 3600))
    other = await file(storage, b"y")
    assert row.expires_at == int(clock.now) + 3600

    clock.now += 3599
    assert await storage.file("p", row.id) is not None
    clock.now += 1

    assert await storage.file("p", row.id) is None
    assert await ids(storage) == [other.id]
    assert not await storage.remove("p", row.id)
    await storage.sweep()
    assert blob_home.there() == {other.id}


async def test_files_for_batches_are_kept_for_30_days_unless_something_else_is_said(
    storage: FileStorage, clock: Clock
) -> None:
    row = await file(storage, b"x", about=About("a", "batch"))
    brief = await file(storage, b"x", about=About("a", "batch", 3600))

    assert (row.expires_at, brief.expires_at) == (int(clock.now) + BATCH_SECONDS, int(clock.now) + 3600)


async def test_an_upload_that_is_late_takes_no_parts_and_leaves_none(
    storage: FileStorage, blob_home: BlobHome, clock: Clock
) -> None:
    upload = await storage.begin("p", NOTE, "text/plain", 1)
    async with storage.incoming_part() as incoming:
        await incoming.write(b"x")
        part = await storage.add_part("p", upload.id, incoming)
    assert part is not None

    clock.now += UPLOAD_SECONDS

    async with storage.incoming_part() as incoming:
        assert await storage.add_part("p", upload.id, incoming) is None
    assert await storage.complete("p", upload, [part.id], None) is None
    assert not await storage.cancel("p", upload.id)
    await storage.sweep()
    assert blob_home.there() == set()
    assert await storage.upload("p", upload.id) is None


# ---- what breaks ------------------------------------------------------------------------------------


async def test_what_did_not_arrive_leaves_nothing(storage: FileStorage, blob_home: BlobHome) -> None:
    async with storage.incoming() as incoming:
        await incoming.write(b"x" * 20_000_000)
        assert len(blob_home.there()) == 1

    assert blob_home.there() == set()


async def test_whoever_is_cancelled_while_bytes_arrive_leaves_nothing(
    storage: FileStorage, blob_home: BlobHome
) -> None:
    begun = asyncio.Event()

    async def arrive() -> None:
        async with storage.incoming() as incoming:
            while True:
                await incoming.write(b"x" * 1_000_000)
                if incoming.size > 20_000_000:
                    begun.set()

    task = asyncio.create_task(arrive())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert blob_home.there() == set()


async def test_a_crash_between_bytes_and_row_is_swept_once_it_is_old(
    storage: FileStorage, blob_home: BlobHome
) -> None:
    kept = await file(storage, b"kept")
    blob_home.leave("file-crashedAB", "file-half")

    await storage.sweep()
    assert blob_home.there() == {kept.id, "file-crashedAB", "file-half"}
    blob_home.age(ORPHAN_SECONDS + 1)
    await storage.sweep()

    assert blob_home.there() == {kept.id}
    assert await storage.content(kept) == b"kept"


async def test_two_that_complete_an_upload_at_once_make_one_file(
    storage: FileStorage, blob_home: BlobHome
) -> None:
    upload = await storage.begin("p", NOTE, "text/plain", 1)
    async with storage.incoming_part() as incoming:
        await incoming.write(b"x")
        part = await storage.add_part("p", upload.id, incoming)
    assert part is not None

    rows = await asyncio.gather(
        *(storage.complete("p", upload, [part.id], None) for _ in range(4)), return_exceptions=True
    )

    made = [row for row in rows if isinstance(row, FileRow)]
    assert len(made) == 1
    assert all(row is None or isinstance(row, FileRow | BadPart) for row in rows)
    assert blob_home.there() == {made[0].id}


async def test_a_name_that_is_not_ours_is_no_place(blobs: Blobs) -> None:
    for name in ("../x", "/etc/passwd", "file-../x", "file-a/b", "", "file-a.b", "x"):
        with pytest.raises(ValueError, match="not the name"):
            await blobs.read(name)


# ---- what an upload has to be -----------------------------------------------------------------------


@pytest.fixture
async def upload(storage: FileStorage) -> tuple[UploadRow, str]:
    """An upload of three bytes, with one part of them."""
    upload = await storage.begin("p", NOTE, "text/plain", 3)
    async with storage.incoming_part() as incoming:
        await incoming.write(b"abc")
        part = await storage.add_part("p", upload.id, incoming)
    assert part is not None
    return upload, part.id


async def test_an_upload_that_is_not_what_was_announced_stays_open(
    storage: FileStorage, upload: tuple[UploadRow, str]
) -> None:
    row, part = upload
    with pytest.raises(BadPart) as caught:
        await storage.complete("p", row, [part, part], None)
    assert (caught.value.index, caught.value.why) == (1, "repeated")
    with pytest.raises(BadPart) as caught:
        await storage.complete("p", row, ["part_other"], None)
    assert (caught.value.index, caught.value.why) == (0, "unknown")
    with pytest.raises(WrongSize):
        await storage.complete("p", row, [], None)
    with pytest.raises(WrongChecksum):
        await storage.complete("p", row, [part], hashlib.md5(b"abd").hexdigest())

    made = await storage.complete("p", row, [part], hashlib.md5(b"abc").hexdigest())

    assert made is not None
    assert await storage.content(made) == b"abc"
