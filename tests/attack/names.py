"""Section: names that an attacker has, in a network of our own: they resolve to addresses of the inside, to
several, to others with each look-up. Everything of the inside listens; nothing may come.

    python -m tests.attack.names MOST SEED

tries so many URLs, in a process that has moved into the network, and prints what came of it.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from tests.attack.network import NotPermitted, enter
from tests.attack.opening import opened
from tests.attack.world import Effort, World
from tests.attack.zone import Records, Zone

Json = Any
PORT = 8080
OUTSIDE, OUTSIDE6 = "93.184.216.34", "2606:2800:220:1::34"
"""What the guard takes for public. They listen as well: what leads there must arrive."""
_NOWHERE = "23.1.2.3"
"""Public too; nobody listens."""
_INSIDE = (
    *("10.1.2.3", "172.16.0.7", "192.168.7.7", "169.254.169.254", "100.64.0.7", "198.18.0.7"),
    *("fd00::7", "64:ff9b::a01:203", "64:ff9b:1::a01:203", "2002:a01:203::1", "2001:db8::7"),
)
_ALSO_INSIDE = (
    *_INSIDE,
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:10.1.2.3",
    "::10.1.2.3",
    "fe80::7",
)
"""With those that the system has anyway, or understands in some way."""
_CONTROLS = ("outside.test", "outside6.test", "alias.outside.test", "both.test")
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c636060606000000005000157cd8ac20000000049454e44ae426082"
)
_TRIES = 6
"""How often a name that changes is named."""


class Report(msgspec.Struct):
    """What came of it."""

    skipped: str = ""
    tried: int = 0
    arrived: int = 0
    """Connections to what is public."""
    violations: list[str] = []


async def own_names(world: World, effort: Effort) -> None:
    """The section, on a server of its own in that network."""
    command = [sys.executable, "-m", "tests.attack.names", str(effort.most // 4), str(world.seed)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode or not said:
        world.broken(f"the network of our own: the process ended with {process.returncode}")
        return
    report = msgspec.json.decode(said.splitlines()[-1], type=Report)
    world.record.tried["names"] += report.tried
    world.record.skipped += [f"names: {report.skipped}"] if report.skipped else []
    for violation in report.violations:
        world.broken(violation)


# ---- in that network --------------------------------------------------------------------------------


def _names() -> dict[str, Sequence[Records]]:
    names: dict[str, Sequence[Records]] = {
        "outside.test": [[OUTSIDE]],
        "outside6.test": [[OUTSIDE6]],
        "alias.outside.test": [["outside.test"]],
        "both.test": [[OUTSIDE, OUTSIDE6]],
        "local.test": [["localhost"]],
        "nowhere.test": [[]],
    }
    for number, address in enumerate(_ALSO_INSIDE):
        names |= {
            f"inside{number}.test": [[address]],
            f"alias{number}.test": [[f"inside{number}.test"]],
            f"chain{number}.test": [[f"alias{number}.test"]],
            f"first{number}.test": [[address, OUTSIDE]],
            f"last{number}.test": [[OUTSIDE, address]],
            f"fallback{number}.test": [[_NOWHERE, address]],
            f"many{number}.test": [[_NOWHERE, *_ALSO_INSIDE, address]],
            f"rebound{number}.test": [[OUTSIDE], [address]],
            f"late{number}.test": [[OUTSIDE], [OUTSIDE], [address]],
            f"moved{number}.test": [["outside.test"], [f"inside{number}.test"]],
        }
    return names


_CHANGING = ("rebound", "late", "moved")


def _urls(names: Sequence[str]) -> Iterator[str]:
    """Every name, as it is, and behind a page of the outside that leads there."""
    for name in names:
        for _ in range(_TRIES if name.startswith(_CHANGING) else 1):
            place = f"http://{name}:{PORT}/x"
            yield place
            yield f"http://outside.test:{PORT}/to/{quote(place, safe='')}"
            if name.startswith(_CHANGING):
                yield f"http://{name}:{PORT}/to/{quote(place, safe='')}"
    for address in _ALSO_INSIDE:
        host = f"[{address}]" if ":" in address else address
        yield f"http://outside.test:{PORT}/to/{quote(f'http://{host}:{PORT}/x', safe='')}"


def _requests(url: str) -> Iterator[Json]:
    image = {"type": "input_image", "image_url": f"{url}.png"}
    document = {"type": "input_file", "file_url": f"{url}.txt"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    yield {"input": [{"role": "user", "content": [image]}]}
    yield {"input": [{"role": "user", "content": [document]}]}
    shown = {"type": "input_image", "image_url": f"{url}.again.png"}  # another one: images are remembered
    yield {"input": [call, {"type": "function_call_output", "call_id": "c", "output": [shown]}]}
    server = {"type": "mcp", "server_label": "s", "server_url": url, "require_approval": "never"}
    yield {"input": "Hi", "tools": [server]}


async def _try(urls: Sequence[str]) -> Report:
    report = Report()
    async with opened(0) as world, _listening() as visits:
        for name in _CONTROLS:
            async for body, addresses in _asked(world, f"http://{name}:{PORT}/x", visits):
                report.tried += 1
                if not addresses:
                    world.broken(f"{name} is public, and was not reached: {body}")
        for url in urls:
            async for body, addresses in _asked(world, url, visits):
                report.tried += 1
                if not {OUTSIDE, OUTSIDE6}.issuperset(addresses):
                    world.broken(f"{url} leads to {addresses}: {body}")
    report.arrived, report.violations = len(visits), world.record.violations
    return report


async def _asked(world: World, url: str, visits: list[str]) -> AsyncIterator[tuple[Json, Sequence[str]]]:
    """Requests that name the URL, and where they led."""
    for body in _requests(url):
        before = len(visits)
        await world.ask("POST", "/v1/responses", {"model": "m", **body})
        yield body, visits[before:]


@asynccontextmanager
async def _listening() -> AsyncIterator[list[str]]:
    """Every address listens; the addresses that were visited."""
    visits: list[str] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address: str = writer.get_extra_info("sockname")[0]
        visits.append(address.removeprefix("::ffff:"))
        path = (await reader.readline()).decode(errors="replace").split(" ")[1:2]
        writer.write(_page(path[0] if path else ""))
        writer.close()

    async with await asyncio.start_server(visited, ["0.0.0.0", "::"], PORT):
        yield visits


def _page(path: str) -> bytes:
    _, redirects, place = path.partition("/to/")
    if redirects:
        return f"HTTP/1.1 302 Found\r\nLocation: {unquote(place)}\r\nContent-Length: 0\r\n\r\n".encode()
    kind, body = ("image/png", _PNG) if path.endswith(".png") else ("text/plain", b"Hello")
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def main(most: int, seed: int) -> None:
    urls = list(_urls([name for name in _names() if name not in _CONTROLS]))
    chosen = Random(seed).sample(urls, min(most, len(urls)))
    with tempfile.TemporaryDirectory(prefix="antiphon-network-") as place:
        try:
            enter(Path(place), (OUTSIDE, OUTSIDE6, *_INSIDE))
        except NotPermitted as refused:
            report = Report(skipped=str(refused))
        else:
            Zone(_names())
            report = asyncio.run(_try(chosen))
    print(msgspec.json.encode(report).decode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
