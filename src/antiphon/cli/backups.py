"""The commands `antiphon backup`, `restore` and `check`: what is kept, in a file, back again, and whole."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from antiphon import config, serving
from antiphon.cli.options import ConfigFile, DataDir, fail
from antiphon.cli.stores import opened

if TYPE_CHECKING:
    from antiphon.context.seal import Seal
    from antiphon.store.backups import Installed
    from antiphon.store.blobs import Blobs
    from antiphon.store.store import Store
    from antiphon.store.wholeness import Count, Opens

NewFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="A tar, which this user alone can read.")
]
File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="One that `antiphon backup` wrote.")]


def backup(file: NewFile, data_dir: DataDir = None, config_file: ConfigFile = None) -> None:
    """Writes all that is kept to a file, as it is at one moment. Servers go on meanwhile."""
    from antiphon.cli.progress import counter
    from antiphon.store import backups

    settings = config.load(config_file, data_dir=data_dir)
    installed = _installed(settings)
    _check_there(settings)
    with _in_words(settings, file), counter("blobs") as done:
        about = asyncio.run(backups.write(installed, file, done))
    print(f"{file} has the store and {about.blobs} blobs, as they were at {_said(about.created_at)}.")
    if about.lost:
        print(f"{about.lost} blobs have rows, but no bytes: they were gone before. See `antiphon check`.")
    if installed.key is None:
        print(f"The sealing key is not in it: keep what {settings.store.sealing_key_env} holds.")


def restore(file: File, data_dir: DataDir = None, config_file: ConfigFile = None) -> None:
    """Puts a backup where nothing is kept yet, and checks it. If it is interrupted, run it again."""
    from antiphon.cli.progress import counter
    from antiphon.store import backups

    settings = config.load(config_file, data_dir=data_dir)
    installed = _installed(settings)
    with _in_words(settings, file), counter("blobs") as done:
        about = asyncio.run(backups.restore(file, installed, done))
    print(f"What was kept at {_said(about.created_at)} is in {installed.database}, with {about.blobs} blobs.")
    if not asyncio.run(_checked(settings, contents=True)):
        raise SystemExit(1)


def check(
    contents: Annotated[
        bool, typer.Option("--contents", help="Read every file, too, and compare it with its SHA-256.")
    ] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Looks whether all that is kept is whole: after a restore, or at any time. Exit code 1 when it is
    not."""
    settings = config.load(config_file, data_dir=data_dir)
    if not settings.store.is_shared:
        _check_there(settings)
    if not asyncio.run(_checked(settings, contents=contents)):
        raise SystemExit(1)


# ---- what is backed up ------------------------------------------------------------------------------


def _installed(settings: config.Config) -> "Installed":
    """Fails where the database has tools of its own."""
    from antiphon.store.backups import Installed

    if settings.store.is_shared:
        fail(
            "PostgreSQL has tools of its own for this, and so has a bucket: docs/backup.md says in which "
            "order to use them. `antiphon check` looks whether what was restored is whole."
        )
    with serving.data_in_words(settings):
        blobs = _blobs(settings)
    key = None if settings.store.sealing_key_env else Path(settings.data_dir) / "sealing.key"
    return Installed(_database(settings), key, blobs)


def _check_there(settings: config.Config) -> None:
    """A check of nothing would make a store."""
    if not _database(settings).exists():
        fail(f"There is no store {settings.store_url}: nothing is kept here yet.")


def _database(settings: config.Config) -> Path:
    return Path(settings.store_url.removeprefix("sqlite:///"))


def _blobs(settings: config.Config) -> "Blobs":
    from antiphon.store.open_blobs import open_blobs

    return open_blobs(settings.blobs.url, Path(settings.data_dir))


@contextmanager
def _in_words(settings: config.Config, file: Path) -> Iterator[None]:
    from antiphon.store.backups import BackupError
    from antiphon.store.blobs import BlobsUnusable
    from antiphon.store.errors import Incompatible

    try:
        yield
    except (BackupError, BlobsUnusable) as error:
        fail(str(error))
    except Incompatible as error:
        fail(f"{file} cannot be restored. {error}")
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        named = getattr(error, "filename", None) or file
        fail(f"It could not be done: {named}: {reason}. The data is in {settings.data_dir}.")


def _said(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


# ---- what is checked --------------------------------------------------------------------------------


async def _checked(settings: config.Config, *, contents: bool) -> bool:
    """Whether everything is whole."""
    from antiphon.api.seal_setup import seal_of
    from antiphon.store.copying import check_whole
    from antiphon.store.open import without_secrets

    with serving.data_in_words(settings):
        seal, blobs = seal_of(settings), _blobs(settings)
        await blobs.check()
    async with opened(settings, blobs) as store:
        with serving.data_in_words(settings):
            await check_whole(store, f"The store {without_secrets(settings.store_url)}")
            well = True
            async for words, count in _counts(store, blobs, seal, contents=contents):
                well = well and not count.wrong
                _tell(words, count)
    return well


async def _counts(
    store: "Store", blobs: "Blobs", seal: "Seal", *, contents: bool
) -> "AsyncIterator[tuple[str, Count]]":
    """What is looked at, and what is wrong with those that are."""
    from antiphon.engine.prepare import run_request
    from antiphon.store import wholeness
    from antiphon.webhooks import stored

    yield "tables", await wholeness.tables(store)
    yield "blobs", await wholeness.blobs(store, blobs)
    if contents:
        yield "contents", await wholeness.contents(store, blobs)
    yield "responses", await wholeness.responses(store)
    opens_run, opens_secret = _opens(seal, run_request.KIND), _opens(seal, stored.KIND)
    yield "secrets", await wholeness.sealed(store, opens_run, opens_secret)


def _opens(seal: "Seal", kind: str) -> "Opens":
    return lambda project, text: seal.open(project, kind, text) is not None


_WRONG = {
    "tables": "faults in {wrong} places",
    "blobs": "{wrong} of {looked_at} that rows name are missing",
    "contents": "{wrong} of {looked_at} have other bytes than came in, or cannot be read",
    "responses": "{wrong} of {looked_at} cannot be read whole",
    "secrets": "{wrong} of {looked_at} were sealed with another key than the one here",
}


def _tell(what: str, count: "Count") -> None:
    if not count.wrong:
        print(f"ok      {what}: {count.looked_at}, all whole")
        return
    print(f"FAILED  {what}: {_WRONG[what].format(wrong=count.wrong, looked_at=count.looked_at)}")
    for example in count.examples:
        print(f"        {example}")
