"""Where the code of one response runs: the container of an entry of `tools`.

The request names it, or asks for one of its own (`auto`). Then it is the container of an earlier call that
the context has, as long as it is there; else a new one, whose id is known at once and which is made when it
is used first. All calls of the response share it.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import structlog

from antiphon.protocol.containers import allowed_domains
from antiphon.protocol.errors import ApiError, InvalidRequest, NotFound
from antiphon.protocol.ids import new_container_id
from antiphon.protocol.tools import (
    AutoContainer,
    InlineSkill,
    ShellContainer,
    SkillReference,
)
from antiphon.sandbox.base import DATA, CommandResult, SandboxEnded, SandboxError
from antiphon.tools.base import GivenFile
from antiphon.tools.containers import (
    ContainerError,
    ContainerExpired,
    ContainerFile,
    Containers,
    MountedSkill,
    NewContainer,
    NoSuchContainer,
    Ran,
)
from antiphon.tools.context import ToolContext

NO_SANDBOX = "this server runs no code: it has no sandbox. `antiphon doctor` says what it lacks"

_ANOTHER = "The next call has a new container, which has none of its files."
_LOST = "Variables are lost, and what this call wrote. The next call starts with the files of before."
_TRIED = 3
"""How many containers of earlier calls are tried: the newest."""

T = TypeVar("T")
log = structlog.get_logger()


class WorkspaceFailed(Exception):
    """Nothing runs there now. In words for the model."""


class Workspace:
    """A container, as far as a response knows it."""

    def __init__(
        self, containers: Containers, context: ToolContext, wanted: NewContainer, named: str | None = None
    ) -> None:
        """`named`: the container that the request names; else it is `wanted`."""
        self.files: dict[str, ContainerFile] = {}
        """What can be linked to, by path."""
        self.pictures: list[ContainerFile] = []
        """What was displayed, and not cited yet."""
        self.skills: Sequence[MountedSkill] = ()
        self._containers = containers
        self._project = context.project
        self._wanted = wanted
        self._named = named
        self._used: list[str] = []
        self._shown = 0
        self._given: Sequence[GivenFile] = ()
        self._id = named
        self._made = named is not None
        self._begin: Sequence[str] = ()

    @property
    def id(self) -> str:
        if self._id is None:
            self._id = new_container_id()
        return self._id

    @property
    def paths(self) -> Sequence[str]:
        """The files of the user's that are there when the response begins. Of those that code has made the
        model has read, and what it reads of a tool should stay the same from turn to turn: servers keep
        the beginning of a prompt."""
        given = [f"{DATA}/{file.name}" for file in self._given]
        return list(dict.fromkeys((*self._begin, *given)))

    # ---- before the first turn ----

    def use_again(self, container_id: str) -> None:
        """An earlier call ran there."""
        self._used.append(container_id)

    def show(self, pictures: int) -> None:
        """A call of the past displayed so many pictures."""
        self._shown += pictures

    def said(self) -> None:
        """Something was said behind all that was displayed: if it was to be cited, it was."""
        self._shown = 0

    def take_files(self, files: Sequence[GivenFile]) -> None:
        """Files that are put into it when it is used."""
        self._given = files

    async def check(self) -> None:
        """See to it that the container which the request names is there. Raises the ApiError with which the
        request is refused."""
        if self._named is None:
            return
        try:
            await self._containers.check(self._project, self._named)
        except NoSuchContainer:
            raise NotFound(f"Container with id '{self._named[:100]}' not found.") from None
        except ContainerExpired:
            raise InvalidRequest("Container is expired.") from None

    async def choose(self) -> None:
        """Find an earlier container, unless the request names one, and look at what is in it."""
        if self._named is None:
            await self._choose_earlier()
        if self._made:
            await self._look()

    async def make(self) -> None:
        """Make it now, if it is not there. Raises the ApiError of what it cannot be made with."""
        if not self._made:
            self._id = await self._containers.create(self._project, self._wanted, self._id)
            self._made = True
            await self._look()

    async def _choose_earlier(self) -> None:
        for container_id in list(dict.fromkeys(reversed(self._used)))[:_TRIED]:
            try:
                if await self._containers.adopt(self._project, container_id, self._wanted):
                    self._id, self._made = container_id, True
                    return
            except ContainerError:
                continue

    async def _look(self) -> None:
        try:
            await self._list()
            self.skills = await self._containers.skills(self._project, self.id)
        except ContainerError:
            return  # it ended meanwhile: a call that runs there says so
        self._begin = [path for path, file in self.files.items() if file.by_user]
        shown = [file for file in self.files.values() if file.shows_picture]
        self.pictures = shown[-self._shown :] if self._shown else []

    # ---- while it is used ----

    async def execute(self, container_id: str, code: str) -> Ran:
        """Run Python in it, for a call that names it so. Raises WorkspaceFailed."""
        await self._prepare(container_id)
        ran = await self._tried(self._containers.execute(self._project, self.id, code))
        self.pictures += ran.pictures
        await self._tried(self._list())
        return ran

    async def run(
        self,
        container_id: str,
        commands: Sequence[str],
        seconds: float | None,
        most_characters: int | None,
    ) -> Sequence[CommandResult]:
        """Run commands in it, for a call that names it so. Raises WorkspaceFailed."""
        await self._prepare(container_id)
        running = self._containers.run(self._project, self.id, commands, seconds, most_characters)
        results = await self._tried(running)
        await self._tried(self._list())
        return results

    async def _prepare(self, container_id: str) -> None:
        if container_id != self.id:
            raise WorkspaceFailed(f"The container was gone before this call came. {_ANOTHER}")
        await self._tried(self.make())
        given, self._given = self._given, ()
        for file in given:
            await self._tried(self._put(file))

    async def _put(self, file: GivenFile) -> None:
        """One that cannot be had any more is missing: the code that wants it says so."""
        if f"{DATA}/{file.name}" in self.files:
            return
        try:
            content = await file.read()
        except ApiError as fault:
            log.warning("file of the input is missing", container=self.id, reason=fault.message)
            return
        await self._containers.add(self._project, self.id, file.name, content)

    async def _list(self) -> None:
        self.files = {file.path: file for file in await self._containers.files(self._project, self.id)}

    async def _tried(self, doing: Awaitable[T]) -> T:
        """Raises WorkspaceFailed."""
        try:
            return await doing
        except (NoSuchContainer, ContainerExpired) as fault:
            raise WorkspaceFailed(self._gone(str(fault))) from fault
        except SandboxEnded as fault:
            raise WorkspaceFailed(await self._words_of_end(fault)) from fault
        except (ContainerError, SandboxError) as fault:
            raise WorkspaceFailed(str(fault)) from fault
        except ApiError as fault:
            raise WorkspaceFailed(fault.message) from fault
        except Exception as fault:
            log.exception("container failed", container=self.id)
            raise WorkspaceFailed("The container failed.") from fault

    async def _words_of_end(self, fault: SandboxEnded) -> str:
        """A sandbox that ended may have done so with its container."""
        try:
            await self._containers.check(self._project, self.id)
        except (NoSuchContainer, ContainerExpired) as gone:
            return self._gone(str(gone))
        return f"The sandbox has ended: {fault} {_LOST}"

    def _gone(self, words: str) -> str:
        """The container is not there any more: unless the request named it, the next call has another."""
        if self._named is not None:
            return words
        self._id, self._made, self.files, self.pictures = None, False, {}, []
        return f"{words.rstrip('.')}. {_ANOTHER}"


def new_container(container: AutoContainer | ShellContainer, place: str) -> NewContainer:
    """What a container is to be made as. `place`: where the request says it. Raises InvalidRequest."""
    skills: Sequence[SkillReference | InlineSkill] = ()
    if isinstance(container, ShellContainer):
        skills = container.skills or ()
    return NewContainer(
        place=place,
        file_ids=list(dict.fromkeys(container.file_ids or ())),
        memory_limit=container.memory_limit,
        domains=allowed_domains(container.network_policy, f"{place}.network_policy"),
        skills=skills,
    )
