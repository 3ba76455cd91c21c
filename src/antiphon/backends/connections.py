"""Connections to upstreams over aiohttp: how they are opened, written to, and read to their ends."""

import asyncio
from contextvars import ContextVar
from io import BytesIO
from typing import Any

import aiohttp
from yarl import URL

# After [DONE] the body ends at once; whoever dawdles loses the connection.
_GRACE = 1.0
_LARGE = 2**20
"""Bytes of a body that is not written in one go."""


async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    body: bytes | None,
    patience: aiohttp.ClientTimeout,
) -> aiohttp.ClientResponse:
    """A request, and the head of its answer."""
    headers = {"Content-Type": "application/json"} if body is not None else None
    # Of a large one, aiohttp hands the socket a piece at a time only when it is a file.
    data = BytesIO(body) if body is not None and len(body) > _LARGE else body
    return await session.request(
        method, url, data=data, headers=headers, allow_redirects=False, timeout=patience
    )


def timeout(connect: float, read: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect, connect=None, sock_read=read)


opened: ContextVar[bool] = ContextVar("opened")
"""Whether a connection was opened for the task's last request. aiohttp's own way to learn it, a trace of
every step, made requests a fifth dearer."""


class TcpConnector(aiohttp.TCPConnector):
    async def _create_connection(self, *request: Any) -> Any:
        opened.set(True)
        return await super()._create_connection(*request)


class UnixConnector(aiohttp.UnixConnector):
    async def _create_connection(self, *request: Any) -> Any:
        opened.set(True)
        return await super()._create_connection(*request)


def unread(response: aiohttp.ClientResponse) -> bytes:
    """What came before a cut: aiohttp raises the cut before it hands that over."""
    return response.content._read_nowait(-1)


async def drain(response: aiohttp.ClientResponse) -> None:
    """Reads up to the end, so that the connection can be used again."""
    if response.content.at_eof():
        return
    try:
        async with asyncio.timeout(_GRACE):
            while await response.content.readany():
                pass
    except (aiohttp.ClientError, TimeoutError):
        return
