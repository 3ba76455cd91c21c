"""`python -m bench.soak` (or `make soak`): mixed traffic of all kinds for half an hour, against a server in a
process of its own; fails when something goes wrong, or when memory, open files or threads grow.

Traffic comes in rounds. After each the clients leave, and what the server still holds is measured.
"""

import argparse
import asyncio
import logging
import math
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from openai import AsyncOpenAI, OpenAIError
from rich.console import Console
from rich.table import Table
from tests.kept_at import new_store
from tests.kept_python import kept_python
from tests.receiver import Receiver
from tests.scripted import Upstream
from websockets.exceptions import WebSocketException

from bench import server
from bench.server import Server
from bench.soak import traffic
from bench.soak.model import play
from bench.soak.traffic import KINDS, PATIENCE, Kind, World
from bench.soak.vitals import Growth, Vitals, growths

FAULTS = (OpenAIError, httpx2.HTTPError, WebSocketException, OSError, AssertionError, ValueError, LookupError)
"""What a client may meet when a server fails it (a timeout is an OSError)."""
REST = 30.0
"""Seconds in which a server without clients must have ended something of what it did for them."""
AT_REST = ("antiphon_background_runs 0.0", "antiphon_open_connections 1.0")
CONFIG = """
[outbound]
allow_private = true

[webhooks.soak]
url = "{hook}"
secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

[sandbox]
environment = "{python}"
"""
POSTGRES = """
[store]
url = "{store.url}"
sealing_key_env = "{store.sealing_key_env}"
"""


class Soak:
    """A server, its load, and what was seen."""

    def __init__(
        self, subject: Server, upstream: Upstream, folder: Path, clients: int, kinds: dict[Kind, int]
    ) -> None:
        self._subject = subject
        self._upstream = upstream
        self._folder = folder
        self._clients = clients
        self._kinds = kinds
        self._vector_store = ""
        self.done: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.rounds: list[Vitals] = []

    async def run(self, minutes: float, seconds: float) -> None:
        """Rounds of so many seconds, until the minutes are over."""
        end = time.monotonic() + minutes * 60
        await self._prepare()
        while time.monotonic() < end:
            await self._round(min(end, time.monotonic() + seconds))
            self.rounds.append(Vitals.of(self._subject, self._folder, self.done.total()))

    async def _prepare(self) -> None:
        async with AsyncOpenAI(base_url=f"{self._url}/v1", api_key="soak") as client:
            file = await client.files.create(
                file=("rivers.md", b"The Loire is 1,006 km long."), purpose="assistants"
            )
            store = await client.vector_stores.create(name="Rivers")
            await client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
            self._vector_store = store.id

    @property
    def _url(self) -> str:
        return f"http://{self._subject.host}:{self._subject.port}"

    async def _round(self, end: float) -> None:
        async with (
            httpx2.AsyncClient(base_url=self._url, timeout=PATIENCE) as http,
            AsyncOpenAI(
                base_url=f"{self._url}/v1", api_key="soak", max_retries=0, timeout=PATIENCE
            ) as client,
        ):
            world = World(self._url, client, http, self._vector_store)
            await asyncio.gather(*(self._client(world, end) for _ in range(self._clients)))
        self._upstream.requests.clear()
        await self._rest()

    async def _client(self, world: World, end: float) -> None:
        while time.monotonic() < end:
            (kind,) = random.choices(list(self._kinds), list(self._kinds.values()))
            try:
                async with asyncio.timeout(PATIENCE):
                    await kind(world)
            except FAULTS as fault:
                self.faults[f"{kind.__name__}: {type(fault).__name__}: {str(fault)[:200]}"] += 1
            self.done[kind.__name__] += 1

    async def _rest(self) -> None:
        """Until the server has let go of all clients and runs, however long a busy machine takes: as long as
        fewer and fewer of them are left."""
        names, fewest = tuple(line.split()[0] for line in AT_REST), math.inf
        until = time.monotonic() + REST
        async with httpx2.AsyncClient(base_url=self._url, timeout=PATIENCE) as http:
            while time.monotonic() < until:
                shown = (await http.get("/metrics", headers={"connection": "close"})).text
                left = sorted(line for line in shown.splitlines() if line.startswith(names))
                if left == sorted(AT_REST):
                    return
                count = sum(float(line.split()[-1]) for line in left)
                if count < fewest:
                    fewest, until = count, time.monotonic() + REST
                await asyncio.sleep(0.1)
        self.faults[f"no rest after a round: {left}"] += 1


