"""Bytes, as sandboxes take them."""

from collections.abc import AsyncIterator


async def once(content: bytes) -> AsyncIterator[bytes]:
    """What is small, in one piece."""
    yield content
