"""A server, and all that an attack has to do with it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tests.attack.probe import Probe
from tests.attack.server import Server
from tests.attack.world import KEYS, World
from tests.scripted import Answer, Upstream

from antiphon.config import hash_key

_MORE = """
[backends.small]
base_url = "{upstream}"
models = ["small"]
context_window = 4096

[backends.told]
base_url = "{upstream}"
models = ["told"]
structured_output = false
"""


@asynccontextmanager
async def opened(seed: int) -> AsyncIterator[World]:
    """A world, as long as the block lasts. A traceback in the server's log is a violation at its end."""
    with tempfile.TemporaryDirectory(prefix="antiphon-attack-") as home, Upstream() as upstream:
        upstream.lenient = True
        upstream.default = Answer("ok")
        keys = {project: hash_key(key) for project, key in KEYS.items()}
        more = _MORE.format(upstream=upstream.base_url)
        server = Server(Path(home), upstream.base_url, keys, more)
        await asyncio.to_thread(server.start)
        try:
            with Probe(server.address) as probe:
                async with aiohttp.ClientSession() as http:
                    world = World(server, upstream, probe, http, seed)
                    yield world
            if traced := server.tracebacks():
                world.broken(f"{traced} tracebacks in the log: {_excerpt(server.log)}")
        finally:
            server.stop()


def _excerpt(log: Path) -> str:
    text = log.read_text(errors="replace")
    return text[text.find("Traceback") :][:3000]
