"""The homes of blobs. A new one is one more entry of `BLOB_HOMES`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.s3 import shared_s3

from antiphon.store.blobs import Blobs
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.s3_blobs import S3Blobs


class BlobHome(Protocol):
    """A place of its own for one test, empty at first."""

    def open(self) -> Blobs:
        """The blobs that lie here, as one process has them."""
        ...

    def there(self) -> set[str]:
        """The names of all that lies here, whole or not."""
        ...

    def leave(self, whole: str, half: str) -> None:
        """What a process leaves that dies with a blob whose row it had no time to write, and with half of
        another."""
        ...

    def age(self, seconds: float) -> None:
        """All of it is older by so much."""
        ...


class FolderHome:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "files"

    def open(self) -> Blobs:
        return FolderBlobs(self.folder)

    def there(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*") if path.is_file()}

    def leave(self, whole: str, half: str) -> None:
        for place in (self.folder / whole[-2:].lower() / whole, self.folder / "arriving" / half):
            place.parent.mkdir(exist_ok=True, parents=True)
            place.write_bytes(b"x")

    def age(self, seconds: float) -> None:
        for path in self.folder.rglob("*"):
            os.utime(path, (0, path.stat().st_mtime - seconds))


class S3Home:
    def __init__(self, folder: Path) -> None:
        self.s3 = shared_s3()
        self.url = self.s3.bucket()
        self._spool = folder / "spool"

    def open(self) -> Blobs:
        return S3Blobs(self.url, self._spool)

    def there(self) -> set[str]:
        return self.s3.names(self.url) | self.s3.incomplete(self.url)

    def leave(self, whole: str, half: str) -> None:
        self.s3.put(self.url, whole)
        self.s3.begin(self.url, half)

    def age(self, seconds: float) -> None:
        self.s3.age(self.url, seconds)


BLOB_HOMES: dict[str, Callable[[Path], BlobHome]] = {"folder": FolderHome, "s3": S3Home}
