"""One connection to an MCP server.

The library's sessions must be opened and closed in one task, and end with whatever went wrong in any of the
tasks behind them. So each is kept by a task of its own, and so is every request that is made over it: what a
task ended with is read from the task, never caught, and nothing a server does can reach who asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Self, TypeVar

import aiohttp
import httpx2
from mcp import Client, MCPError
from mcp.client import stdio
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import CallToolResult, ToolListChangedNotification
from msgspec import json

from antiphon.mcp.base import CLOSED, Address, Limits, Listed, Local, McpError, Remote, Result, too_late
from antiphon.mcp.errors import begin, error_of, hung_up
from antiphon.mcp.structured import with_structured
from antiphon.mcp.transport import Outbound, open_session, too_large
from antiphon.mcp.transport_monitor import monitored

__all__ = ["Connection", "connect", "open_session"]

T = TypeVar("T")

_PAGES = 50
"""How many pages of tools are read."""
_PARTING_SECONDS = 2.0
"""How long a server may take to say goodbye."""
_ENDING_SECONDS = 4.0
"""How long a server that we started may take to end. The library needs some 2.5 seconds at most, until it has
killed all that it started; whoever cancels it meanwhile leaves a process behind."""
_OLD = (400, 404, 405)
"""How servers answer that know nothing of streamable HTTP."""

# What goes wrong with a server stands in the response; the libraries would also write it to our log, with
# the whole URL, which may be a secret.
for _name in ("mcp", "httpx2"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False

# The library's own four seconds are too long for whoever waits for our server to stop.
stdio.PROCESS_TERMINATION_TIMEOUT = 1.0
stdio.FORCE_KILL_TIMEOUT = 1.0


class Connection:
    """A session with a server. Made by `connect`; `retired` ones are given to nobody any more."""

    def __init__(self, limits: Limits, living: "set[Connection]", parting: float = _PARTING_SECONDS) -> None:
        """`living`: where it stands from its beginning until its session has ended, whoever has it or has
        given it up; `parting`: seconds that its end may take before it is cut short."""
        self.retired = False
        self.changed = False
        """Whether the server said that its tools are others now."""
        self.users = 0
        self._limits = limits
        self._living = living
        self._parting = parting
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._keeper: asyncio.Task[None] | None = None
        self._cut = False
        """Whether its keeper was cancelled. Once is enough: the second time would stop it in the middle of
        ending the process that it started."""

    @property
    def usable(self) -> bool:
        return not self.retired and self._keeper is not None and not self._keeper.done()

    async def open(self, transport: Any, mode: str) -> Self:
        """Itself, when its session has begun. Raises McpError."""
        exchange = begin()
        self._keeper = asyncio.create_task(self._keep(transport, mode))
        self._living.add(self)
        self._keeper.add_done_callback(self._over)
        try:
            first: set[asyncio.Future[Any]] = {self._ready, self._keeper}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._ready.done():
                self._cut_short(self._keeper)
        if not self._ready.done():
            raise error_of(exchange, _error(self._keeper))
        return self

    async def list(self) -> list[Listed]:
        """Raises McpError."""
        found: dict[str, Listed] = {}
        cursor: str | None = None
        seconds = self._limits.list_seconds
        for _ in range(_PAGES):
            asked = self._ready.result().list_tools(cursor=cursor)
            page = await self._ask(asked, _Patience(seconds, seconds))
            for tool in page.tools:
                described = _as_json(tool)
                listed = Listed(
                    tool.name,
                    tool.description,
                    described.get("inputSchema") or {},
                    described.get("annotations"),
                )
                found.setdefault(tool.name, listed)
            cursor = page.next_cursor
            if cursor is None:
                break
        return list(found.values())

    async def call(self, name: str, arguments: dict[str, Any]) -> Result:
        """Raises McpError."""
        patience = _Patience(self._limits.call_seconds, self._limits.total_seconds)
        result = await self._ask(self._called(name, arguments, patience), patience)
        content = with_structured([_as_json(block) for block in result.content], result.structured_content)
        if len(json.encode(content)) > self._limits.result_bytes:
            raise McpError("protocol", CLOSED, too_large(self._limits.result_bytes))
        return Result(content, result.is_error)

    def retire(self) -> None:
        """Give it to nobody any more; it is closed when its last user has left."""
        self.retired = True
        if self.users == 0:
            self._closing.set()

    async def close(self) -> None:
        """Close it now."""
        self.retired = True
        self._closing.set()
        if self._keeper is None:
            return
        if not self._ready.done():
            self._cut_short(self._keeper)
        await asyncio.wait({self._keeper}, timeout=self._parting)
        if not self._keeper.done():
            self._cut_short(self._keeper)
            await asyncio.wait({self._keeper}, timeout=_PARTING_SECONDS)

    def _cut_short(self, keeper: "asyncio.Task[None]") -> None:
        if not self._cut:
            self._cut = True
            keeper.cancel()

    def _over(self, keeper: "asyncio.Task[None]") -> None:
        """The session has ended."""
        self._living.discard(self)
        _seen(keeper)

    def _lost(self) -> None:
        """The server has hung up."""
        self.retired = True
        self._closing.set()

    async def _keep(self, transport: Any, mode: str) -> None:
        client = Client(monitored(transport, self._lost), mode=mode, cache=None, message_handler=self._heard)
        async with client:
            self._ready.set_result(client)
            following = asyncio.create_task(self._follow(client))
            following.add_done_callback(_seen)
            try:
                await self._closing.wait()
            finally:
                following.cancel()
                await asyncio.wait({following})

    async def _heard(self, message: Any) -> None:
        self.changed = self.changed or isinstance(message, ToolListChangedNotification)

    async def _follow(self, client: Client) -> None:
        """Newer servers report changes only to subscribers; it is no loss if one does not after all."""
        begin()
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        with contextlib.suppress(MCPError, ListenNotSupportedError, SubscriptionLost):
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self.changed = True

    async def _called(self, name: str, arguments: dict[str, Any], patience: "_Patience") -> CallToolResult:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            patience.renew()

        return await self._ready.result().call_tool(name, arguments, progress_callback=progress)

    async def _ask(self, work: Coroutine[Any, Any, T], patience: "_Patience") -> T:
        """Do some work with the session, in a task of its own. Raises McpError. Work that is given up may
        still occupy the session, so that is given to nobody any more."""
        assert self._keeper is not None
        exchange = begin()
        task = asyncio.create_task(work)
        task.add_done_callback(_seen)
        ends: set[asyncio.Future[Any]] = {task, self._keeper, exchange.hopeless}
        try:
            while not any(end.done() for end in ends) and patience.left() > 0:
                await asyncio.wait(ends, timeout=patience.left(), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._keeper.done():  # the session has ended, and answers its requests
                await asyncio.wait({task}, timeout=_PARTING_SECONDS)
            if hung_up(_error(task)):  # the session is about to end, and will say why
                await asyncio.wait({self._keeper}, timeout=_PARTING_SECONDS)
        finally:
            if not task.done():
                task.cancel()
                self.retire()
        if not any(end.done() for end in ends):
            raise too_late(patience.seconds)
        if not task.done() or task.cancelled() or task.exception() is not None:
            raise error_of(exchange, _error(task), _error(self._keeper))
        return task.result()


class _Patience:
    """How long something may still take."""

    def __init__(self, idle: float, total: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._idle = idle
        self._total = total
        self._end = self._now() + total
        self._next = self._now() + idle

    def renew(self) -> None:
        """There was a sign of life."""
        self._next = self._now() + self._idle

    def left(self) -> float:
        return min(self._next, self._end) - self._now()

    @property
    def seconds(self) -> float:
        """What has run out first."""
        return self._idle if self._next <= self._end else self._total


async def connect(
    address: Address, session: aiohttp.ClientSession, limits: Limits, living: set[Connection]
) -> Connection:
    """A session with the server, which stands in `living` until it has ended. Raises McpError."""
    if isinstance(address, Local):
        started = stdio.StdioServerParameters(
            command=address.command, args=list(address.args), env=dict(address.env)
        )
        return await Connection(limits, living, _ENDING_SECONDS).open(stdio.stdio_client(started), "auto")
    try:
        return await Connection(limits, living).open(_streamable(address, session, limits), "auto")
    except McpError as fault:
        if fault.kind != "http" or fault.code not in _OLD:
            raise
        with contextlib.suppress(McpError):
            return await Connection(limits, living).open(_events(address, session, limits), "legacy")
        raise


@contextlib.asynccontextmanager
async def _streamable(
    address: Remote, session: aiohttp.ClientSession, limits: Limits
) -> AsyncGenerator[Any, None]:
    async with (
        _http(address, session, limits) as http,
        streamable_http_client(
            address.url, http_client=http, max_sse_event_size=limits.result_bytes
        ) as streams,
    ):
        yield streams


def _events(address: Remote, session: aiohttp.ClientSession, limits: Limits) -> Any:
    """The transport of older servers: one stream of events for all answers."""

    def factory(headers: Any = None, timeout: Any = None, auth: Any = None) -> httpx2.AsyncClient:
        return _http(address, session, limits, one_way=True)

    return sse_client(address.url, httpx_client_factory=factory)


def _http(
    address: Remote, session: aiohttp.ClientSession, limits: Limits, one_way: bool = False
) -> httpx2.AsyncClient:
    transport = Outbound(session, limits, one_way)
    return httpx2.AsyncClient(
        transport=transport, headers=dict(address.headers), timeout=None, trust_env=False
    )


def _as_json(model: Any) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain


def _seen(task: "asyncio.Task[Any]") -> None:
    """What a task ended with is raised to whoever waits for it, if anybody does."""
    if not task.cancelled():
        task.exception()


def _error(task: "asyncio.Task[Any]") -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
