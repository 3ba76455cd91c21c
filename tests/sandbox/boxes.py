"""What tests do with sandboxes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from antiphon.sandbox.base import CommandResult, Sandbox

SECONDS = 60.0
CHARACTERS = 100_000


async def shell(box: Sandbox, command: str, seconds: float = SECONDS) -> CommandResult:
    (result,) = await box.run([command], seconds, CHARACTERS)
    return result


async def said(box: Sandbox, command: str) -> str:
    """What a command prints that ends well."""
    result = await shell(box, command)
    assert result.exit_code == 0, result
    return result.stdout.rstrip("\n")


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def put(box: Sandbox, path: str, content: bytes) -> None:
    await box.write(path, pieces(content))


async def content(box: Sandbox, path: str) -> bytes:
    return b"".join([piece async for piece in box.read(path)])


async def names(box: Sandbox) -> list[str]:
    return sorted(entry.path for entry in await box.files())


async def until(look: Callable[[], Awaitable[bool]], seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.01)


def left(home: Path, pattern: str) -> list[Path]:
    """What is there in the folders of servers."""
    return list(home.glob(f"run-*/{pattern}"))
