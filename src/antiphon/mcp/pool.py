"""Connections to MCP servers, shared among requests with the same credentials, and what the servers listed.

A connection is kept while it is of use: until it fails, until nobody has asked for a while, or until there
are too many. A request that cannot have reached the server is made once more, over a new connection.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from antiphon.guard.addresses import NOT_PUBLIC, Reachable, anywhere, as_address
from antiphon.guard.lazily import imported
from antiphon.mcp.base import (
    CLOSED,
    Address,
    Configured,
    Limits,
    Listed,
    McpError,
    Remote,
    Result,
    key_of,
    too_late,
)

if TYPE_CHECKING:
    import aiohttp

    from antiphon.mcp.connection import Connection

T = TypeVar("T")
Work = Callable[["Connection"], Awaitable[T]]

_LISTINGS = 256
"""How many listings are remembered."""


class _Slot:
    """The place of one connection."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.visitors = 0
        """How many requests are about it."""
        self.connection: Connection | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        return self.connection is not None and not self.visitors


class Pool:
    """MCP servers, by their addresses. Make it, and close it, within an event loop."""

    def __init__(self, limits: Limits, reachable: Reachable) -> None:
        """`reachable` says which network addresses may be connected to."""
        self.limits = limits
        self._reachable = reachable
        self._guarded: aiohttp.ClientSession | None = None
        self._trusted: aiohttp.ClientSession | None = None
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._listings: OrderedDict[str, tuple[float, Sequence[Listed]]] = OrderedDict()
        self._living: set[Connection] = set()
        """All connections that have not ended: also those that are being made, or that nobody is given any
        more."""
        self._closing: set[asyncio.Task[None]] = set()

    async def list(self, project: str, address: Address) -> Sequence[Listed]:
        """The server's tools. Raises McpError."""
        key = key_of(project, address)
        slot = self._slots.get(key)
        if slot is not None and slot.connection is not None and slot.connection.changed:
            slot.connection.changed = False
            self._listings.pop(key, None)
        known = self._listings.get(key)
        if known is not None and known[0] > _now():
            return known[1]
        await imported("antiphon.mcp.connection")  # not at the server's expense
        seconds = self.limits.list_seconds
        try:
            async with asyncio.timeout(seconds):
                found = await self._with(key, address, lambda connection: connection.list())
        except TimeoutError:
            raise too_late(seconds) from None
        self._listings[key] = (_now() + self.limits.cache_seconds, found)
        self._listings.move_to_end(key)
        while len(self._listings) > _LISTINGS:
            self._listings.popitem(last=False)
        return found

    async def call(self, project: str, address: Address, name: str, arguments: dict[str, Any]) -> Result:
        """What a tool of the server gives. Raises McpError."""
        return await self._with(
            key_of(project, address), address, lambda connection: connection.call(name, arguments)
        )

    async def close(self) -> None:
        """Ends all servers that were started, and all connections, together: in some three seconds, however
        they hang."""
        for slot in self._slots.values():
            if slot.timer is not None:
                slot.timer.cancel()
        self._slots.clear()
        await asyncio.gather(*(connection.close() for connection in self._living), *self._closing)
        for session in (self._guarded, self._trusted):
            if session is not None:
                await session.close()

    async def _with(self, key: str, address: Address, work: "Work[T]") -> T:
        """Work done over a connection; once more when the server surely was not reached. Raises McpError."""
        try:
            return await self._once(key, address, work)
        except McpError as fault:
            if not fault.unsent:
                raise
        return await self._once(key, address, work)

    async def _once(self, key: str, address: Address, work: "Work[T]") -> T:
        slot = self._slots.setdefault(key, _Slot())
        self._slots.move_to_end(key)
        slot.visitors += 1
        try:
            return await self._through(slot, key, address, work)
        finally:
            slot.visitors -= 1
            if slot.connection is None and not slot.visitors:
                self._slots.pop(key, None)
            self._make_room()

    async def _through(self, slot: _Slot, key: str, address: Address, work: "Work[T]") -> T:
        connection = await self._connected(slot, address)
        self._take(slot, connection)
        try:
            return await work(connection)
        except McpError as fault:
            if fault.unsent or fault.code == CLOSED or not connection.usable:
                connection.retire()
            raise
        finally:
            self._leave(key, slot, connection)

    async def _connected(self, slot: _Slot, address: Address) -> "Connection":
        """The slot's connection; a new one if it has none that is of use. Raises McpError."""
        async with slot.opening:
            if slot.connection is not None and slot.connection.usable:
                return slot.connection
            if slot.connection is not None:
                slot.connection.retire()
                slot.connection = None
            self._make_room()
            slot.connection = await self._open(address)
            return slot.connection

    async def _open(self, address: Address) -> "Connection":
        library = await imported("antiphon.mcp.connection")
        session = self._session(library, address)
        try:
            async with asyncio.timeout(self.limits.list_seconds):
                opened: Connection = await library.connect(address, session, self.limits, self._living)
                return opened
        except TimeoutError:
            raise too_late(self.limits.list_seconds) from None

    def _session(self, library: Any, address: Address) -> "aiohttp.ClientSession":
        """What the operator named may be anywhere; what a request names is guarded. Raises McpError."""
        if isinstance(address, Configured):
            self._trusted = self._trusted or library.open_session(anywhere)
            return self._trusted
        if isinstance(address, Remote):
            _check_host(address.url, self._reachable)
        self._guarded = self._guarded or library.open_session(self._reachable)
        return self._guarded

    def _make_room(self) -> None:
        """Close what was used longest ago, when there are too many."""
        many = len(self._slots) - self.limits.connections
        if many > 0:
            for key in [key for key, slot in self._slots.items() if slot.idle][:many]:
                self._drop(key)

    def _take(self, slot: _Slot, connection: "Connection") -> None:
        connection.users += 1
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None

    def _leave(self, key: str, slot: _Slot, connection: "Connection") -> None:
        connection.users -= 1
        if connection.users:
            return
        if connection.retired:
            self._part(connection)
        elif slot.timer is None:
            loop = asyncio.get_running_loop()
            slot.timer = loop.call_later(self.limits.idle_seconds, self._drop, key)

    def _drop(self, key: str) -> None:
        slot = self._slots.get(key)
        if slot is not None and slot.idle and slot.connection is not None:
            del self._slots[key]
            self._part(slot.connection)

    def _part(self, connection: "Connection") -> None:
        """Close a connection, while others go on."""
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _check_host(url: str, reachable: Reachable) -> None:
    """An address that is written in one of the old ways is followed by nobody here. Raises McpError."""
    address = as_address(urlsplit(url).hostname or "")
    if address is not None and not reachable(address):
        raise McpError("protocol", CLOSED, f"The MCP server's URL {NOT_PUBLIC}.")


def _now() -> float:
    return asyncio.get_running_loop().time()
