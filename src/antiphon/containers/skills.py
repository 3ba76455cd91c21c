"""Skills: from what clients send to zips that are kept, and from these to folders in a sandbox."""

import asyncio
import binascii
import hashlib
import zipfile
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path

from antiphon.containers import archive, names
from antiphon.containers.content import once
from antiphon.guard.pool import Limits, Overrun, Pool
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.tools import InlineSkill, SkillReference
from antiphon.sandbox.base import Sandbox
from antiphon.store.bundles import Bundle
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.containers import ContainerSkill
from antiphon.store.skills import Which

LONGEST_INLINE = 70_254_592
"""Characters of a zip in base64."""
CODE = "invalid_skill"
_MODULE = "antiphon.containers.archive"
_LIMITS = Limits(children=2, seconds=20, calls=20)


class SkillShelf:
    """The zips of all projects. They are read in child processes."""

    def __init__(self, storage: ContainerStorage) -> None:
        self._storage = storage
        self._pool = Pool(_LIMITS)

    async def close(self) -> None:
        await self._pool.close()

    # ---- what clients send ----

    async def zipped(self, project: str, data: bytes, path: str) -> Bundle:
        """A zip that a client sent, which is kept now. `path`: where the request has it. Raises
        InvalidRequest, TooMuchStored."""
        sha256 = await asyncio.to_thread(_digest, data)
        known = await self._storage.store.bundles.find(project, sha256)
        if known is not None:
            return known
        await self._storage.store.usage.check(project, len(data))
        name, description = await self._asked(path, project, "look", data)
        return await self._storage.bundled(data, sha256, name, description)

    async def folder(self, project: str, files: Sequence[tuple[str, bytes]], path: str) -> Bundle:
        """Files that a client sent with their paths, as a zip that is kept now. Raises InvalidRequest,
        TooMuchStored."""
        paths = [name for name, _ in files]
        sizes = [len(content) for _, content in files]
        whole = await asyncio.to_thread(b"".join, [content for _, content in files])
        data, name, description = await self._asked(path, project, "pack", paths, sizes, whole)
        sha256 = await asyncio.to_thread(_digest, data)
        known = await self._storage.store.bundles.find(project, sha256)
        if known is not None:
            return known
        await self._storage.store.usage.check(project, len(data))
        return await self._storage.bundled(data, sha256, name, description)

    async def wanted(
        self, project: str, skills: Sequence[SkillReference | InlineSkill], path: str
    ) -> list[ContainerSkill]:
        """The skills that a request names or brings, for a container. Raises InvalidRequest, NotFound."""
        found = []
        for index, skill in enumerate(skills):
            place = f"{path}[{index}]"
            if isinstance(skill, SkillReference):
                found.append(await self._referenced(project, skill, place))
            else:
                found.append(await self._inline(project, skill, place))
        return found

    async def _referenced(self, project: str, asked: SkillReference, path: str) -> ContainerSkill:
        named = str(asked.version or "default")
        which = version_of(named)
        version = None
        if which is not None:
            version = await self._storage.store.skills.version(project, asked.skill_id, which)
        if version is not None:
            return _mounted(version.name, version.description, version.bundle)
        if await self._storage.store.skills.get(project, asked.skill_id) is None:
            raise skill_not_found(asked.skill_id, f"{path}.skill_id")
        raise version_not_found(asked.skill_id, named, f"{path}.version")

    async def _inline(self, project: str, asked: InlineSkill, path: str) -> ContainerSkill:
        if not archive.is_name(asked.name):
            raise InvalidRequest(
                f"Invalid '{path}.name': expected 1 to 64 letters a-z, digits and hyphens.",
                param=f"{path}.name",
                code="invalid_value",
            )
        where, data = f"{path}.source.data", asked.source.data
        if len(data) > LONGEST_INLINE:
            raise error_messages.too_long(where, data, LONGEST_INLINE, "string")
        try:
            unpacked = await asyncio.to_thread(b64decode, data, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                f"Invalid '{where}': it is no base64.", param=where, code="invalid_base64"
            ) from None
        return _mounted(asked.name, asked.description, await self.zipped(project, unpacked, where))

    async def _asked(self, path: str, project: str, function: str, *arguments: object) -> Sequence:  # type: ignore[type-arg]
        """What a child says of what a client sent. Raises InvalidRequest."""
        try:
            answer: Sequence[object] = await self._pool.call(
                f"{_MODULE}:{function}", *arguments, owner=project
            )
        except Overrun:
            words = "it takes too much time or memory to read"
        except ValueError as error:
            words = str(error)
        else:
            return answer
        raise InvalidRequest(f"Invalid '{path}': {words}.", param=path, code=CODE)

    # ---- what containers get ----

    async def mount(self, skills: Sequence[ContainerSkill], sandbox: Sandbox) -> None:
        """Put skills into a sandbox that begins. Raises SandboxError."""
        for skill in skills:
            folder = names.skill_folder(skill.folder)
            async with self._storage.as_file(skill.bundle.blob) as zipped:
                files = _Unpacked(zipped)
                while (file := await asyncio.to_thread(files.next)) is not None:
                    path, content = file
                    await sandbox.write(f"{folder}/{'/'.join(path)}", once(content))


class _Unpacked:
    """The files of a zip, each asked for in some thread."""

    def __init__(self, zip_path: Path) -> None:
        self._path = zip_path
        self._files: Iterator[tuple[archive.Path, bytes]] | None = None

    def next(self) -> tuple[archive.Path, bytes] | None:
        if self._files is None:
            self._files = self._all()
        return next(self._files, None)

    def _all(self) -> Iterator[tuple[archive.Path, bytes]]:
        with zipfile.ZipFile(self._path) as opened:
            yield from archive.unpacked(opened)


def version_of(text: str) -> Which | None:
    """A version by the name that clients give it; None: there can be none of that name."""
    match text:
        case "latest" | "default":
            return text
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def skill_not_found(skill_id: str, param: str | None = None) -> NotFound:
    return NotFound(f"Skill '{error_messages.brief(skill_id)}' not found.", param=param)


def version_not_found(skill_id: str, version: str, param: str | None = None) -> NotFound:
    return NotFound(
        f"Skill '{error_messages.brief(skill_id)}' has no version '{error_messages.brief(version)}'.",
        param=param,
    )


def _mounted(name: str, description: str, bundle: Bundle) -> ContainerSkill:
    return ContainerSkill(name=name, description=description, folder=names.of_skill(name), bundle=bundle)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
