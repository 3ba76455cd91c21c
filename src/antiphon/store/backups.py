"""Backups of an embedded store: its file as it was at one moment, and its blobs, in one tar.

    files/NAME      each blob
    antiphon.db     the database, as it was at one moment
    sealing.key     unless the key comes from the environment
    backup.json     what this is; last, so that a tar which was cut off has none

Servers go on meanwhile. A blob's bytes never change, come before their row, and go behind it. So a blob that
a snapshot of the database names and that is not there any more was deleted since: the next snapshot does not
name it. What two snapshots name, before and after, and is not there, was lost before.
"""

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from msgspec import DecodeError, Struct, json

from antiphon import __version__
from antiphon.store.blobs import Blobs, is_name
from antiphon.store.sqlite.connection import connect_reader
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.sqlite.process_lock import ProcessLock
from antiphon.store.sqlite.schema import prepare

FORMAT: Final = 1
_DATABASE: Final = "antiphon.db"
_KEY: Final = "sealing.key"
_ABOUT: Final = "backup.json"
_BLOBS: Final = "files/"
_DRAFTS: Final = ".antiphon-backup-"
_DRAFT: Final = "backup.tar"
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite has beside a database, and takes for its own wherever it finds it."""
_CHUNK = 2**20
_SMALL = 2**20
"""Bytes that members besides blobs and the database have at most."""

Progress = Callable[[int], None]
"""Called with how many blobs are done."""


class BackupError(Exception):
    """A backup cannot be made, or not be restored; the message says why."""


class _Format(Struct, frozen=True):
    """What every later form of `About` begins with."""

    format: int


class About(Struct, frozen=True, kw_only=True):
    """What a backup is."""

    format: int = FORMAT
    antiphon: str = __version__
    created_at: int
    """Seconds since the epoch: when its database was as it is there."""
    blobs: int
    lost: int
    """Blobs that rows name, and that were not there any more."""


class Installed(Struct, frozen=True):
    """What is backed up, or where it is restored to."""

    database: Path
    key: Path | None
    """The file of the sealing key; None: it comes from the environment."""
    blobs: Blobs


# ---- written ----------------------------------------------------------------------------------------


async def write(installed: Installed, target: Path, progress: Progress) -> About:
    """Raises BackupError for a file that is there already, OSError, sqlite3.Error."""
    with _draft_of(target) as draft:
        with _tar_at(draft) as tar:
            about = await _Writing(installed, tar, draft.with_name(_DATABASE), progress).run()
        _keep(draft, target)
    return about


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """In a folder that nobody else can look into, on the same disk."""
    if target.exists():
        raise BackupError(f"{target} is there already: take another name, or remove it.")
    if not target.absolute().parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}.")
    beside = target.absolute().parent
    _remove_left(beside)
    with TemporaryDirectory(prefix=_DRAFTS, dir=beside) as folder, _locked(Path(folder)):
        yield Path(folder) / _DRAFT


def _remove_left(beside: Path) -> None:
    """What backups left that were killed. One that goes on has the lock of its folder; one with anything else
    in it is somebody's."""
    for draft in beside.glob(f"{_DRAFTS}*/{_DATABASE}"):
        folder = draft.parent
        with suppress(OSError), _locked(folder) as locked:
            if locked and all(path.name.startswith((_DATABASE, _DRAFT, _ABOUT)) for path in folder.iterdir()):
                shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether it is: another process may have it, or the disk have no locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:
        locked = False
    try:
        yield locked
    finally:
        os.close(descriptor)


@contextmanager
def _tar_at(path: Path) -> Iterator[tarfile.TarFile]:
    """Durable when the block ends well."""
    with open(path, "xb", opener=_private) as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            yield tar
        file.flush()
        os.fsync(file.fileno())


