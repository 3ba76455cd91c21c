"""The files of a container and those in its sandbox, made the same: before code runs and after it.

What was put into the container meanwhile, by whichever server process, is put into the sandbox; what the code
made, changed or deleted becomes rows of the container. What is too much stays where it is as long as the
sandbox lives, and is told in words.
"""

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass

from msgspec import Struct, field

from antiphon.containers import names
from antiphon.containers.rules import Rules
from antiphon.protocol.ids import new_container_file_id
from antiphon.sandbox.base import Entry, Picture, Sandbox
from antiphon.store.container_files import MOST_FILES, ContainerFileRow
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.errors import TooManyContainerFiles, TooMuchStored
from antiphon.store.faults import StorageFault, storage_fault

_SHOWN = 300
"""Characters of a path, in words."""
_NAMED = 5
"""Files that words name, of those that were not kept."""
_Seen = tuple[int, int]
"""Size and time of change of a file, as the sandbox has it."""


class Harvest(Struct):
    """What came of an execution."""

    files: list[ContainerFileRow] = field(default_factory=list)
    """That it made or changed, in that order."""
    pictures: list[ContainerFileRow] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Paths that were not kept, each with the reason."""

    @property
    def words(self) -> str:
        """What there is to say of it; empty: nothing."""
        if not self.refused:
            return ""
        lines = [f"{path} {why}" for path, why in self.refused[:_NAMED]]
        more = len(self.refused) - _NAMED
        return "\n".join(["Not kept for later:", *lines, *([f"and {more} more files"] if more > 0 else [])])


@dataclass
class _Known:
    """A file that both have."""

    row: ContainerFileRow
    seen: _Seen | None
    """None: not looked at since it was put there."""


class _Refused(Exception):
    """A file is not kept, unless it changes; the message says why, as the rest of a sentence."""


class _NotNow(_Refused):
    """It may be kept after the next execution."""


class Folder:
    """That of one sandbox, from its start to its end."""

    def __init__(
        self, project: str, container_id: str, storage: ContainerStorage, rules: Rules, began_anew: bool
    ) -> None:
        """`began_anew`: another sandbox had them before, and with it the state of its Python."""
        self.began_anew = began_anew
        self._project = project
        self._container = container_id
        self._storage = storage
        self._rules = rules
        self._known: dict[str, _Known] = {}
        self._refused: dict[str, _Seen] = {}
        """Those that are not tried again as they are."""
        self._said: dict[str, _Seen] = {}
        """Those of which it was said that they are not kept."""
        self._one_at_a_time = asyncio.Lock()

    async def bring_in(self, sandbox: Sandbox) -> None:
        """Give the sandbox what the container has. Raises SandboxError."""
        async with self._one_at_a_time:
            stored = await self._storage.store.container_files.all(self._project, self._container)
            rows = {row.path: row for row in stored if not names.shows_picture(row.id, row.path)}
            for path in self._known.keys() - rows.keys():
                await sandbox.remove(path)
                del self._known[path]
            for path, row in rows.items():
                known = self._known.get(path)
                if known is None or known.row.blob != row.blob:
                    await self._put(sandbox, row)

    async def begin(self, sandbox: Sandbox) -> None:
        """The same for one that has only just started: nobody else changes anything in it yet."""
        await self.bring_in(sandbox)
        for entry in await sandbox.files():
            if entry.path in self._known:
                self._known[entry.path].seen = _seen(entry)

    async def harvest(self, sandbox: Sandbox, pictures: Sequence[Picture] = ()) -> Harvest:
        """Give the container what the sandbox has, and the pictures. Raises SandboxEnded."""
        async with self._one_at_a_time:
            harvest = Harvest()
            entries = {entry.path: entry for entry in await sandbox.files()}
            self._forget(entries)
            for path in self._known.keys() - entries.keys():
                await self._storage.remove(self._project, self._container, self._known.pop(path).row.id)
            changed = [entry for entry in entries.values() if self._is_new(entry)]
            changed.sort(key=lambda entry: (entry.modified_ns, entry.path))
            for number, entry in enumerate(changed):
                await self._harvest_one(sandbox, entry, number, harvest)
            for picture in pictures:
                if not await self._keep_picture(picture, harvest):
                    break
            return harvest

    def _forget(self, there: Container[str]) -> None:
        """What was refused and is gone: code can make new names for ever."""
        self._refused = {path: seen for path, seen in self._refused.items() if path in there}
        self._said = {path: seen for path, seen in self._said.items() if path in there}

    # ---- in ----

    async def _put(self, sandbox: Sandbox, row: ContainerFileRow) -> None:
        try:
            await sandbox.write(row.path, self._storage.pieces(row.blob))
        except FileNotFoundError:  # deleted or replaced meanwhile: the next one finds out
            return
        self._known[row.path] = _Known(row, None)

    # ---- out ----

    def _is_new(self, entry: Entry) -> bool:
        known, seen = self._known.get(entry.path), _seen(entry)
        return (known is None or known.seen != seen) and self._refused.get(entry.path) != seen

    async def _harvest_one(self, sandbox: Sandbox, entry: Entry, number: int, harvest: Harvest) -> None:
        try:
            row = await self._taken(sandbox, entry, number)
        except _Refused as error:
            self._refuse(entry, error, harvest)
            return
        except FileNotFoundError:  # gone while it was read
            return
        except Exception as error:
            if storage_fault(error) is not StorageFault.FULL:
                raise
            self._refuse(entry, _NotNow("does not fit on the disk of this server"), harvest)
            return
        if row is not None:
            harvest.files.append(row)

    def _refuse(self, entry: Entry, error: _Refused, harvest: Harvest) -> None:
        seen = _seen(entry)
        if not isinstance(error, _NotNow):
            self._refused[entry.path] = seen
        if self._said.get(entry.path) != seen:
            self._said[entry.path] = seen
            harvest.refused.append((ascii(entry.path[:_SHOWN]).strip("'"), str(error)))

    async def _taken(self, sandbox: Sandbox, entry: Entry, number: int) -> ContainerFileRow | None:
        """The file's row, if its content is another one than before. Raises _Refused, FileNotFoundError."""
        self._check(entry, number)
        await self._check_quota(entry.size)
        known = self._known.get(entry.path)
        async with self._storage.incoming() as incoming:
            async for piece in sandbox.read(entry.path):
                if incoming.size + len(piece) > self._rules.file_bytes:
                    raise _Refused(f"is larger than {self._rules.file_bytes} bytes")
                await incoming.write(piece)
            if known is not None and known.row.sha256 == (await incoming.finish()).sha256:
                known.seen = _seen(entry)
                return None
            await self._check_quota(incoming.size)
            row = await self._storage.arrived(incoming, entry.path, "assistant")
        stored = await self._stored(row)
        if stored is not None:
            self._known[entry.path] = _Known(stored, _seen(entry))
        return stored

    def _check(self, entry: Entry, number: int) -> None:
        """Raises _Refused."""
        if not names.can_be_kept(entry.path):
            raise _Refused("has a name that cannot be shown")
        if entry.size > self._rules.file_bytes:
            raise _Refused(f"is larger than {self._rules.file_bytes} bytes")
        if number >= self._rules.harvest_files:
            raise _NotNow(f"is more than the {self._rules.harvest_files} files that are kept at a time")

    async def _check_quota(self, size: int) -> None:
        """Raises _Refused."""
        try:
            await self._storage.store.usage.check(self._project, size)
        except TooMuchStored:
            raise _NotNow("is more than this project may keep on this server") from None

    async def _stored(self, row: ContainerFileRow) -> ContainerFileRow | None:
        """None: the container is gone. Raises _Refused."""
        try:
            return await self._storage.put(self._project, self._container, row)
        except TooManyContainerFiles:
            raise _Refused(f"is more than the {MOST_FILES} files that a container may have") from None

    async def _keep_picture(self, picture: Picture, harvest: Harvest) -> bool:
        """It was displayed, and is no file of the sandbox."""
        file_id = new_container_file_id()
        path = names.of_picture(file_id, picture.media_type)
        try:
            await self._check_quota(len(picture.data))
            async with self._storage.incoming() as incoming:
                await incoming.write(picture.data)
                row = await self._storage.arrived(incoming, path, "assistant", file_id)
            stored = await self._stored(row)
        except _Refused as error:
            harvest.refused.append((path, str(error)))
            return False
        if stored is None:
            return False
        harvest.pictures.append(stored)
        return True


def _seen(entry: Entry) -> _Seen:
    return (entry.size, entry.modified_ns)
