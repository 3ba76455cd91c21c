"""The commands `antiphon migrate` and `antiphon copy`: the store brought up to date, and in another home."""

import asyncio
import base64
import os
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from antiphon import config, serving
from antiphon.cli.options import ConfigFile, DataDir, fail
from antiphon.cli.stores import opened, with_store
from antiphon.store.open import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiphon.store.blobs import Blobs
    from antiphon.store.store import Store


def migrate(data_dir: DataDir = None, config_file: ConfigFile = None) -> None:
    """Brings the database of the store up to date, as a server does that starts."""
    settings = config.load(config_file, data_dir=data_dir)
    with_store(settings, lambda store: store.reach())
    print(f"{without_secrets(settings.store_url)} is up to date.")


def copy(
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="The store to copy. [the file in --data-dir]")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Where it goes. [url of [store]]")
    ] = None,
    blobs_source: Annotated[
        str | None,
        typer.Option("--blobs-from", metavar="URL", help="Its blobs. [the folder in --data-dir]"),
    ] = None,
    blobs_target: Annotated[
        str | None, typer.Option("--blobs-to", metavar="URL", help="Where they go. [url of [blobs]]")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Copies all that is kept to another home. Stop all servers first. If it is interrupted, run it
    again."""
    settings = config.load(config_file, data_dir=data_dir)
    folder = Path(settings.data_dir)
    moved = _Move(
        settings=settings,
        source=source or f"sqlite:///{folder / 'antiphon.db'}",
        target=target or settings.store_url,
        blobs_source=blobs_source or f"file://{folder.absolute() / 'files'}",
        blobs_target=blobs_target or settings.blobs.url or f"file://{folder.absolute() / 'files'}",
    )
    moved.check()
    asyncio.run(moved.carry_out())
    _say_seal(settings)


class _Move:
    """A store on its way to another home, and its blobs on theirs."""

    def __init__(
        self, settings: config.Config, source: str, target: str, blobs_source: str, blobs_target: str
    ) -> None:
        self._settings = settings
        self._source, self._target = source, target
        self._blobs_source, self._blobs_target = blobs_source, blobs_target

    def check(self) -> None:
        """Fails where there is nothing to do."""
        if (self._source, self._blobs_source) == (self._target, self._blobs_target):
            fail("Where to? Say --to or --blobs-to, or set url of [store] or [blobs].")
        if self._source.startswith("sqlite:///") and not Path(self._source[len("sqlite:///") :]).exists():
            fail(f"There is no store {self._source}.")

    async def carry_out(self) -> None:
        async with _store(self._settings, self._source) as source:
            if self._blobs_source != self._blobs_target:
                await self._copy_blobs(source)
            if self._source != self._target:
                async with _store(self._settings, self._target) as target:
                    await self._copy_rows(source, target)

    async def _copy_blobs(self, store: "Store") -> None:
        from antiphon.cli.progress import bar
        from antiphon.store import copying

        with serving.data_in_words(self._settings):
            blobs, others = self._opened(self._blobs_source), self._opened(self._blobs_target)
            await others.check()
        with _in_words(), bar("blobs", await store.files.count_blobs()) as done:
            copied = await copying.copy_blobs(store, blobs, others, done)
        print(f"{copied.there} blobs are in {self._blobs_target}.")
        if copied.missing:
            print(f"{copied.missing} have rows, but no bytes in {self._blobs_source}: they were gone before.")

    async def _copy_rows(self, source: "Store", target: "Store") -> None:
        from antiphon.cli.progress import bar
        from antiphon.store import copying

        with _in_words():
            rows = await copying.count_rows(source)
            with bar("rows", rows) as done:
                await copying.copy_rows(source, target, without_secrets(self._source), done)
        print(f"{rows} rows are in {without_secrets(self._target)}.")

    def _opened(self, url: str) -> "Blobs":
        from antiphon.store.open_blobs import open_blobs

        return open_blobs(url, Path(self._settings.data_dir))


def _store(settings: config.Config, url: str) -> "AbstractAsyncContextManager[Store]":
    listen_url = settings.store.listen_url if url == settings.store_url else None
    return opened(replace(settings, store=replace(settings.store, url=url, listen_url=listen_url)))


@contextmanager
def _in_words() -> "Iterator[None]":
    from antiphon.store.copying import NotCopied
    from antiphon.store.faults import Unreachable

    try:
        yield
    except NotCopied as error:
        fail(str(error))
    except (Unreachable, OSError) as error:
        fail(f"The copy is not whole: {error}. Given again, the command goes on where it was.")


def _say_seal(settings: config.Config) -> None:
    """What a copy of the store needs beside it: the key that sealed what is in it."""
    file = Path(settings.data_dir) / "sealing.key"
    name = settings.store.sealing_key_env
    if not file.exists():
        return
    given = os.environ.get(name or "", "").strip()
    if given == base64.b64encode(file.read_bytes()).decode():
        return
    print(
        f"The sealing key is in {file}. On every server, set the variable {name or 'SEALING_KEY'} to what "
        f"`base64 {file}` shows, and sealing_key_env of [store] to its name: with another key nobody opens "
        "background responses that wait, nor reasoning that clients carry."
    )