def main() -> None:
    arguments = _arguments()
    random.seed(arguments.seed)
    # The upstream has clients that hang up, and would tell of each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    console = Console(width=120, highlight=False)
    soak, log = asyncio.run(_soak(arguments, kept_python().folder))
    grown = growths(soak.rounds)
    _show(console, soak, grown)
    soak.faults.update(line[:200] for line in log.splitlines() if "error" in line or "Traceback" in line)
    for fault, times in soak.faults.most_common(20):
        console.print(f"{times:6} x {fault}", markup=False)
    leaks = [growth.bound.name for growth in grown if growth.is_leak]
    console.print(f"{soak.faults.total()} faults; growing: {', '.join(leaks) or 'nothing'}")
    sys.exit(1 if soak.faults or leaks else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--round", type=float, default=30, help="seconds of traffic between two measurements")
    parser.add_argument("--clients", type=int, default=8, help="at once")
    parser.add_argument("--only", metavar="KIND", nargs="+", choices=[kind.__name__ for kind in KINDS])
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def _soak(arguments: argparse.Namespace, python: Path) -> tuple[Soak, str]:
    kinds = {kind: n for kind, n in KINDS.items() if not arguments.only or kind.__name__ in arguments.only}
    with Upstream() as upstream, TemporaryDirectory(prefix="antiphon-soak-") as name:
        play(upstream)
        folder = Path(name)
        async with Receiver() as receiver:
            config = CONFIG.format(hook=receiver.url, python=python)
            if arguments.store == "postgres":
                config += POSTGRES.format(store=new_store("postgres"))
            (folder / "antiphon.toml").write_text(config)
            log = folder / "log"
            options = ("--config", str(folder / "antiphon.toml"), "--data-dir", str(folder))
            with (
                log.open("wb") as stderr,
                server.antiphon(upstream.base_url, *options, record="all", stderr=stderr) as subject,
            ):
                soak = Soak(subject, upstream, folder, arguments.clients, await _possible(kinds, subject))
                await soak.run(arguments.minutes, arguments.round)
            return soak, log.read_text()


async def _possible(kinds: dict[Kind, int], subject: Server) -> dict[Kind, int]:
    """All kinds, without code where no code can run."""
    async with AsyncOpenAI(base_url=f"http://{subject.host}:{subject.port}/v1", api_key="soak") as client:
        try:
            await client.containers.delete((await client.containers.create(name="probe")).id)
        except OpenAIError as reason:
            print(f"No code is run: {reason}", file=sys.stderr)
            return {kind: n for kind, n in kinds.items() if kind is not traffic.running_code}
    return kinds


def _show(console: Console, soak: Soak, grown: list[Growth]) -> None:
    kinds = Table("traffic", "times", title=f"{soak.done.total()} pieces of traffic")
    for name, count in soak.done.most_common():
        kinds.add_row(name.replace("_", " "), str(count))
    rounds = Table(
        "done", "resident MB", "own MB, with children", "open files", "threads", "processes", "stored MB"
    )
    step = max(1, len(soak.rounds) // 12)
    for vitals in soak.rounds[::step]:
        rounds.add_row(
            *(f"{value:.1f}" if isinstance(value, float) else str(value) for value in vars(vitals).values())
        )
    judged = Table("after the warm-up", "first", "last", "trend", "")
    for growth in grown:
        verdict = "GROWS" if growth.is_leak else "flat"
        judged.add_row(
            growth.bound.name, f"{growth.first:.1f}", f"{growth.last:.1f}", f"{growth.grown:+.1f}", verdict
        )
    for table in (kinds, rounds, judged):
        console.print(table)


if __name__ == "__main__":
    main()
