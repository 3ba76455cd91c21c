"""Documents are put into a vector store: each once, however often the command is given."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from antiphon.cli.folders import Document, checksum
from antiphon.cli.installation import Installation
from antiphon.protocol.ids import new_vector_store_id
from antiphon.store.blobs import IncomingBlob
from antiphon.store.file_storage import About
from antiphon.store.vector_files import HeldFile, NewEntry
from antiphon.store.vector_stores import NewStore

Outcome = Literal["added", "replaced", "unchanged"]

_CHUNK = 1024 * 1024


class Adding:
    """Adds documents to one store. A file that has a document's name and content is that document; one that
    has its name alone is an older version of it, and goes out of the store."""

    def __init__(self, installation: Installation, project: str, store_id: str) -> None:
        self._files = installation.files
        self._entries = installation.store.vector_files
        self._usage = installation.store.usage
        self._project = project
        self._store_id = store_id
        self._there: dict[str, list[HeldFile]] = {}

    async def look(self) -> None:
        """Find out what is there."""
        for file in await self._entries.held(self._project, self._store_id):
            self._there.setdefault(file.filename, []).append(file)

    async def add(self, document: Document) -> Outcome:
        """Raises OSError when it cannot be read; TooMuchStored, TooManyFiles, Expired."""
        named = self._there.get(document.name, [])
        digest = await asyncio.to_thread(checksum, document.path)
        same = next((file for file in named if file.sha256 == digest), None)
        if same is None:
            await self._attach(await self._uploaded(document))
        elif _may_be_tried_again(same):
            await self._attach(same.id)
        others = [file for file in named if file is not same]
        for file in others:
            await self._entries.remove(self._project, self._store_id, file.id)
        if same is not None:
            return "unchanged"
        return "replaced" if others else "added"

    async def _attach(self, file_id: str) -> None:
        await self._entries.add(self._project, self._store_id, NewEntry(file_id))

    async def _uploaded(self, document: Document) -> str:
        size = document.path.stat().st_size
        await self._usage.check(self._project, size)
        async with self._files.incoming() as incoming:
            await _read_into(document.path, incoming)
            row = await self._files.add(self._project, incoming, About(document.name, "assistants"))
        return row.id


async def make_store(installation: Installation, project: str, name: str) -> str:
    """The id of a new store."""
    new = NewStore(
        id=new_vector_store_id(),
        name=name,
        description=None,
        metadata=b"{}",
        expires_days=None,
        embedder=installation.embedder.name,
    )
    return (await installation.store.vector_stores.create(project, new)).id


async def failed(
    installation: Installation, project: str, store_id: str, documents: Sequence[Document]
) -> list[HeldFile]:
    """Those of the documents that could not be indexed."""
    names = {document.name for document in documents}
    held = await installation.store.vector_files.held(project, store_id)
    return [file for file in held if file.filename in names and file.status == "failed"]


def _may_be_tried_again(file: HeldFile) -> bool:
    """A fault of the file stays, one of the server may have passed."""
    return file.status == "cancelled" or (file.status == "failed" and file.error_code == "server_error")


async def _read_into(path: Path, incoming: IncomingBlob) -> None:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            await incoming.write(chunk)
