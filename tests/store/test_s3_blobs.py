"""Blobs on S3: what is said at a start, what is left behind, and what happens while it is away."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.s3 import S3, shared_s3

from antiphon.store.blobs import BlobsUnusable
from antiphon.store.faults import StorageFault, Unreachable, storage_fault
from antiphon.store.open_blobs import open_blobs
from antiphon.store.s3_blobs import S3Blobs
from antiphon.store.s3_uploads import Credentials, signed

PART = 8 * 2**20


@pytest.fixture
def url() -> str:
    return shared_s3().bucket()


@pytest.fixture
def blobs(url: str, tmp_path: Path) -> S3Blobs:
    return S3Blobs(url, tmp_path / "spool")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[S3, S3Blobs]]:
    """A server that a test may stop, and blobs on it."""
    with S3() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server, S3Blobs(server.bucket(), tmp_path / "spool")


async def kept(blobs: S3Blobs, name: str, content: bytes = b"x") -> None:
    async with blobs.incoming(name) as incoming:
        await incoming.write(content)
        await incoming.finish()
        await incoming.keep()


# ---- bytes ------------------------------------------------------------------------------------------


async def test_what_is_larger_than_a_part_is_one_object(blobs: S3Blobs, url: str) -> None:
    content = os.urandom(2 * PART + 5)

    await kept(blobs, "file-large", content)

    assert await blobs.read("file-large") == content
    assert shared_s3().names(url) == {"file-large"}
    assert shared_s3().incomplete(url) == set()


async def test_there_is_no_object_before_it_is_whole(blobs: S3Blobs, url: str) -> None:
    async with blobs.incoming("file-coming") as incoming:
        await incoming.write(os.urandom(2 * PART))
        await incoming.finish()

        assert shared_s3().names(url) == set()
        with pytest.raises(FileNotFoundError):
            await blobs.open("file-coming")

    assert shared_s3().incomplete(url) == set()


async def test_a_file_of_a_blob_is_gone_after_its_use_and_one_that_a_crash_left_when_it_is_old(
    blobs: S3Blobs, tmp_path: Path
) -> None:
    await kept(blobs, "file-used")
    async with blobs.as_file("file-used") as path:
        left = path.with_name("left")
        left.write_bytes(path.read_bytes())
    assert list((tmp_path / "spool").iterdir()) == [left]

    assert [name async for names in blobs.orphans(60) for name in names] == []
    assert left.exists()
    os.utime(left, (0, left.stat().st_mtime - 61))
    assert [name async for names in blobs.orphans(60) for name in names] == []

    assert not left.exists()


async def test_another_prefix_of_the_bucket_is_another_home(blobs: S3Blobs, url: str, tmp_path: Path) -> None:
    s3 = shared_s3()
    other = S3Blobs(f"{url}/below", tmp_path / "spool")
    beside = url.removesuffix("phon") + "other"
    s3.put(beside, "file-beside")
    s3.begin(beside, "file-half")
    await kept(other, "file-below")
    s3.age(url, 100)

    assert [name async for names in blobs.orphans(60) for name in names] == []
    assert [name async for names in other.orphans(60) for name in names] == ["file-below"]
    assert s3.incomplete(beside) == {"file-half"}


def test_a_signature_is_the_one_that_the_reference_gives() -> None:
    """The example "GET Bucket Lifecycle" of "Signature Calculations for the Authorization Header", in the
    API reference of Amazon S3."""
    example = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
    moment = datetime(2013, 5, 24, tzinfo=UTC)

    headers = signed(
        "GET", "https://examplebucket.s3.amazonaws.com/?lifecycle=", "us-east-1", example, moment
    )

    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )


# ---- what is wrong ----------------------------------------------------------------------------------


async def test_a_bucket_that_can_be_used_is_left_as_it_was(blobs: S3Blobs, url: str) -> None:
    await blobs.check()

    assert shared_s3().names(url) == set()


async def test_a_bucket_that_there_is_not_is_named(tmp_path: Path) -> None:
    shared_s3()

    with pytest.raises(BlobsUnusable, match="There is no bucket 'no-such-bucket': make it"):
        await S3Blobs("s3://no-such-bucket/x", tmp_path).check()


async def test_a_server_that_is_away_is_said_soon(away: tuple[S3, S3Blobs]) -> None:
    server, blobs = away
    server.stop()

    with pytest.raises(BlobsUnusable, match="cannot be reached"):
        await blobs.check()


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "https://example.com/x", "/files", "file://", "gs://b"])
def test_what_is_no_url_of_blobs_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BlobsUnusable, match="URL of"):
        open_blobs(url, tmp_path)


async def test_a_folder_that_is_named_keeps_blobs_too(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/elsewhere", tmp_path / "data")

    await blobs.check()
    async with blobs.incoming("file-there") as incoming:
        await incoming.finish()
        await incoming.keep()

    assert [path.name for path in (tmp_path / "elsewhere").rglob("file-*")] == ["file-there"]
    assert not (tmp_path / "data").exists()


async def test_while_it_is_away_nothing_is_lost_and_all_goes_on_when_it_is_back(
    away: tuple[S3, S3Blobs],
) -> None:
    server, blobs = away
    server.stop()

    for asked in (
        kept(blobs, "file-a"),
        kept(blobs, "file-b", os.urandom(PART + 1)),
        blobs.read("file-c"),
        blobs.open("file-c"),
        blobs.duplicate("file-c", "file-d"),
        blobs.remove(["file-c"]),
        anext(aiter(blobs.orphans(0))),
    ):
        with pytest.raises(Unreachable) as caught:
            await asyncio.wait_for(asked, 30)
        assert storage_fault(caught.value) is StorageFault.UNAVAILABLE
        assert "test-secret" not in str(caught.value)

    server.start()
    server.make(blobs.url)
    await kept(blobs, "file-a")
    assert await blobs.read("file-a") == b"x"
