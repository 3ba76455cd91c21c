"""A client that goes away ends the work that was done for it.

The connection says so itself (`left`): a task for each request that waits for the news would cost a plain
response as much as its routing.
"""

import asyncio
from types import TracebackType
from typing import Any

_GONE = "gone"
_LEAVE = "leave"


class Disconnected(Exception):
    """The client is gone: there is nobody to answer."""


def left(scope: Any) -> None:
    """The client of a request is gone: what is done for it is cancelled."""
    scope[_GONE] = True
    if _LEAVE in scope:
        scope[_LEAVE]()


class connected:
    """While the block runs, the client's going away cancels it. Raises Disconnected then."""

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        self._cancelled = False

    def __enter__(self) -> None:
        if _GONE in self._scope:
            raise Disconnected
        work = asyncio.current_task()
        assert work is not None
        self._work = work
        self._scope[_LEAVE] = self._leave

    def _leave(self) -> None:
        self._cancelled = True
        self._work.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        del self._scope[_LEAVE]
        if self._cancelled and kind is asyncio.CancelledError and self._work.uncancel() == 0:
            raise Disconnected from None
