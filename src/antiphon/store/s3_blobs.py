"""Blobs in a bucket that speaks S3: Amazon's, MinIO, Garage, R2 and others.

Credentials, region and endpoint come from the usual `AWS_*` variables. What is larger than a part comes in by
a multipart upload, so an object is whole from the moment in which it is there. Names are not used twice, so
nothing asks for objects that are not there yet: an answer that got lost could not be told from another's
object.
"""

import asyncio
import atexit
import functools
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from antiphon.store.blobs import PIECE, BlobsUnusable, GatheredBlob, checked, is_name
from antiphon.store.faults import Unreachable
from antiphon.store.s3_uploads import Uploads

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import S3Store

log = structlog.get_logger()

_PART: Final = 8 * 2**20
"""Bytes of a part: an object has at most 10,000."""
_PARTS = 2
"""Parts of one blob that are on their way at once, and so in memory."""
_PAGE = 1000
"""Names that are listed at a time, as many as S3 gives."""
_CONNECT = timedelta(seconds=3)
_SILENCE = timedelta(seconds=30)
_WHOLE = timedelta(days=1)
"""For a request with its body: clients may read slowly."""
_CHECK_SECONDS = 15.0
_MOMENT = 0.1
_NOBODY = "check"
"""What names of objects begin with that no row knows."""


