"""MCP servers, as the rest of the house knows them. Nothing here needs the MCP library: it is loaded when a
server is first used."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct, json


class Remote(Struct, frozen=True, kw_only=True):
    """A server that is reached over HTTP."""

    url: str
    headers: Mapping[str, str] = {}
    """Sent with every request; they are secrets."""


class Configured(Remote, frozen=True, kw_only=True):
    """One that the operator named, and not a request: it may be anywhere."""


class Local(Struct, frozen=True, kw_only=True):
    """A server that we start, and talk to over its standard streams."""

    command: str
    args: list[str] = []
    env: Mapping[str, str] = {}


Address = Remote | Local


def key_of(project: str, address: Address) -> str:
    """What is shared among requests with the same server and the same credentials, within a project."""
    return sha256(json.encode((project, type(address).__name__, address), order="sorted")).hexdigest()


class Limits(Struct, frozen=True, kw_only=True):
    """What a server may take. Seconds and bytes."""

    call_seconds: float = 60.0
    """How long a call may go on without a sign of life (an answer, or a progress notification)."""
    total_seconds: float = 600.0
    """How long a call may go on at all."""
    list_seconds: float = 20.0
    """How long connecting and listing the tools may take together."""
    result_bytes: int = 4 * 2**20
    """The largest answer."""
    result_values: int = 30_000
    """JSON values of the largest answer: each costs more to look at than its bytes."""
    connections: int = 100
    """How many connections are kept."""
    idle_seconds: float = 120.0
    """How long a connection is kept when nobody uses it."""
    cache_seconds: float = 60.0
    """How long a listing is remembered."""


class Listed(Struct, frozen=True):
    """A tool of a server, in the server's words."""

    name: str
    description: str | None
    input_schema: Any
    annotations: Any = None


class Result(Struct, frozen=True):
    """What a call gave: content blocks of the protocol, as JSON."""

    content: list[dict[str, Any]]
    failed: bool = False
    """Whether the tool says that it failed."""


class McpError(Exception):
    """A server did not do what it was asked. The message may be shown: it has no path of a URL, no header."""

    def __init__(
        self, kind: Literal["http", "protocol"], code: int, message: str, unsent: bool = False
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        """An HTTP status, or a code of JSON-RPC."""
        self.message = message
        self.unsent = unsent
        """Whether the server surely has not done anything: it may be asked again."""


CLOSED, TIMEOUT = -32000, -32001
"""Codes of JSON-RPC, as the MCP library has them."""


def too_late(seconds: float) -> McpError:
    return McpError("protocol", TIMEOUT, f"The MCP server did not answer within {seconds:g} seconds.")
