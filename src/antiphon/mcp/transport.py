"""HTTP to MCP servers: the library's HTTP client, over connections that go only where they may.

The library takes what fails on the network as the end of a whole session. Here it becomes an answer like any
other, with the cause noted (`Exchange`), so that one request that fails does not take its neighbours along.
"""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import httpx2
from aiohttp.client_exceptions import ClientConnectorDNSError
from msgspec import DecodeError, Raw, Struct, json

from antiphon.guard.addresses import NOT_PUBLIC, Forbidden, Reachable, is_forbidden, sockets
from antiphon.guard.json_size import ValueCounter
from antiphon.mcp.base import Limits
from antiphon.mcp.errors import EXCHANGE, Exchange
from antiphon.telemetry.tracing import passed_on

_OURS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 4.0  # servers commonly close idle connections after 5
_LONGEST_REFUSAL = 4096


def open_session(reachable: Reachable) -> aiohttp.ClientSession:
    """The connections to all servers."""
    connector = aiohttp.TCPConnector(
        limit=0,
        use_dns_cache=False,
        keepalive_timeout=_IDLE_SECONDS,
        socket_factory=sockets(reachable),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
    )


class Outbound(httpx2.AsyncBaseTransport):
    """Sends the library's requests over a session of ours. Bodies larger than an answer may be are cut off.
    `one_way`: the answers come by another way, and nobody but us notices that there will be none."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits, one_way: bool = False) -> None:
        self._session = session
        self._limits = limits
        self._one_way = one_way

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = EXCHANGE.get()
        answer = await self._send(request, exchange)
        if self._one_way and answer.status_code >= 400:
            exchange.give_up()
        return answer

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        exchange.refused = False
        try:
            answer = await self._session.request(
                request.method,
                str(request.url),
                headers=_passed(request.headers),
                skip_auto_headers=("User-Agent", "Content-Type"),
                data=await request.aread() or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _note(exchange, error)
            return httpx2.Response(502, request=request)
        if answer.status >= 400:
            exchange.status = answer.status
        else:
            exchange.taken = True
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            answer.close()
            exchange.broken = "The MCP server compressed its answer, which it was not asked for."
            return httpx2.Response(502, request=request)
        head = await _refusal(answer)
        in_session = self._one_way or "mcp-session-id" in request.headers
        exchange.refused = in_session and _forgot(answer.status, head)
        lasting = request.method == "GET"  # a stream of events that lasts as long as the session
        events = answer.content_type == "text/event-stream"
        size = (_EventSize if events else _Size)(self._limits, lasting)
        body = _Body(answer, exchange, size, head)
        return httpx2.Response(
            answer.status, headers=list(answer.headers.items()), stream=body, request=request
        )


def _passed(headers: httpx2.Headers) -> list[tuple[str, str]]:
    """The library's, and what the request is part of."""
    given = [(name, value) for name, value in headers.multi_items() if name not in _OURS]
    return [*given, *passed_on().items()]


class _Body(httpx2.AsyncByteStream):
    """What the server answers; `head` is what of it was read before."""

    def __init__(
        self, answer: aiohttp.ClientResponse, exchange: Exchange, size: "_Size", head: bytes
    ) -> None:
        self._head = head
        self._answer = answer
        self._exchange = exchange
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._head:
                yield self._head
            async for chunk in self._answer.content.iter_any():
                if fault := self._size.fault_with(chunk):
                    self._exchange.broken = fault
                    raise httpx2.StreamError(fault)
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            self._exchange.broken = "The MCP server broke off its answer."
            raise httpx2.StreamError(self._exchange.broken) from error

    async def aclose(self) -> None:
        self._answer.close()


class _Size:
    """How much of an answer has come; of one that lasts, bytes are no matter."""

    def __init__(self, limits: Limits, lasting: bool) -> None:
        self._most_values = limits.result_values
        self._most_bytes = None if lasting else limits.result_bytes
        self._bytes = 0
        self._values = ValueCounter()

    def fault_with(self, chunk: bytes) -> str | None:
        """Why the answer is too large with this piece; None: it is not."""
        self._bytes += len(chunk)
        if self._most_bytes is not None and self._bytes > self._most_bytes:
            return too_large(self._most_bytes)
        self._count(chunk)
        if self._values.count > self._most_values:
            return f"The MCP server's answer holds more than {self._most_values} JSON values."
        return None

    def _count(self, chunk: bytes) -> None:
        self._values.feed(chunk)


class _EventSize(_Size):
    """The same of a stream of events: values are counted for each event, which a blank line ends."""

    _line = b""
    """The end of a line that the last piece ended with."""

    def _count(self, chunk: bytes) -> None:
        lines = self._line + chunk.replace(b"\r", b"")
        self._line = b"\n" if lines.endswith(b"\n") else b""
        for index, event in enumerate(lines.split(b"\n\n")):
            if index and self._values.count <= self._most_values:
                self._values = ValueCounter()
            self._values.feed(event)


async def _refusal(answer: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, if it is short."""
    if answer.status != 400 or not 0 < (answer.content_length or 0) <= _LONGEST_REFUSAL:
        return b""
    with contextlib.suppress(aiohttp.ClientError, OSError):  # it is reported when the body is read
        return await answer.content.read()
    return b""


def _forgot(status: int, body: bytes) -> bool:
    """Whether the server does not know the session that a request named, and so has done nothing. The
    protocol has it say 404; many servers say 400, with an error that belongs to no request."""
    if status != 400:
        return status == 404
    try:
        return json.decode(body, type=_Refusal).id is None
    except (DecodeError, RecursionError):
        return False


class _Refusal(Struct):
    """An error of JSON-RPC."""

    error: Raw
    id: str | int | None = None


def too_large(most: int) -> str:
    return f"The MCP server's answer is larger than {most} bytes."


def _note(exchange: Exchange, error: Exception) -> None:
    """Why there was no answer, in words that name neither the URL nor what was sent."""
    exchange.refused = isinstance(error, aiohttp.ClientConnectorError | Forbidden)
    if is_forbidden(error):
        exchange.broken = f"The MCP server's URL {NOT_PUBLIC}."
    elif isinstance(error, ClientConnectorDNSError):
        exchange.broken = "The MCP server's host could not be found."
    elif isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        exchange.broken = "The MCP server could not be reached."
    else:
        exchange.broken = "The connection to the MCP server failed."