class S3Blobs:
    """The objects of a bucket, below a prefix."""

    def __init__(self, url: str, spool: Path) -> None:
        """`url`: `s3://BUCKET/PREFIX`; `spool`: where blobs lie while somebody needs them as files. Raises
        BlobsUnusable."""
        self.url = url
        bucket, _, self._prefix = url.removeprefix("s3://").strip("/").partition("/")
        self._store = _opened(url)
        self._uploads = Uploads(bucket)
        self._spool = spool

    @asynccontextmanager
    async def incoming(self, name: str) -> AsyncIterator["IncomingObject"]:
        incoming = IncomingObject(self._store, checked(name))
        try:
            yield incoming
        finally:
            await incoming.drop()

    async def open(self, name: str) -> "OpenedObject":
        return OpenedObject(await self._get(name))

    async def has(self, name: str) -> bool:
        import obstore

        try:
            with _translated():
                await obstore.head_async(self._store, checked(name))
        except FileNotFoundError:
            return False
        return True

    async def read(self, name: str) -> bytes:
        found = await self._get(name)
        with _translated():
            return bytes(await found.bytes_async())

    @asynccontextmanager
    async def as_file(self, name: str) -> AsyncIterator[Path]:
        opened = await self.open(name)
        await asyncio.to_thread(self._spool.mkdir, mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._spool) as file:
            async for piece in opened.pieces():
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(file.flush)
            yield Path(file.name)

    async def duplicate(self, name: str, other: str) -> None:
        """The server copies it."""
        import obstore

        with _translated():
            await obstore.copy_async(self._store, checked(name), checked(other))

    async def remove(self, names: Iterable[str]) -> None:
        import obstore

        paths = [checked(name) for name in names]
        if paths:
            with _translated(), suppress(FileNotFoundError):
                await obstore.delete_async(self._store, paths)

    async def orphans(self, age: float) -> AsyncIterator[Collection[str]]:
        import obstore

        moment = time.time() - age
        await asyncio.to_thread(_clear, self._spool, moment)
        await self._abort_uploads(moment)
        with _translated():
            async for objects in obstore.list(self._store, chunk_size=_PAGE):
                old = (each["path"] for each in objects if each["last_modified"].timestamp() < moment)
                yield [name for name in old if is_name(name)]

    async def _abort_uploads(self, moment: float) -> None:
        """Those of processes that were killed. Not every server that speaks S3 lists them."""
        try:
            await asyncio.to_thread(self._uploads.abort, f"{self._prefix}/" if self._prefix else "", moment)
        except (OSError, ValueError) as error:
            log.warning("uploads that nobody ended were not looked for", url=self.url, error=str(error))

    async def check(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._try()
        except TimeoutError:
            raise BlobsUnusable(_in_words(self.url, "it does not answer")) from None
        except Unreachable as error:
            raise BlobsUnusable(_in_words(self.url, str(error))) from error

    async def reach(self) -> None:
        import obstore

        with _translated():
            await obstore.list_with_delimiter_async(self._store, _NOBODY)

    async def _try(self) -> None:
        """Who dies in the middle leaves an orphan."""
        import obstore

        await self.reach()
        name = f"{_NOBODY}-{secrets.token_hex(8)}"
        with _translated():
            await obstore.put_async(self._store, name, b"")
        await self.remove([name])

    async def _get(self, name: str) -> "GetResult":
        import obstore

        with _translated():
            return await obstore.get_async(self._store, checked(name))


class IncomingObject(GatheredBlob):
    """A blob that is being written. What is smaller than a part is sent when it is kept."""

    def __init__(self, store: "S3Store", name: str) -> None:
        import obstore

        super().__init__(name)
        self._writer = obstore.open_writer_async(store, name, buffer_size=_PART, max_concurrency=_PARTS)
        self._kept = False

    async def keep(self) -> None:
        with _translated():
            await self._writer.close()
        self._kept = True

    async def drop(self) -> None:
        """Parts that have arrived are removed."""
        if self._kept:
            return
        with suppress(Exception):  # it is swept when it is old
            await self._writer.flush()
            await self._writer.__aexit__(_Dropped, _Dropped(), None)

    async def _put(self, chunks: Sequence[bytes]) -> None:
        await asyncio.to_thread(self._hash, chunks)
        with _translated():
            for chunk in chunks:
                await self._writer.write(chunk)

    async def _settle(self) -> None:
        """It is when it is kept."""


class OpenedObject:
    """The answer to a request for an object, whose body is yet to come."""

    def __init__(self, found: "GetResult") -> None:
        self._found = found
        self.size: int = found.meta["size"]

    async def pieces(self) -> AsyncIterator[bytes]:
        with _translated():
            async for piece in self._found.stream(min_chunk_size=PIECE):
                yield bytes(piece)


class _Dropped(Exception):
    """What tells a writer that its object is not wanted."""


@functools.cache
def _end_in_peace() -> None:
    """A thread of obstore that lets go of an answer while the interpreter ends aborts the process: at an end
    that follows a call at once, one of ten. So they have a moment before."""
    atexit.register(time.sleep, _MOMENT)


def _opened(url: str) -> "S3Store":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise BlobsUnusable(f"{url} needs `pip install 'antiphon[s3]'`.") from None
    _end_in_peace()
    try:
        return S3Store.from_url(
            url,
            client_options={
                "allow_http": True,  # where the endpoint that the operator named has no TLS
                "connect_timeout": _CONNECT,
                "read_timeout": _SILENCE,
                "timeout": _WHOLE,
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )
    except (BaseError, ValueError) as error:
        raise BlobsUnusable(f"{url} is not the URL of a bucket: {_brief(error)}.") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Raises Unreachable for what is wrong with the bucket or the way to it."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:  # OSError: from a writer
        raise Unreachable(_brief(error)) from None


def _brief(error: Exception) -> str:
    """Without its source, which repeats it at length."""
    return " ".join(str(error).partition("Debug source")[0].split()).rstrip(".")


def _in_words(url: str, reason: str) -> str:
    """What the operator has to do about it, as far as it can be told."""
    bucket = url.removeprefix("s3://").partition("/")[0]
    if "NoSuchBucket" in reason:
        return f"There is no bucket '{bucket}': make it, or look at AWS_ENDPOINT_URL and AWS_REGION."
    if not os.environ.get("AWS_ACCESS_KEY_ID"):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless a role of this machine has them"
        return f"{url} cannot be reached; {hint}: {reason}."
    if any(code in reason for code in ("403 Forbidden", "401 Unauthorized")):
        return f"AWS_ACCESS_KEY_ID may not list, read and write {url}: {reason}."
    return f"{url} cannot be reached: {reason}."


def _clear(spool: Path, moment: float) -> None:
    """Files that processes have left that were killed."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(spool):
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime < moment:
                    os.unlink(entry)
