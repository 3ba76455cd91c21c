"""What tools want of containers (`containers/` has them)."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Protocol

from msgspec import Struct

from antiphon.protocol.tools import InlineSkill, SkillReference
from antiphon.sandbox.base import CommandResult, Execution


class ContainerError(Exception):
    """A container cannot be used; the message says why and what to do."""


class NoSuchContainer(ContainerError):
    """The project has no such container."""


class ContainerExpired(ContainerError):
    """It was not used for as long as it was to be kept. Its files are gone."""


class NewContainer(Struct, frozen=True, kw_only=True):
    """What a container is made as."""

    place: str = ""
    """Where the request describes it, for faults: `tools[0].container`."""
    minutes: int | None = None
    """Without a use, after which it expires; None: as the server has it set."""

    name: str = ""
    file_ids: Sequence[str] = ()
    memory_limit: str | None = None
    """As the API has it: `1g`, `4g`, `16g` or `64g`; None: the smallest."""
    domains: Sequence[str] = ()
    """Hosts that it may reach; none: no network."""
    skills: Sequence[SkillReference | InlineSkill] = ()

    def member(self, name: str) -> str:
        """Where the request has a member of it."""
        return f"{self.place}.{name}" if self.place else name


class MountedSkill(Struct, frozen=True, kw_only=True):
    """A skill in a container."""

    name: str
    description: str
    path: str
    """Of its folder."""


class ContainerFile(Struct, frozen=True, kw_only=True):
    """A file of a container."""

    id: str
    path: str
    size: int
    by_user: bool = False
    """Whether it was put there, and not made by code."""

    @property
    def shows_picture(self) -> bool:
        """Whether it was made to keep a picture that was displayed: it has its own id as its name."""
        return PurePosixPath(self.path).stem == self.id


class Ran(Struct, frozen=True, kw_only=True):
    """How code ended in a container."""

    execution: Execution
    files: Sequence[ContainerFile] = ()
    """What it made or changed, without the pictures."""
    pictures: Sequence[ContainerFile] = ()
    """The files in which its pictures are kept, in their order, each with its id as its name: `cfile_1.png`.
    Where there is room for some of them only, these are the first."""


class Containers(Protocol):
    """The containers of projects. A sandbox stands behind one from its first execution on."""

    async def unavailable(self) -> str | None:
        """Why no code runs on this server, with what to install or to set; None: it does."""

    async def create(self, project: str, new: NewContainer, container_id: str | None = None) -> str:
        """Make one, with the id of an item that names it already if there is one, and give its id. Raises the
        ApiError that says which member is wrong."""

    async def adopt(self, project: str, container_id: str, wanted: NewContainer) -> bool:
        """Go on with one that was made before instead of a new one: it counts as used, and files that it
        lacks are put into it. False: its memory, network or skills are not as wanted. Raises what `check` and
        `create` do."""

    async def check(self, project: str, container_id: str) -> None:
        """Raises NoSuchContainer or ContainerExpired. It counts as used now."""

    async def skills(self, project: str, container_id: str) -> Sequence[MountedSkill]:
        """The skills that are in it."""

    async def add(self, project: str, container_id: str, filename: str, content: bytes) -> ContainerFile:
        """Put a file of the user's into it, if it is not there already."""

    async def execute(self, project: str, container_id: str, code: str) -> Ran:
        """Run Python in it. Raises ContainerError, SandboxError."""

    async def run(
        self,
        project: str,
        container_id: str,
        commands: Sequence[str],
        seconds: float | None,
        most_characters: int | None,
    ) -> Sequence[CommandResult]:
        """Run commands in it, within the server's limits; None: as the server has it set. Raises
        ContainerError, SandboxError."""

    async def files(self, project: str, container_id: str) -> Sequence[ContainerFile]:
        """Its files, in the order in which they were made. Raises NoSuchContainer or ContainerExpired."""
