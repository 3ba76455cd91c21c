"""Containers and skills whole: their rows and their bytes.

As with files (`file_storage`) bytes come first and the row last, and a row goes before its bytes do. What a
crash leaves is found by the sweep of files, which share the folder.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from antiphon.protocol.ids import new_blob_name, new_container_file_id
from antiphon.store.blobs import Blobs, IncomingBlob, OpenedBlob, pieces
from antiphon.store.bundles import Bundle
from antiphon.store.container_files import ContainerFileRow, Source
from antiphon.store.containers import ContainerRow, NewContainerRow
from antiphon.store.errors import StoreError
from antiphon.store.files import FileRow
from antiphon.store.skills import NewVersion, SkillRow, VersionRow
from antiphon.store.store import Store


class ContainerStorage:
    """The containers and skills of all projects. What is not there is None, or False."""

    def __init__(self, store: Store, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.blobs = blobs
        self._clock = clock

    # ---- containers ----

    async def create(self, project: str, new: NewContainerRow) -> ContainerRow:
        """Raises AlreadyExists, UnknownBundle."""
        bundles = [skill.bundle for skill in new.skills]
        async with self._or_gone([file.blob for file in new.files], bundles):
            row = await self.store.containers.create(project, new)
        await self._drop_doubles(project, bundles)
        return row

    async def delete(self, project: str, container_id: str) -> bool:
        return await self._cleared(await self.store.containers.delete(project, container_id))

    async def sweep(self) -> None:
        """Take out what is in containers that have expired."""
        while await self._cleared(await self.store.containers.sweep()):
            pass

    # ---- their files ----

    def incoming(self) -> AbstractAsyncContextManager[IncomingBlob]:
        """Takes in the bytes of a file, or of a zip."""
        return self.blobs.incoming(new_blob_name())

    async def arrived(
        self, incoming: IncomingBlob, path: str, source: Source, file_id: str | None = None
    ) -> ContainerFileRow:
        """The row of a file whose bytes have their place now."""
        blob = await incoming.finish()
        await incoming.keep()
        return self._row(path, source, blob.size, blob.sha256, incoming.name, file_id)

    async def copied(self, file: FileRow, path: str) -> ContainerFileRow | None:
        """The row of a file that has the same bytes as one of the project's. None: it is gone."""
        name = new_blob_name()
        try:
            await self.blobs.duplicate(file.id, name)
        except FileNotFoundError:
            return None
        return self._row(path, "user", file.size, file.sha256, name, None)

    async def put(self, project: str, container_id: str, row: ContainerFileRow) -> ContainerFileRow | None:
        """Into the container, in place of what has its path. Raises ExpiredContainer,
        TooManyContainerFiles."""
        async with self._or_gone([row.blob]):
            stored = await self.store.container_files.put(project, container_id, row)
        if stored is None:
            await self.blobs.remove([row.blob])
            return None
        if stored.replaced is not None:
            await self.blobs.remove([stored.replaced])
        return stored.row

    async def remove(self, project: str, container_id: str, file_id: str) -> bool:
        blob = await self.store.container_files.remove(project, container_id, file_id)
        return await self._cleared(None if blob is None else [blob])

    async def discard(self, rows: Iterable[ContainerFileRow]) -> None:
        """Rows that no container has after all."""
        await self.blobs.remove(row.blob for row in rows)

    async def open(self, name: str) -> OpenedBlob:
        """A blob that is read. Raises FileNotFoundError."""
        return await self.blobs.open(name)

    def as_file(self, name: str) -> AbstractAsyncContextManager[Path]:
        """A blob for who needs a path. Raises FileNotFoundError."""
        return self.blobs.as_file(name)

    def pieces(self, name: str) -> AsyncIterator[bytes]:
        """A blob, a piece at a time. Raises FileNotFoundError."""
        return pieces(self.blobs, name)

    # ---- skills ----

    async def bundled(self, data: bytes, sha256: bytes, name: str, description: str) -> Bundle:
        """A zip that has its place now."""
        async with self.incoming() as incoming:
            await incoming.write(data)
            await incoming.finish()
            await incoming.keep()
        return Bundle(sha256=sha256, size=len(data), blob=incoming.name, name=name, description=description)

    async def create_skill(self, project: str, skill_id: str, first: NewVersion) -> SkillRow:
        """Raises UnknownBundle."""
        async with self._or_gone([], [first.bundle]):
            row = await self.store.skills.create(project, skill_id, first)
        await self._drop_doubles(project, [first.bundle])
        return row

    async def add_version(self, project: str, skill_id: str, new: NewVersion) -> VersionRow | None:
        """Raises UnknownBundle."""
        async with self._or_gone([], [new.bundle]):
            row = await self.store.skills.add_version(project, skill_id, new)
        await self._drop_doubles(project, [new.bundle])
        return row

    async def delete_skill(self, project: str, skill_id: str) -> bool:
        return await self._cleared(await self.store.skills.delete(project, skill_id))

    async def delete_version(self, project: str, skill_id: str, number: int) -> bool:
        """Raises DefaultVersion."""
        return await self._cleared(await self.store.skills.delete_version(project, skill_id, number))

    # ---- what is over ----

    def _row(
        self, path: str, source: Source, size: int, sha256: bytes, blob: str, file_id: str | None
    ) -> ContainerFileRow:
        return ContainerFileRow(
            id=file_id or new_container_file_id(),
            path=path,
            created_at=int(self._clock()),
            size=size,
            source=source,
            sha256=sha256,
            blob=blob,
        )

    @asynccontextmanager
    async def _or_gone(self, blobs: Sequence[str], bundles: Sequence[Bundle] = ()) -> AsyncIterator[None]:
        """When the store refuses what the block asks for, these go. After any other fault nobody knows
        whether rows have them: the sweep finds out."""
        try:
            yield
        except StoreError:
            await self.blobs.remove([*blobs, *(bundle.blob for bundle in bundles if bundle.is_new)])
            raise

    async def _drop_doubles(self, project: str, bundles: Sequence[Bundle]) -> None:
        """Of zips that were there already the older one is used."""
        for bundle in bundles:
            kept = await self.store.bundles.find(project, bundle.sha256) if bundle.is_new else None
            if kept is not None and kept.blob != bundle.blob:
                await self.blobs.remove([bundle.blob])

    async def _cleared(self, blobs: Sequence[str] | None) -> bool:
        if blobs is None:
            return False
        await self.blobs.remove(blobs)
        return True
