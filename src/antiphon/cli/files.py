"""The commands `antiphon files`: documents of a folder to a vector store, what is there, other embedders."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, Project, fail
from antiphon.cli.tables import show

if TYPE_CHECKING:
    from antiphon.cli.folders import Document
    from antiphon.cli.installation import Installation
    from antiphon.store.files import FileRow
    from antiphon.store.vector_files import HeldFile

app = typer.Typer(help="Files, and vector stores of them.", no_args_is_help=True)

_LOOK = 0.2
"""Seconds between two looks at how far indexing is."""
_PAGE = 1000

StoreName = Annotated[str | None, typer.Option("--store", help="The name or id of a store.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, and folders of files.")],
    store: Annotated[
        str, typer.Option(help="The name or id of the store; it is made if there is none.", metavar="NAME")
    ],
    project: Project = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Puts documents into a vector store, and waits until they are indexed. What is there unchanged stays."""
    from antiphon.cli import installation

    settings = config.load(config_file, data_dir=data_dir)
    whose = installation.project_of(settings, project)
    documents = _documents(settings, paths)
    try:
        faults = installation.run(settings, partial(_add, project=whose, name=store, documents=documents))
    except KeyboardInterrupt:
        fail("Interrupted. What was added is indexed by the server, or when the command is given again.")
    if faults:
        raise SystemExit(1)


def _documents(settings: config.Config, paths: Sequence[Path]) -> "list[Document]":
    """What is to be added; what is not is reported. Fails when there is nothing."""
    from antiphon.cli.folders import Document, Rules, found

    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        fail(f"There is no {', no '.join(missing)}.")
    rules = Rules(all_files=settings.tools.file_search.all_files, most_bytes=settings.limits.file_bytes)
    documents: list[Document] = []
    for each in found(paths, rules):
        if isinstance(each, Document):
            documents.append(each)
        else:
            _report("skipped", str(each.path), each.why)
    if not documents:
        fail("There is nothing to add.")
    return documents


async def _add(installation: "Installation", project: str, name: str, documents: "Sequence[Document]") -> int:
    """How many documents could not be added or indexed."""
    from antiphon.cli import adding
    from antiphon.cli.progress import bar

    row = await installation.named(project, name)
    store_id = row.id if row is not None else await adding.make_store(installation, project, name)
    work = adding.Adding(installation, project, store_id)
    await work.look()
    counts = {"added": 0, "replaced": 0, "unchanged": 0, "failed": 0}
    with bar("Adding", len(documents)) as done:
        for number, document in enumerate(documents, 1):
            try:
                counts[await work.add(document)] += 1
            except OSError as error:
                counts["failed"] += 1
                _report("failed", str(document.path), f"cannot be read: {error.strerror}")
            done(number)
    await _index(installation, project, [store_id])
    for file in await adding.failed(installation, project, store_id, documents):
        counts["failed"] += 1
        _report("failed", file.filename, file.error_message or "")
    said = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"{name} ({store_id}): {said}")
    return counts["failed"]


async def _index(installation: "Installation", project: str, store_ids: Sequence[str]) -> None:
    """Returns when nothing of these stores is to be indexed any more: here, or by a server that runs."""
    from antiphon.cli.progress import bar

    waiting = total = await _waiting(installation, project, store_ids)
    async with installation.jobs.running():
        with bar("Indexing", total) as done:
            while waiting:
                await asyncio.sleep(_LOOK)
                waiting = await _waiting(installation, project, store_ids)
                done(total - waiting)


async def _waiting(installation: "Installation", project: str, store_ids: Sequence[str]) -> int:
    rows = [await installation.store.vector_stores.get(project, store_id) for store_id in store_ids]
    return sum(row.counts.in_progress for row in rows if row is not None)


@app.command("list")
def list_files(
    store: StoreName = None,
    as_json: AsJson = False,
    project: Project = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """The files of a project, or those of a store and how far they are indexed."""
    from antiphon.cli import installation

    settings = config.load(config_file, data_dir=data_dir)
    whose = installation.project_of(settings, project)
    if store is None:
        rows = installation.run(settings, partial(_all, project=whose))
        lines = [_file_cells(row) for row in rows]
        titles = ["created", "bytes", "file", "name"]
    else:
        held = installation.run(settings, partial(_held, project=whose, name=store))
        lines = [_held_cells(file) for file in held]
        titles = ["status", "bytes", "file", "name", "last error"]
    show(titles, lines, as_json)


async def _all(installation: "Installation", project: str) -> "Sequence[FileRow]":
    from antiphon.store.paging import PageQuery

    rows: list[FileRow] = []
    while True:
        after = rows[-1].id if rows else None
        page = await installation.files.files(project, PageQuery(_PAGE, "asc", after), None)
        rows += page.rows
        if not page.more:
            return rows


async def _held(installation: "Installation", project: str, name: str) -> "Sequence[HeldFile]":
    row = await installation.one(project, name)
    return await installation.store.vector_files.held(project, row.id)


def _file_cells(row: "FileRow") -> list[str | int | None]:
    created = datetime.fromtimestamp(row.created_at).strftime("%Y-%m-%d %H:%M:%S")
    return [created, row.size, row.id, row.filename]


def _held_cells(file: "HeldFile") -> list[str | int | None]:
    return [file.status, file.size, file.id, file.filename, file.error_message]


@app.command()
def reindex(
    store: Annotated[
        str | None, typer.Argument(metavar="[STORE]", help="The name or id of a store. [all stores]")
    ] = None,
    project: Project = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Makes the vectors anew of stores that another embedder has made than the one that is configured."""
    from antiphon.cli import installation

    settings = config.load(config_file, data_dir=data_dir)
    if store is not None or project is not None:
        projects: Sequence[str] = [installation.project_of(settings, project)]
    else:
        projects = installation.projects_of(settings)
    try:
        for whose in projects:
            installation.run(settings, partial(_reindex, project=whose, name=store))
    except KeyboardInterrupt:
        fail("Interrupted. The rest is indexed by the server, or when the command is given again.")


async def _reindex(installation: "Installation", project: str, name: str | None) -> None:
    chosen = None if name is None else (await installation.one(project, name)).id
    stores = [row.id for row in await installation.stores(project)] if chosen is None else [chosen]
    embedder = installation.embedder.name
    count = await installation.store.vector_stores.reindex(embedder, project, chosen)
    await _index(installation, project, stores)
    if count:
        print(f"{project}: {count} files are indexed with {embedder}")
    else:
        print(f"{project}: nothing to do, all is indexed with {embedder}")


def _report(what: str, name: str, why: str) -> None:
    """A line about a file, for people. What no terminal can show of its name is escaped."""
    shown = name.encode("utf-8", "backslashreplace").decode()
    print(f"{what}  {shown}: {why}", file=sys.stderr)
