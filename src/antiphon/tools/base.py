"""What a tool is: everything about a tool type stands in its own file, behind this interface.

A tool shows itself to the model as functions, says which item a call becomes, and, when it is ours to run,
runs it. How its past items read in a later turn is a function of the item alone (`recall_…`), since the
tool may be gone by then.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from antiphon.mcp.base import Address
from antiphon.mcp.pool import Pool
from antiphon.model import Function, Message, Part
from antiphon.protocol.hosted_items import McpApprovalRequest, McpListTools
from antiphon.protocol.tools import Tool as WireTool
from antiphon.stream.machine import ItemStatus, Machine

Executor = Literal["client", "server", "approval"]
"""Who acts on a call: the client (the response completes, and the client answers with an output item),
we ourselves (we run it and the model goes on), or the client's consent comes first."""


class ToolResources(Struct, frozen=True, kw_only=True):
    """What tools that we run ourselves work with. Made when the server starts."""

    mcp: Pool | None = None
    connectors: Mapping[str, Address] = {}
    """Where the connectors are that the installation has set up."""
    mcp_servers: Mapping[str, Address] = {}
    """The installation's own MCP servers, by name."""


class ToolContext(Struct, frozen=True, kw_only=True):
    """What an entry of `tools` is offered with: where it stands, and what the request grants."""

    place: str = "tools"
    """Where the entry stands in the request, for faults."""
    namespace: str | None = None
    """The namespace that calls of it name."""
    about: str = ""
    """What its namespace is for; told to the model with the first function of it."""
    checks_strict: bool = False
    """Whether calls of strict functions are to be checked here, since nobody upstream holds the model to
    their schemas."""
    catalog: "Catalog | None" = None
    """What can be searched for."""
    resources: ToolResources = ToolResources()
    project: str = ""
    images: bool = True
    """Whether the model reads images."""


class Catalog(Protocol):
    """The tools that are not offered before they are searched for."""

    def listing(self) -> str:
        """Their names, each with what it is for, as lines."""
        ...

    def find(self, wanted: Sequence[str]) -> Sequence[WireTool]:
        """Those that fit names or descriptions. They are offered from now on."""
        ...


class InvalidCall(Exception):
    """A call that turned out to be none before anything of it was told: the model is asked again."""


class OpenCall(Protocol):
    """A call that is being told."""

    def arguments(self, delta: str) -> None:
        """A piece of the call's JSON arguments, as the model writes them."""
        ...

    def close(self, status: ItemStatus = "completed") -> None:
        """The call is whole. Raises InvalidCall when it is not valid and nothing of it was told yet,
        UpstreamError when something was."""
        ...


class Tool(Protocol):
    """One entry of `tools`, resolved."""

    def functions(self) -> Sequence[Function]:
        """The tool, as functions that any model can call."""
        ...

    def executor(self, name: str) -> Executor:
        """Who acts on calls of the function `name`."""
        ...

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        """The item that a call of the function becomes. It is added to the output as soon as enough of the
        call is known."""
        ...

    def buffers(self, name: str) -> bool:
        """Whether a call must be whole and checked before any of it is told."""
        ...

    def check(self, name: str, arguments: str) -> str | None:
        """What is wrong with a call that is whole, in words for the model, which is asked again; None when
        nothing is. Only calls that are held are checked."""
        ...


class ToolResult(Struct, frozen=True):
    """How a call of ours ended. A call that failed has an outcome too: the model reads it and goes on."""

    parts: tuple[Part, ...]
    """What the model reads."""
    item: object = None
    """What the tool's own item needs to conclude."""


class OpenServerCall(OpenCall, Protocol):
    """A call that we run ourselves."""

    def conclude(self, result: ToolResult) -> None:
        """Tell how it ended, and close the item. Its arguments were closed before."""
        ...


@runtime_checkable
class ServerTool(Protocol):
    """A tool with calls that we run ourselves."""

    async def run(self, name: str, arguments: str) -> ToolResult:
        """Run a call. Whatever goes wrong in it is a ToolResult; nothing is raised but cancellation."""
        ...


class Source(Protocol):
    """An entry of `tools` whose tools are known when somebody was asked: before the first turn, unless the
    context has the answer already."""

    @property
    def label(self) -> str:
        """What its items and choices of it call it."""
        ...

    @property
    def known(self) -> bool:
        """Whether it need not be asked any more."""
        ...

    def remember(self, listing: McpListTools) -> None:
        """Take the tools from an item of the context."""
        ...

    def begin(self, machine: Machine) -> None:
        """Tell that it is asked."""
        ...

    async def ask(self) -> None:
        """Ask, and tell what came of it. Nothing is raised but cancellation."""
        ...

    def note(self) -> Sequence[Message]:
        """What the model must know of how it went."""
        ...

    def tools(self) -> Sequence[tuple[str, Tool]]:
        """Its tools, each with its own name."""
        ...

    def approved(self, request: McpApprovalRequest) -> tuple[str, Tool]:
        """A call that may be made now: the name of its function, and the tool that runs it."""
        ...
