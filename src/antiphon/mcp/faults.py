"""What can go wrong with an MCP server, told in words that may be shown: no URL's path, no header."""

from collections.abc import Iterator
from contextvars import ContextVar
from http import HTTPStatus

from mcp import MCPError
from pydantic import ValidationError

from antiphon.mcp.base import CLOSED, Fault

INVALID = -32600
_LONGEST = 2000


class Exchange:
    """What passed over the network for one request. The library tells of most failures only that there was
    one, so they are noted where they pass."""

    def __init__(self) -> None:
        self.status: int | None = None
        """The last HTTP status that told of an error."""
        self.broken: str | None = None
        """Why the network failed."""
        self.unsent = False


EXCHANGE: ContextVar[Exchange] = ContextVar("mcp_exchange")


def begin() -> Exchange:
    """Note what passes for the tasks that are started from here on."""
    exchange = Exchange()
    EXCHANGE.set(exchange)
    return exchange


def fault_of(error: BaseException | None, exchange: Exchange) -> Fault:
    """Why a request failed. `error` is what the library raised; None: it was given up."""
    leaves = list(_leaves(error)) if error is not None else []
    own = [leaf for leaf in leaves if isinstance(leaf, Fault)]
    if own:
        return own[0]
    if exchange.broken is not None:
        return Fault("protocol", CLOSED, exchange.broken, exchange.unsent)
    if exchange.status is not None:
        return _http(exchange.status)
    return _told(leaves)


def _http(status: int) -> Fault:
    known = status in {each.value for each in HTTPStatus}
    words = f" {HTTPStatus(status).phrase}" if known else ""
    # 404 is also how a server says that it does not know the session: nothing was done then.
    return Fault("http", status, f"The MCP server answered with HTTP {status}{words}.", unsent=status == 404)


def _told(leaves: list[BaseException]) -> Fault:
    for leaf in leaves:
        if isinstance(leaf, MCPError):
            return Fault("protocol", leaf.code, _short(leaf.message))
        if isinstance(leaf, ValidationError):
            return Fault("protocol", INVALID, "The MCP server's answer does not fit the protocol.")
        if isinstance(leaf, RuntimeError):  # the result does not fit the tool's own schema
            return Fault("protocol", INVALID, _short(str(leaf)))
        if isinstance(leaf, OSError):
            return Fault("protocol", CLOSED, f"The MCP server could not be started: {leaf.strerror or leaf}")
    return Fault("protocol", CLOSED, "The connection to the MCP server was closed.")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
