"""The tools of one response: what the model is offered, and whose call a name is."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal
from weakref import proxy

from msgspec import Raw
from msgspec.structs import replace

from antiphon.model import Function, Message
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.tools import (
    CustomTool,
    FunctionTool,
    McpTool,
    NamespaceTool,
    ProgrammaticToolCallingTool,
    ToolSearchTool,
)
from antiphon.protocol.tools import Tool as WireTool
from antiphon.stream.filters import Filters, TextFilter
from antiphon.stream.machine import Machine
from antiphon.tools import deferred, namespace
from antiphon.tools.agents import KIND, Agents
from antiphon.tools.base import GivenFile, Tool, ToolCall
from antiphon.tools.callers import check_callers
from antiphon.tools.context import ToolContext
from antiphon.tools.deferred import Deferred
from antiphon.tools.entry import Entry, duplicate, entry_of
from antiphon.tools.function import ClientFunction
from antiphon.tools.names import offered_name, safe_name
from antiphon.tools.provider import ApprovedCall, ToolProvider
from antiphon.tools.refused import RefusedCall
from antiphon.tools.registry import REGISTRY, ToolRow
from antiphon.tools.upstream import UpstreamTool, hosted_kind

Finder = Literal["client", "server"]

MOST_TOOLS = 4096
"""Functions of one response, those of namespaces included, and those that must be searched for."""


class Toolbox:
    """Tools by the names of their functions, offered with the given context."""

    def __init__(self, tools: Iterable[WireTool] = (), context: ToolContext | None = None) -> None:
        # Its tools do not keep it: that would be a cycle for each response.
        tools = tuple(tools)
        programs = any(isinstance(wire, ProgrammaticToolCallingTool) for wire in tools)
        self._context = replace(context or ToolContext(), catalog=proxy(self), programs=programs)
        self._providers: dict[str, ToolProvider] = {}
        self._hiding: dict[str, NamespaceTool] = {}
        """The providers whose tools must be searched for, by their labels."""
        self._found: set[str] = set()
        """The functions of servers that were searched for."""
        self._entries: dict[str, Entry] = {}
        self._deferred: dict[str, Deferred] = {}
        self._searches = False
        self._allowed: frozenset[str] | None = None
        self._uncompiled: list[Tool] = []
        self.agents: Agents | None = None
        self._ours: dict[str, tuple[ToolRow, Tool]] = {}
        """The tools that we run, with their rows, by their types."""
        self.item_types: frozenset[str] = frozenset()
        """The types of items that those may add."""
        for index, wire in enumerate(tools):
            context = replace(self._context, place=f"tools[{index}]")
            if self._is_provider(wire, context):
                continue
            for name, entry in self._entries_of(wire, context, found=False):
                if name in self._entries:
                    raise duplicate(name, entry, self._entries[name], context.place)
                self._entries[name] = entry
                self._refuse_many(context.place)

    def load(self, tools: Iterable[WireTool], place: str, finder: Finder | None = None) -> None:
        """Offer more tools, from an item at `place`; `finder` says who searched for them, if anybody did.
        One that is there already is replaced, since an item of the context may come again with each
        request. Raises InvalidRequest for what the constructor does."""
        for index, wire in enumerate(tools):
            context = replace(self._context, place=f"{place}.tools[{index}]")
            if isinstance(wire, McpTool) and finder is not None:
                self._find_in(wire)
                continue
            if self._is_provider(wire, context):
                continue
            if finder == "server" and isinstance(wire, FunctionTool | CustomTool):
                context = replace(context, namespace=wire.name)
            for name, entry in self._entries_of(wire, context, found=finder is not None):
                self._put(name, entry, context.place)

    def add_agents(self) -> None:
        """Offer agents, which no entry asks for. Raises InvalidRequest where their names are taken."""
        tool = self.agents = Agents()
        for function in tool.functions():
            entry = Entry(KIND, function.name, None, tool, False)
            if function.name in self._entries:
                raise duplicate(function.name, entry, self._entries[function.name], "tools")
            self._entries[function.name] = entry

    async def compile(self) -> None:
        """Compile the schemas and grammars of the tools that came since the last time. Raises
        InvalidRequest for the first that cannot be used."""
        tools, self._uncompiled = self._uncompiled, []
        for tool in tools:
            await tool.compile()

    # ---- what the model is offered ----

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions on offer now, in an order that stays: what is found later stands behind."""
        return self._functions("direct") if self._entries else ()

    @property
    def programmatic(self) -> tuple[Function, ...]:
        """Those that programs may call now."""
        return self._functions("programmatic")

    def returns_json(self, name: str) -> bool:
        """Whether what a function answers is JSON."""
        return name in self._entries and self._entries[name].tool.returns_json

    def may_be_called_by(self, caller: str, name: str) -> bool:
        """Whether a function that is there may be called by the model (`direct`), or by programs."""
        return caller in self._entries[name].callers

    def _functions(self, caller: str) -> tuple[Function, ...]:
        return tuple(
            function
            for name, entry in self._entries.items()
            if caller in entry.callers and self._offers(name, entry)
            for function in entry.tool.functions()
            if function.name == name
        )

    def allow(self, names: Iterable[str]) -> None:
        """Offer none but these functions."""
        self._allowed = frozenset(names)

    def _offers(self, name: str, entry: Entry) -> bool:
        hidden = entry.tool.unavailable is not None or (entry.hidden and self._searches)
        return not hidden and (self._allowed is None or name in self._allowed)

    def call(self, name: str, call_id: str, offered: Collection[str]) -> ToolCall:
        """A call of a function by the name that the model used, in a turn that offered these functions.
        What was not offered does not run: such a call is refused, in words for the model. But a name that the
        model made up goes to the client as a function call, if it has tools of its own and the turn leaves
        the choice among all: agents answer it with what is wrong, and the model mends it."""
        function = self._function_of(name)
        if function is not None and function in offered:
            return self._entries[function].tool.call(name, call_id)
        if function is None and self._serves_client() and self._offered_all(offered):
            return ClientFunction(FunctionTool(name=name)).call(name, call_id)
        return RefusedCall(name, call_id, offered)

    @property
    def not_set_up(self) -> dict[str, str]:
        """The types of the tools that were asked for, and that nobody runs on this server, and why."""
        return {kind: tool.unavailable for kind, (_, tool) in self._ours.items() if tool.unavailable}

    @property
    def unheeded(self) -> list[str]:
        """What the entries say in vain, as `TYPE.MEMBER`."""
        return [f"{kind}.{member}" for kind, (_, tool) in self._ours.items() for member in tool.unheeded]

    @property
    def _running(self) -> list[Tool]:
        """The tools that we run, as far as they are set up."""
        return [tool for _, tool in self._ours.values() if tool.unavailable is None]

    async def check(self) -> None:
        """See to it that what the tools name is there. Raises the ApiError of the first that is not."""
        for tool in self._running:
            await tool.check()

    async def ready(self) -> None:
        """The tools that are offered look up what they work with."""
        for tool in self._running:
            await tool.ready()

    async def make(self) -> None:
        """The same, and they make what a response needs from its first event on. Raises ApiError."""
        await self.ready()
        for tool in self._running:
            await tool.make()

    @property
    def takes_pictures(self) -> bool:
        """Whether a tool works with the images that the input has attached."""
        return bool(self._ours) and any(tool.takes_pictures for tool in self._running)

    @property
    def takes_files(self) -> bool:
        """Whether a tool works with the files that the input has attached."""
        return bool(self._ours) and any(tool.takes_files for tool in self._running)

    def take_files(self, files: Sequence[GivenFile]) -> None:
        """The files that the input has attached."""
        for _, tool in self._ours.values():
            tool.take_files(files)

    def shown(self, tools: Sequence[WireTool | Raw]) -> list[WireTool | Raw]:
        """The entries of `tools` as the response shows them."""
        ours = {kind: tool for kind, (_, tool) in self._ours.items() if tool.unavailable is None}
        return [
            entry
            if isinstance(entry, Raw) or (tool := ours.get(str(entry.__struct_config__.tag))) is None
            else tool.shown(entry)
            for entry in tools
        ]

    def to_messages(self, item: Item) -> Sequence[Message] | None:
        """A past item of a tool as messages; None: no tool serves items of its type."""
        for row, tool in self._ours.values():
            if item_type(item) in row.reads and (read := tool.read(item)) is not None:
                return read
        return self._words(item)

    def upstream(self, item: Item) -> UpstreamTool | None:
        """The tool that such an item of the model's server belongs to; None: the request has none."""
        tools = (tool for row, tool in self._ours.values() if item_type(item) in row.reads)
        return next((tool for tool in tools if isinstance(tool, UpstreamTool)), None)

    @property
    def _words(self) -> Callable[[Item], Sequence[Message] | None]:
        """How a past item reads where nothing more is known of it."""
        return REGISTRY.to_messages if self._context.images else REGISTRY.to_messages_without_images

    def filters(self) -> TextFilter | None:
        """What a text that the model begins now is read through; None: it is taken as it is."""
        found = [found for _, tool in self._ours.values() if (found := tool.filter()) is not None]
        return Filters(found) if found else None

    def _function_of(self, name: str) -> str | None:
        """The function that is offered under this name; else the one whose tool has it, be it too long to be
        offered under it or in a namespace or server, if only one has."""
        for known in (name, offered_name(name)):
            if known in self._entries:
                return known
        bare = [
            function
            for function, entry in self._entries.items()
            if (entry.namespace or entry.label) and entry.name == name
        ]
        return bare[0] if len(bare) == 1 else None

    def _offered_all(self, offered: Collection[str]) -> bool:
        """Whether the choice of a turn rules nothing out."""
        functions = {function.name for function in self.functions}
        return self._allowed is None and bool(functions) and functions <= set(offered)

    def _serves_client(self) -> bool:
        return any(entry.tool.executor == "client" for entry in self._entries.values())

    def named(self, kinds: Sequence[str], name: str | None = None) -> list[str]:
        """The functions of the tools of these types, and with this name if one is given. A name stands for
        a member of a namespace when no tool outside of namespaces has it."""
        fitting = {
            function: entry
            for function, entry in self._entries.items()
            if entry.kind in kinds and (name is None or entry.name == name)
        }
        outside = [function for function, entry in fitting.items() if entry.namespace in (None, entry.name)]
        return outside or list(fitting)

    def members(self, group: str) -> list[str]:
        """The functions of a namespace."""
        return [function for function, entry in self._entries.items() if entry.namespace == group]

    def of_server(self, label: str, name: str | None = None) -> list[str]:
        """The functions of a server, or the one with this name."""
        return [
            function
            for function, entry in self._entries.items()
            if entry.label == label and name in (None, entry.name)
        ]

    def names_in_namespaces(self) -> frozenset[str]:
        """The names that alone name nothing, but that members of namespaces have."""
        owners: dict[str, set[str | None]] = {}
        for entry in self._entries.values():
            if not entry.label:
                owners.setdefault(entry.name, set()).add(entry.namespace)
        return frozenset(name for name, spaces in owners.items() if not spaces & {None, name})

    # ---- what must be asked for ----

    @property
    def waits(self) -> bool:
        """Whether some tools are not known yet: `connect` asks for them."""
        return bool(self._providers) and not all(each.known for each in self._providers.values())

    def has_server(self, label: str) -> bool:
        return label in self._providers

    @property
    def runs_any(self) -> bool:
        """Whether any are run here. Others have no part in what the context holds."""
        return bool(self._providers or self._ours)

    def remember(self, item: Item) -> None:
        """Take note of an item of the context."""
        for provider in self._providers.values():
            if provider.remember(item):
                self._take(provider)
        for _, tool in self._ours.values():
            tool.remember(item)

    async def reach(self, seconds: float) -> None:
        """Ask for what is not known, for so long at most; what comes later is asked for again. Raises the
        ApiError of who was asked in vain."""
        asking = {asyncio.create_task(each.reach()) for each in self._providers.values() if not each.known}
        try:
            await asyncio.wait(asking, timeout=seconds)
        finally:
            for task in asking:
                task.cancel()
        self.refuse_unlisted()

    def refuse_unlisted(self) -> None:
        """Raises the ApiError of who was asked for its tools in vain."""
        for each in self._providers.values():
            if each.fault is not None:
                raise each.fault

    async def connect(self, machine: Machine, flush: Callable[[], Awaitable[None]]) -> None:
        """Ask for what is not known, all at once. Awaits `flush` whenever there is something new to hand
        over."""
        asked = [each for each in self._providers.values() if not each.known]
        for each in asked:
            each.begin(machine)
        await flush()
        asking = {asyncio.create_task(each.ask()) for each in asked}
        try:
            waiting = asking
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                await flush()
        finally:
            for task in asking:
                task.cancel()
        for each in asked:  # in the request's order, however long each took
            self._take(each)
        await self.compile()

    def notes(self) -> tuple[Message, ...]:
        """What the model must know of those that were asked."""
        return tuple(note for each in self._providers.values() for note in each.note())

    def approved(self, call: ApprovedCall) -> ToolCall:
        """A call that may be made now, of a server that is there."""
        return self._providers[call.label].approved(call)

    def _is_provider(self, wire: WireTool, context: ToolContext) -> bool:
        found = REGISTRY.provider(wire, context)
        if found is None:
            return False
        check_callers(wire, context)
        if found.label in self._providers:
            raise InvalidRequest(
                f"Duplicate server label '{found.label}'. Labels of servers must be unique.",
                param=context.place,
            )
        self._providers[found.label] = found
        if getattr(wire, "defer_loading", None):
            about = getattr(wire, "server_description", None) or ""
            self._hiding[found.label] = NamespaceTool(name=found.label, description=about, tools=[])
        return True

    def _take(self, known: ToolProvider) -> None:
        group = self._hiding.get(known.label)
        for name, tool in known.tools():
            self._uncompiled.append(tool)
            for function in tool.functions():
                hidden = group is not None and function.name not in self._found
                callers = known.callers or ("direct",)
                entry = Entry(known.kind, name, None, tool, hidden, known.label, callers)
                self._entries.setdefault(function.name, entry)
                if group is not None:
                    wire = FunctionTool(name=name, description=function.description)
                    self._deferred[function.name] = Deferred(wire, group, known.label)

    def _find_in(self, wire: McpTool) -> None:
        """Offer tools of a server that were searched for."""
        names = wire.allowed_tools if isinstance(wire.allowed_tools, list) else []
        functions = [safe_name(name, wire.server_label) for name in names]
        self._found.update(functions)
        self.reveal(function for function in functions if function in self._entries)

    # ---- what can be searched for ----

    def reveal(self, names: Iterable[str]) -> None:
        """Offer functions that would have to be searched for."""
        for name in names:
            if self._entries[name].hidden:
                self._entries[name] = self._entries.pop(name)._replace(hidden=False)

    def listing(self) -> str:
        return deferred.listing(tuple(self._deferred.values()))

    def find(self, wanted: Sequence[str]) -> Sequence[WireTool]:
        found = deferred.regroup(deferred.find(tuple(self._deferred.values()), wanted))
        self.load(found, "tool_search_output", "server")
        return found

    # ---- how they come in ----

    def _resolve(self, wire: WireTool, context: ToolContext) -> Tool:
        row = REGISTRY.row(wire, context)
        check_callers(wire, context)
        assert row.resolve is not None, "its tools are asked for"
        tool = row.resolve(wire, context)
        if (kind := hosted_kind(wire, context.hosting)) is not None:
            tool = UpstreamTool(wire, kind, tool, context.hosting, self._words)
        self._uncompiled.append(tool)
        if tool.executor == "server":
            self._ours[str(wire.__struct_config__.tag)] = (row, tool)
            self.item_types = self.item_types.union(row.reads)
        return tool

    def _entries_of(self, wire: WireTool, context: ToolContext, found: bool) -> Iterator[tuple[str, Entry]]:
        """The functions of an entry of `tools`. What is found need not be searched for again."""
        if isinstance(wire, ToolSearchTool):
            self._searches = True
        group = wire if isinstance(wire, NamespaceTool) else None
        for member, member_context in namespace.members(wire, context):
            tool = self._resolve(member, member_context)
            hidden = not found and bool(getattr(member, "defer_loading", None))
            for function in tool.functions():
                if hidden and isinstance(member, FunctionTool | CustomTool):
                    self._deferred[function.name] = Deferred(member, group)
                yield function.name, entry_of(member, member_context, tool, hidden)

    def _put(self, name: str, entry: Entry, place: str) -> None:
        before = self._entries.get(name)
        if before is not None:
            if (before.kind, before.name) != (entry.kind, entry.name):
                raise duplicate(name, entry, before, place)
            if not before.hidden:
                entry = entry._replace(hidden=False)
            elif not entry.hidden:
                del self._entries[name]  # found just now: it stands behind what was offered before
        self._entries[name] = entry
        self._refuse_many(place)

    def _refuse_many(self, place: str) -> None:
        if len(self._entries) > MOST_TOOLS:
            raise InvalidRequest(
                f"A response can have {MOST_TOOLS} tools at most.", param=place, code="array_above_max_length"
            )
