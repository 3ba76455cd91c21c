"""The two streams that a session has with its transport, listened in on.

The library does not report when a server has hung up while nobody was asking it anything, nor whether a
request that failed had been written at all. Both pass here: the first is why a dead connection is found
before it is used, the second decides whether a request may be made again. A listing is mended on its way.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self

from antiphon.mcp.errors import EXCHANGE
from antiphon.mcp.listing import mend


@contextlib.asynccontextmanager
async def monitored(transport: Any, over: Callable[[], None]) -> AsyncGenerator[Any, None]:
    """The transport; `over` is called when the server will not say any more."""
    async with transport as (read, write):
        yield _Incoming(read, over), _Outgoing(write)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> bool | None:
        handled: bool | None = await self._stream.__aexit__(*raised)
        return handled


class _Incoming(_Stream):
    """What the server says."""

    def __init__(self, stream: Any, over: Callable[[], None]) -> None:
        super().__init__(stream)
        self._over = over

    @property
    def last_context(self) -> Any:
        """The library runs what a message leads to in the context that it was read in."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return _mended(await self._stream.receive())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return _mended(await anext(self._stream))
        except StopAsyncIteration:
            self._over()
            raise


def _mended(received: Any) -> Any:
    """A message, or a fault of the transport."""
    mend(getattr(getattr(received, "message", None), "result", None))
    return received


class _Outgoing(_Stream):
    """What is sent to the server."""

    async def send(self, message: Any) -> None:
        EXCHANGE.get().written = True
        await self._stream.send(message)
