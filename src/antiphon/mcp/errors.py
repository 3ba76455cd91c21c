"""What can go wrong with an MCP server, in words that may be shown: no URL's path, no header."""

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from http import HTTPStatus

import httpx2
from mcp import MCPError
from pydantic import ValidationError

from antiphon.mcp.base import CLOSED, McpError

INVALID = -32600
_LONGEST = 2000
_REDIRECT = "Redirect to "
_CLOSED = "The connection to the MCP server was closed."
_HUNG_UP = "Connection closed"
_STAND_INS = {"Server returned an error response", "Session terminated", "Not Found", _HUNG_UP}
"""What the library says when the server gave no reason."""


class Exchange:
    """What passed for one request. Of most failures the library reports only that there was one, so they are
    noted where they pass."""

    def __init__(self) -> None:
        self.status: int | None = None
        """The last HTTP status that was an error."""
        self.broken: str | None = None
        """Why the network failed."""
        self.written = False
        """Whether anything was handed to the transport."""
        self.taken = False
        """Whether a server took anything up: HTTP said so."""
        self.refused = False
        """Whether what was sent last surely was not taken up."""
        self.hopeless: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there will be no answer, and the library does not notice."""

    def give_up(self) -> None:
        if not self.hopeless.done():
            self.hopeless.set_result(None)

    @property
    def untouched(self) -> bool:
        """Whether the server surely has not begun to do anything."""
        return not self.taken and (self.refused or not self.written)


EXCHANGE: ContextVar[Exchange] = ContextVar("mcp_exchange")


def begin() -> Exchange:
    """Note what passes for the tasks that are started from here on."""
    exchange = Exchange()
    EXCHANGE.set(exchange)
    return exchange


def error_of(exchange: Exchange, *errors: BaseException | None) -> McpError:
    """Why a request failed. `errors` are what the library raised, for the request and for the session."""
    leaves = [leaf for error in errors if error is not None for leaf in _leaves(error)]
    own = [leaf for leaf in leaves if isinstance(leaf, McpError)]
    if own:
        return own[0]
    if exchange.broken is not None:
        return McpError("protocol", CLOSED, exchange.broken, exchange.untouched)
    if exchange.status is not None and not any(map(_speaks, leaves)):
        return _http(exchange.status, exchange.untouched)
    return _reported(leaves, exchange.untouched)


def hung_up(error: BaseException | None) -> bool:
    """Whether the library says no more than that the session is over."""
    return isinstance(error, MCPError) and error.message == _HUNG_UP


def _speaks(leaf: BaseException) -> bool:
    """Whether the server itself said what was wrong, beside an HTTP status."""
    return isinstance(leaf, MCPError) and leaf.message not in _STAND_INS


def _http(status: int, untouched: bool) -> McpError:
    known = status in {each.value for each in HTTPStatus}
    words = f" {HTTPStatus(status).phrase}" if known else ""
    return McpError("http", status, f"The MCP server answered with HTTP {status}{words}.", untouched)


def _reported(leaves: list[BaseException], untouched: bool) -> McpError:
    # What broke the session says more than that it is broken, which every request of it reports.
    for leaf in sorted(leaves, key=lambda leaf: not isinstance(leaf, httpx2.SSEError)):
        if isinstance(leaf, httpx2.SSEError):  # an event is too large
            return McpError(
                "protocol", CLOSED, f"The MCP server's answer cannot be read: {_short(str(leaf))}"
            )
        if isinstance(leaf, MCPError):
            return McpError("protocol", leaf.code, _words(leaf.message), untouched)
        if isinstance(leaf, ValidationError):
            return McpError("protocol", INVALID, "The MCP server's answer does not fit the protocol.")
        if isinstance(leaf, RuntimeError):  # the result breaks the tool's schema; or no session
            return McpError("protocol", INVALID, _short(str(leaf)), untouched)
        if isinstance(leaf, OSError):
            return McpError(
                "protocol", CLOSED, f"The MCP server could not be started: {leaf.strerror or leaf}"
            )
    return McpError("protocol", CLOSED, _CLOSED, untouched)


def _words(message: str) -> str:
    if message.startswith(_REDIRECT):  # the path that follows may be a secret of the user's
        return "The MCP server redirects to another address, which is not followed: name that one instead."
    return _CLOSED if message == _HUNG_UP else _short(message)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
