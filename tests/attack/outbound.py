"""Section: addresses of our own network, written in every way that somebody has thought of, as what a request
names. A canary listens at one of them: nothing may come."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.attack.world import Effort, World

Json = Any

_HOSTS = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
    *("127.000.000.001", "127.255.255.254", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost."),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]"),
    *("[fd00::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.0.1", "192.88.99.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "metadata.google.internal", "ip6-localhost", "１２７.０.０.１", "127。0。0。1"),
    *("user@127.0.0.1", "127.0.0.1%00.example.org", "127.0.0.1#.example.org", "example.org@127.0.0.1"),
)


async def own_network(world: World, effort: Effort) -> None:
    """Each address, as an image, as a file, and as an MCP server."""
    async with _canary() as (port, visits):
        for host in _HOSTS:
            for body in list(_requests(f"http://{host}:{port}/x"))[: effort.most]:
                world.record.tried["outbound"] += 1
                await world.ask("POST", "/v1/responses", {"model": "m", **body})
        if visits:
            world.broken(f"{len(visits)} connections went to addresses of our own network")


def _requests(url: str) -> Iterator[Json]:
    for part in ({"type": "input_image", "image_url": url}, {"type": "input_file", "file_url": url}):
        yield {"input": [{"role": "user", "content": [part]}]}
    server = {"type": "mcp", "server_label": "s", "server_url": url, "require_approval": "never"}
    yield {"input": "Hi", "tools": [server]}


@asynccontextmanager
async def _canary() -> Any:
    """A port that listens, and those who came to it."""
    visits: list[object] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], visits