class _Writing:
    """A tar that is being written. `snapshot` is where the database is put meanwhile."""

    def __init__(
        self, installed: Installed, tar: tarfile.TarFile, snapshot: Path, progress: Progress
    ) -> None:
        self._installed = installed
        self._tar = tar
        self._snapshot = snapshot
        self._progress = progress
        self._written: set[str] = set()

    async def run(self) -> About:
        created_at, lost = await self._add_blobs()
        await asyncio.to_thread(self._add, _DATABASE, self._snapshot)
        if self._installed.key is not None and self._installed.key.exists():
            self._add(_KEY, self._installed.key)
        about = About(created_at=created_at, blobs=len(self._written), lost=lost)
        told = self._snapshot.with_name(_ABOUT)
        told.write_bytes(json.format(json.encode(about)) + b"\n")
        self._add(_ABOUT, told)
        return about

    async def _add_blobs(self) -> tuple[int, int]:
        """Leaves the snapshot that names what was added. Gives when that was taken, and how many are lost."""
        missing: set[str] = set()
        while True:
            before, missing, moment = missing, set(), int(time.time())
            await asyncio.to_thread(_take_snapshot, self._installed.database, self._snapshot)
            async for name in _named(self._snapshot):
                if name not in self._written and not await self._add_blob(name):
                    missing.add(name)
            if missing <= before:
                return moment, len(missing)

    async def _add_blob(self, name: str) -> bool:
        """False: there is none."""
        try:
            async with self._installed.blobs.as_file(name) as path:
                await asyncio.to_thread(self._add, f"{_BLOBS}{name}", path)
        except FileNotFoundError:
            return False
        self._written.add(name)
        self._progress(len(self._written))
        return True

    def _add(self, name: str, path: Path) -> None:
        """What is opened is whole, also where somebody removes it meanwhile."""
        with path.open("rb") as file:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = os.fstat(file.fileno()).st_size, int(time.time()), 0o600
            self._tar.addfile(member, file)


def _take_snapshot(database: Path, snapshot: Path) -> None:
    """All pages in one step: readers of a WAL see one state, and keep no writer waiting."""
    snapshot.unlink(missing_ok=True)
    with closing(connect_reader(database)) as source, closing(sqlite3.connect(snapshot)) as copy:
        source.backup(copy)


async def _named(snapshot: Path) -> AsyncIterator[str]:
    """The blobs that rows of a snapshot name. It is brought up to date, which the database itself is not, and
    nobody holds a lease in it any more."""
    store, after = await open_sqlite(snapshot), ""
    try:
        while names := await store.files.blobs(after):
            for name in names:
                yield name
            after = names[-1]
    finally:
        await store.close()


def _keep(draft: Path, target: Path) -> None:
    """Under its name. Raises BackupError when somebody else took that meanwhile."""
    try:
        _name(draft, target)
    except FileExistsError as error:
        raise BackupError(f"{target} is there already: take another name, or remove it.") from error


