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
from antiphon.mcp.errors import EXCHANGE, Exchange

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
    """Sends the library's requests over a session of ours. Bodies longer than `most` bytes are cut off.
    `one_way`: the answers come by another way, and nobody but us notices that there will be none."""

    def __init__(self, session: aiohttp.ClientSession, most: int, one_way: bool = False) -> None:
        self._session = session
        self._most = most
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
                headers=[(name, value) for name, value in request.headers.multi_items() if name not in _OURS],
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
        body = _Body(answer, exchange, None if lasting else self._most, head)
        return httpx2.Response(
            answer.status, headers=list(answer.headers.items()), stream=body, request=request
        )


class _Body(httpx2.AsyncByteStream):
    """What the server answers; `head` is what of it was read before."""

    def __init__(
        self, answer: aiohttp.ClientResponse, exchange: Exchange, most: int | None, head: bytes
    ) -> None:
        self._head = head
        self._answer = answer
        self._exchange = exchange
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            if self._head:
                yield self._head
            async for chunk in self._answer.content.iter_any():
                size += len(chunk)
                if self._most is not None and size > self._most:
                    self._exchange.broken = too_large(self._most)
                    raise httpx2.StreamError(self._exchange.broken)
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            self._exchange.broken = "The MCP server broke off its answer."
            raise httpx2.StreamError(self._exchange.broken) from error

    async def aclose(self) -> None:
        self._answer.close()


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
    except DecodeError:
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
