"""The attack: a server, everything that is tried on it, and what came of it."""

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp
from tests.attack.heads import heads
from tests.attack.heavy import heavy
from tests.attack.outbound import own_network
from tests.attack.papers import slow_documents
from tests.attack.probe import Probe
from tests.attack.requests import damaged_addresses, damaged_bodies, damaged_frames
from tests.attack.server import Server
from tests.attack.tenancy import across_projects
from tests.attack.world import KEYS, Effort, Held, Section, World
from tests.scripted import Answer, Upstream

from antiphon.config import hash_key

SECTIONS: Mapping[str, Section] = {
    "bodies": damaged_bodies,
    "addresses": damaged_addresses,
    "frames": damaged_frames,
    "heads": heads,
    "tenancy": across_projects,
    "outbound": own_network,
    "documents": slow_documents,
    "heavy": heavy,
}
"""Each part of the attack. A new one is a function here."""

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


async def attack(
    sections: Sequence[str], effort: Effort, seed: int, watch: Callable[[Held], None] = lambda _: None
) -> World:
    """Run sections against a server of their own. `watch` is shown what each dear input does."""
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
                    world.watch = watch
                    for name in sections:
                        await SECTIONS[name](world, effort)
            if traced := server.tracebacks():
                world.broken(f"{traced} tracebacks in the log: {_excerpt(server.log)}")
            return world
        finally:
            server.stop()


def _excerpt(log: Path) -> str:
    text = log.read_text(errors="replace")
    return text[text.find("Traceback") :][:3000]
