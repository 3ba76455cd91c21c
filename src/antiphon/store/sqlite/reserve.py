"""Room that is kept back on a disk that becomes full, so that what is there can still be deleted.

SQLite writes also to delete: first to the log beside the database, which has no room to grow on a full disk.
So as soon as room is scarce a file is kept beside the database that holds nothing. When there is no room at
all it makes way, the log is brought into the database, and what would not make the database larger is done
after all: to delete, and to write where something was deleted.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from antiphon.store.faults import StorageFault, storage_fault

SIZE = 24 * 2**20
"""More than the log grows to (`wal_autocheckpoint`): all of it may have to go into the database."""
_SCARCE = 2**30
"""With more than this there is no need for a reserve."""
_REST = 4 * 2**20
"""What a reserve leaves free when it is made."""
_LOOK_SECONDS = 0.5
"""How often it is looked whether room is scarce: no disk writes all that `_SCARCE` leaves in this time."""


class Job(Protocol):
    """Something to write."""

    error: Exception | None

    def run(self, db: sqlite3.Connection) -> None:
        """Within a transaction."""


class _Larger(Exception):
    """It would make the database larger."""


class Reserve:
    """The file that makes way, beside the database of a connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._path = Path(f"{db.execute('PRAGMA database_list').fetchone()[2]}-reserve")
        self._looked = float("-inf")

    def keep(self) -> None:
        """Makes it, if room is scarce and it is not there."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        if not self._path.exists() and SIZE + _REST <= self._free() < _SCARCE:
            self._make(SIZE)

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _make(self, size: int) -> None:
        """Where another process takes the room, or makes the file, there is nothing left to do."""
        if sys.platform == "darwin":  # has no way to take room without writing
            return
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(file, 0, size)
            except OSError:
                self._path.unlink()
            finally:
                os.close(file)

    def write(self, db: sqlite3.Connection, jobs: Iterable[Job]) -> None:
        """Does what failed for want of room once more. What fails again keeps its error."""
        failed = [job for job in jobs if job.error and storage_fault(job.error) is StorageFault.FULL]
        if not failed or not self._path.exists():
            return
        self._path.unlink(missing_ok=True)
        _bring_in(db)
        for job in failed:
            with suppress(sqlite3.Error, _Larger):
                _write(db, job)
                job.error = None
        _bring_in(db)
        self._make(max(1, min(SIZE, self._free())))


def _bring_in(db: sqlite3.Connection) -> None:
    """The log goes into the database, and gives its room back."""
    with suppress(sqlite3.Error):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _write(db: sqlite3.Connection, job: Job) -> None:
    """Raises sqlite3.Error, or _Larger."""
    db.execute("BEGIN IMMEDIATE")
    try:
        before = _pages(db)
        job.run(db)
        if _pages(db) > before:
            raise _Larger
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _pages(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_count").fetchone()[0])
