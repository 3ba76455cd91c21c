"""From what a request wants of a container to the row of one."""

from collections.abc import Sequence

from antiphon.containers import names
from antiphon.containers.rules import MEMORY_MB, SMALLEST, Rules
from antiphon.containers.skills import SkillShelf
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.ids import new_container_id
from antiphon.store.container_files import ContainerFileRow
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.containers import ContainerRow, ContainerSkill, NewContainerRow
from antiphon.store.files import FileRow
from antiphon.tools.containers import NewContainer


class Maker:
    """Makes containers. What is wrong with a request is an ApiError that names its member."""

    def __init__(self, storage: ContainerStorage, shelf: SkillShelf, rules: Rules) -> None:
        self._storage = storage
        self._shelf = shelf
        self._rules = rules

    async def make(self, project: str, new: NewContainer, container_id: str | None = None) -> ContainerRow:
        """Raises InvalidRequest, NotFound, InsufficientStorage; AlreadyExists."""
        minutes = self._minutes(new)
        memory = self._memory(new)
        member = new.member("file_ids")
        found = await self.files(project, new.file_ids, member)
        await self._storage.store.usage.check(project, sum(file.size for file in found))
        skills = await self._shelf.wanted(project, new.skills, new.member("skills"))
        files = [await self.copied(file, member) for file in found]
        row = NewContainerRow(
            id=container_id or new_container_id(),
            name=new.name,
            minutes=minutes,
            memory_limit=memory,
            domains=list(new.domains),
            files=files,
            skills=skills,
        )
        return await self._storage.create(project, row)

    async def files(self, project: str, file_ids: Sequence[str], member: str) -> list[FileRow]:
        """Files of the Files API, which a member of the request names. Raises NotFound."""
        found = []
        for file_id in dict.fromkeys(file_ids):
            row = await self._storage.store.files.get(project, file_id)
            if row is None:
                raise _no_file(file_id, member)
            found.append(row)
        return found

    async def copied(self, file: FileRow, member: str) -> ContainerFileRow:
        """One of them, for a container. Raises NotFound."""
        row = await self._storage.copied(file, names.of_file(file.id, file.filename))
        if row is None:
            raise _no_file(file.id, member)
        return row

    async def fits(
        self, project: str, row: ContainerRow, skills: Sequence[ContainerSkill], wanted: NewContainer
    ) -> bool:
        """Whether a container that there is is as wanted: its memory, its network, and its skills."""
        if self._memory(wanted) != row.memory_limit and wanted.memory_limit is not None:
            return False
        if set(wanted.domains) != set(row.domains):
            return False
        has = {skill.bundle.sha256 for skill in skills}
        asked = await self._shelf.wanted(project, wanted.skills, wanted.member("skills"))
        return has >= {skill.bundle.sha256 for skill in asked}

    def _minutes(self, new: NewContainer) -> int:
        most = self._rules.idle_minutes
        if new.minutes is not None and new.minutes > most:
            path = new.member("expires_after.minutes")
            raise error_messages.number_out_of_range(path, new.minutes, most, "<=", "integer")
        return most if new.minutes is None else new.minutes

    def _memory(self, new: NewContainer) -> str:
        limit = new.memory_limit or SMALLEST
        if new.memory_limit is not None and MEMORY_MB[limit] > self._rules.memory_mb:
            path = new.member("memory_limit")
            raise InvalidRequest(
                f"Invalid '{path}': this server gives a container at most {self._rules.memory_mb} MB "
                "(memory_mb of [sandbox] in its configuration).",
                param=path,
                code="memory_limit_exceeded",
            )
        return limit


def _no_file(file_id: str, member: str) -> NotFound:
    return NotFound(f"No such File object: {file_id}", param=member)
