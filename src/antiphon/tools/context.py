"""What tools are given: `ToolResources` is what the server has, `ToolContext` what the request grants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from antiphon.guard.pool import Pool as Children
from antiphon.mcp.base import Address
from antiphon.mcp.pool import Pool
from antiphon.model import Function
from antiphon.model.image import ImageServer
from antiphon.protocol.content import InputImage
from antiphon.protocol.item import Item
from antiphon.protocol.tools import Tool as WireTool
from antiphon.retrieval.finder import Finder
from antiphon.scripting.player import Player
from antiphon.tools.citations import Sources
from antiphon.tools.containers import Containers
from antiphon.web.pages import Pages
from antiphon.web.searcher import Searcher


class SearchLimits(Struct, frozen=True, kw_only=True):
    """What a search in files may take."""

    stores: int = 16
    """Vector stores of one request."""
    seconds: float = 30.0


class Web(Struct, frozen=True, kw_only=True):
    """How the web is searched."""

    searcher: Searcher
    pages: Pages
    seen_only: bool = True
    """Whether a model opens only pages whose address it was given."""

    async def close(self) -> None:
        await self.searcher.close()
        await self.pages.close()


Load = Callable[[str, InputImage, str], Awaitable[bytes]]
"""The bytes of an image of a project. The last argument is where faults in it are reported. Raises
InvalidRequest."""


class Images(Struct, frozen=True):
    """How pictures are made."""

    server: ImageServer
    load: Load
    load_mask: Load
    """For one that says which part of another changes."""


class ToolResources(Struct, frozen=True, kw_only=True):
    """What tools that we run ourselves work with. Made when the server starts."""

    mcp: Pool | None = None
    children: Children = msgspec.field(default_factory=Children)
    """Where schemas and grammars are compiled and used."""
    connectors: Mapping[str, Address] = {}
    """Where the connectors are that the installation has set up."""
    mcp_servers: Mapping[str, Address] = {}
    """The installation's own MCP servers, by name."""
    finder: Finder | None = None
    """Searches files; None: nothing is set up that could."""
    file_search: SearchLimits = SearchLimits()
    web: Web | None = None
    """Searches the web; None: no engine is set up."""
    containers: Containers | None = None
    """Where code from a model runs; None: nowhere."""
    images: Images | None = None
    """Makes pictures; None: no server is set up that does."""
    player: Player | None = None
    """Plays programs; None: there is no V8."""


class Hosting(Struct, frozen=True, kw_only=True):
    """What the model's server runs itself."""

    kinds: frozenset[str] = frozenset()
    """The tools, as `hosted` of its backend names them."""
    backend: str = ""
    """The backend's name."""
    sign: Callable[[bytes], str] = lambda content: ""
    """Hex digits that nobody can make but this installation, for the project."""


class ToolContext(Struct, frozen=True, kw_only=True):
    """What an entry of `tools` is offered with: where it stands, and what the request grants."""

    place: str = "tools"
    """Where the entry stands in the request, for faults."""
    namespace: str | None = None
    """The namespace that calls of it name."""
    about: str = ""
    """What its namespace is for; the first function of it says so to the model."""
    checks_strict: bool = False
    """Whether calls of strict functions are to be checked here, since nobody upstream holds the model to
    their schemas."""
    sources: Sources = msgspec.field(default_factory=Sources)
    """What the model can cite, of all tools."""
    catalog: "Catalog | None" = None
    """What can be searched for."""
    resources: ToolResources = ToolResources()
    project: str = ""
    images: bool = True
    """Whether the model reads images."""
    window: int | None = None
    """Tokens that the model reads; None: not known."""
    programs: bool = False
    """Whether programs are there to call tools."""
    fingerprint: Callable[[str, str], str] = lambda call_id, code: ""
    """Gives a program, by its call_id and code, what proves that it is ours."""
    hosting: Hosting = Hosting()
    certify: Callable[[Item], Item] = lambda request: request
    """Gives a request for consent an id that proves that it is ours. Nobody can consent to one without."""


class Catalog(Protocol):
    """The tools of the response, for those that find or call others."""

    def listing(self) -> str:
        """The names of those that must be searched for, each with what it is for, as lines."""

    def find(self, wanted: Sequence[str]) -> Sequence[WireTool]:
        """Those that fit names or descriptions. They are offered from now on."""

    @property
    def programmatic(self) -> Sequence[Function]:
        """The functions that programs may call."""

    def returns_json(self, name: str) -> bool:
        """Whether what a function answers is JSON."""
