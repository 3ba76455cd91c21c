"""What the tools have in common whose calls run in a container."""

from collections.abc import Sequence

from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, InputMessage
from antiphon.sandbox.base import DATA
from antiphon.stream.filters import TextFilter
from antiphon.tools.base import GivenFile, Tool
from antiphon.tools.containers import Containers
from antiphon.tools.printed import first_of
from antiphon.tools.sandbox_links import SandboxLinks
from antiphon.tools.workspace import Workspace

LINKS = f"To give the user a file, save it in {DATA} and link to it: [name](sandbox:{DATA}/name)."

_NAMED = 50
"""How many files the model reads of."""


class ContainerTool(Tool):
    """Such a tool, in one response. `early`: whether its container is made before there is a call."""

    executor = "server"
    takes_files = True

    def __init__(self, containers: Containers, workspace: Workspace, *, early: bool) -> None:
        self.workspace = workspace
        self._containers = containers
        self._early = early

    async def compile(self) -> None:
        self.unavailable = await self._containers.unavailable()

    async def check(self) -> None:
        await self.workspace.check()

    async def ready(self) -> None:
        await self.workspace.choose()

    async def make(self) -> None:
        if self._early:
            await self.workspace.make()

    def take_files(self, files: Sequence[GivenFile]) -> None:
        self.workspace.take_files(files)

    def remember(self, item: Item) -> None:
        if isinstance(item, AssistantMessage | InputMessage):
            self.workspace.said()

    def filter(self) -> TextFilter | None:
        space = self.workspace
        if not space.files and not space.pictures:
            return None
        return SandboxLinks(space.id, space.files.get, space.pictures)

    def about_files(self) -> str:
        """What the model reads of the files that are there."""
        paths = self.workspace.paths
        return f"\nFiles that are there: {first_of(paths, _NAMED)}" if paths else ""
