"""A conversation takes part in one response at a time (behaviours.md section 7.6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import structlog

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.ids import new_request_id
from antiphon.store.store import Store

log = structlog.get_logger()

LEASE = 30.0
"""Seconds for which a conversation stays locked when its holder dies."""


def locked(
    store: Store, project: str, conversation_id: str | None, lease: float = LEASE
) -> AbstractAsyncContextManager[None]:
    """The conversation, if there is one, is ours while the block runs. Raises InvalidRequest when it is
    somebody else's."""
    return nullcontext() if conversation_id is None else _locked(store, project, conversation_id, lease)


@asynccontextmanager
async def _locked(store: Store, project: str, conversation_id: str, lease: float) -> AsyncIterator[None]:
    if await store.conversations.get(project, conversation_id) is None:
        yield  # one that is not there is refused later, in its place in the order of checks
        return
    holder = new_request_id()
    try:
        if not await store.conversations.lock(project, conversation_id, holder, lease):
            raise InvalidRequest(
                "Another process is currently operating on this conversation. Please retry in a few seconds.",
                param="conversation",
                code="conversation_locked",
            )
        renewal = asyncio.create_task(_renew(store, project, conversation_id, holder, lease))
        try:
            yield
        finally:
            renewal.cancel()
    finally:
        # Also when we were cancelled while the lock was on its way; a lock of others stays theirs.
        await store.conversations.unlock(project, conversation_id, holder)


async def _renew(store: Store, project: str, conversation_id: str, holder: str, lease: float) -> None:
    """Hold on to the lock, whatever befalls the store meanwhile."""
    while True:
        await asyncio.sleep(lease / 3)
        try:
            await store.conversations.lock(project, conversation_id, holder, lease)
        except Exception:
            log.exception("conversation lock could not be renewed", conversation_id=conversation_id)