def _name(draft: Path, target: Path) -> None:
    """Raises FileExistsError, however late somebody took the name."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # the disk knows no links
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        draft.rename(target)
    else:
        draft.unlink()


# ---- restored ---------------------------------------------------------------------------------------


async def restore(source: Path, installed: Installed, progress: Progress) -> About:
    """Puts a backup where nothing is yet. Killed, it is given again: the database comes last.

    Raises BackupError, Incompatible, OSError, sqlite3.Error.
    """
    with _opened(source) as backup:
        about = backup.about()
        _check_empty(backup, installed)
        with _alone(installed.database):
            await _put(backup, installed, progress)
    return about


async def _put(backup: "_Backup", installed: Installed, progress: Progress) -> None:
    await installed.blobs.check()
    draft = _draft(installed.database)
    await asyncio.to_thread(_take_database, backup, draft)
    await _take_blobs(backup, installed.blobs, progress)
    _check_free(installed.database)
    if installed.key is not None and _KEY in backup.members:
        _put_key(installed.key, backup.read(_KEY))
    try:
        _name(draft, installed.database)
    except FileExistsError:
        raise _there_is(installed.database) from None


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """No other restoring writes the same draft, and a server that starts waits until the block is left."""
    lock = ProcessLock(database)
    try:
        if not lock.take():
            raise BackupError(f"{database} is in use: a server runs, or a backup is being restored there.")
        yield
    finally:
        lock.release()


class _Backup:
    """A backup that is read. Members are asked for by name: nothing is written where a tar says, and no more
    than it has: a sparse member claims what it likes, and `write` makes none."""

    def __init__(self, source: Path, tar: tarfile.TarFile) -> None:
        self.source = source
        self._tar = tar
        files = (member for member in tar.getmembers() if member.isreg() and not member.issparse())
        self.members = {member.name: member for member in files}

    def open(self, name: str) -> IO[bytes]:
        file = self._tar.extractfile(self.members[name])
        assert file is not None, "members are files"
        return file

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read(_SMALL)

    def blobs(self) -> Iterator[str]:
        for path in self.members:
            name = path.removeprefix(_BLOBS)
            if path.startswith(_BLOBS) and is_name(name):
                yield name

    def about(self) -> About:
        """Raises BackupError."""
        try:
            form = json.decode(self.read(_ABOUT), type=_Format).format
            if form > FORMAT:
                raise BackupError(f"{self.source} has format {form}, from a newer version of Antiphon.")
            self.members[_DATABASE]
            return json.decode(self.read(_ABOUT), type=About)
        except (KeyError, DecodeError) as error:
            raise BackupError(
                f"{self.source} is not a whole backup: it was cut off, or `antiphon backup` did not make it."
            ) from error


@contextmanager
def _opened(source: Path) -> Iterator[_Backup]:
    try:
        with tarfile.open(source, "r:") as tar:
            yield _Backup(source, tar)
    except tarfile.TarError as error:
        raise BackupError(f"{source} is not a whole backup: {error}.") from error


def _check_empty(backup: _Backup, installed: Installed) -> None:
    _check_free(installed.database)
    key = installed.key
    if key is not None and key.exists() and _KEY in backup.members:
        _check_same(key, backup.read(_KEY))
    installed.database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _check_free(database: Path) -> None:
    """A WAL without its database is what a kill, and somebody who moves the database alone, leave: whoever
    opens another one beside it replays it there."""
    if database.exists():
        raise _there_is(database)
    left = [str(path) for path in _beside(database) if path.exists()]
    if left:
        raise BackupError(
            f"There is a part of another store: {', '.join(left)}. It would be mixed into what is restored: "
            "move it to where its database is, or use another --data-dir."
        )


def _there_is(database: Path) -> BackupError:
    return BackupError(
        f"There is a store already: {database}. A backup is restored where there is none: use another "
        "--data-dir, or stop the server and move the old one away."
    )


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.restoring")


def _beside(database: Path) -> list[Path]:
    return [database.with_name(f"{database.name}{end}") for end in _BESIDE]


def _take_database(backup: _Backup, draft: Path) -> None:
    """Written, looked through, and brought up to date."""
    for path in (draft, *_beside(draft)):
        path.unlink(missing_ok=True)
    with backup.open(_DATABASE) as file, open(draft, "xb", opener=_private) as out:
        shutil.copyfileobj(file, out, _CHUNK)
    with closing(sqlite3.connect(draft)) as db:
        ((said,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise BackupError(f"The database in {backup.source} is damaged: {said}.")
    prepare(draft).close()
    with draft.open("rb") as written:
        os.fsync(written.fileno())


async def _take_blobs(backup: _Backup, blobs: Blobs, progress: Progress) -> None:
    """One that is there already came with a restoring that was broken off, and is whole."""
    for done, name in enumerate(backup.blobs(), 1):
        if not await blobs.has(name):
            await _take_blob(backup, blobs, name)
        progress(done)


async def _take_blob(backup: _Backup, blobs: Blobs, name: str) -> None:
    with backup.open(f"{_BLOBS}{name}") as file:
        async with blobs.incoming(name) as incoming:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await incoming.write(chunk)
            await incoming.finish()
            await incoming.keep()


def _put_key(path: Path, key: bytes) -> None:
    """Whole, or not at all."""
    draft = _draft(path)
    draft.unlink(missing_ok=True)
    with open(draft, "xb", opener=_private) as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        _name(draft, path)
    except FileExistsError:
        draft.unlink()
        _check_same(path, key)


def _check_same(path: Path, key: bytes) -> None:
    if path.read_bytes() != key:
        raise BackupError(f"{path} is another sealing key than that of the backup: move it away.")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
