"""The soak: what it does to a server comes out right, and what grows is found."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx2
import pytest
from aiohttp import web
from bench.server import Server
from bench.soak import __main__ as soak
from bench.soak import traffic
from bench.soak.model import play
from bench.soak.traffic import KINDS, PATIENCE, Kind, World
from bench.soak.vitals import Vitals, growths
from openai import AsyncOpenAI
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream
from tests.tools.libraries import shelve


@pytest.fixture(scope="module")
def soaked(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server whose model plays the soak's part, and a vector store there."""
    _upstream.reset()
    play(_upstream)
    with (
        Running(config_for(_upstream, tmp_path_factory.mktemp("soaked"))) as running,
        checked_client(running.url) as client,
    ):
        yield running.url, shelve(client, {"rivers.md": "The Loire is 1,006 km long."})
    _upstream.reset()


@pytest.fixture
async def world(soaked: tuple[str, str]) -> AsyncIterator[World]:
    url, store = soaked
    async with (
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="soak", max_retries=0, timeout=PATIENCE) as client,
    ):
        yield World(url, client, http, store)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not traffic.running_code], ids=lambda kind: kind.__name__
)
async def test_each_kind_of_traffic_comes_out_right(world: World, kind: Kind) -> None:
    await kind(world)


# What a server shows after its clients have left: runs, and connections with ours.
LETTING_GO = {
    "one after another, slowly": ([(run, 1) for run in (4, 3, 2, 1, 0) for _ in range(4)], 0),
    "at once": ([(0, 1)], 0),
    "never": ([(2, 3)], 1),
    "never, and what it holds changes": ([(1, 2), (2, 1)], 1),
}


@pytest.mark.parametrize("case", LETTING_GO)
async def test_a_server_may_take_its_time_to_let_go_while_it_goes_on(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown, faults = LETTING_GO[case]
    asked: Counter[str] = Counter()

    async def metrics(_: web.Request) -> web.Response:
        at = asked.total()
        asked["times"] += 1
        runs, connections = shown[at % len(shown) if faults else min(at, len(shown) - 1)]
        return web.Response(
            text=f"antiphon_background_runs {runs}.0\nantiphon_open_connections {connections}.0\n"
        )

    monkeypatch.setattr(soak, "REST", 1.6)
    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    subject = cast(Server, SimpleNamespace(host=host, port=port))
    resting = soak.Soak(subject, Upstream(), tmp_path, 1, {})
    async with asyncio.timeout(60):
        await resting._rest()
    await runner.cleanup()

    assert resting.faults.total() == faults


def rounds(*, files: float = 0, megabytes: float = 0) -> list[Vitals]:
    """Thirty rounds in which something grows by so much each, under a noise that has no trend."""
    chance = random.Random(1)
    return [
        Vitals(
            done=1000 * n,
            resident=300 + megabytes * n + chance.uniform(-3, 3),
            megabytes=320 + megabytes * n + chance.uniform(-3, 3),
            files=int(100 + files * n + chance.choice((0, 0, 0, 9))),
            threads=30,
            processes=4,
            stored=10.0 * n,
        )
        for n in range(30)
    ]


def growing(seen: list[Vitals]) -> list[str]:
    return [growth.bound.name for growth in growths(seen) if growth.is_leak]


def test_what_only_wavers_does_not_grow() -> None:
    assert growing(rounds()) == []


def test_memory_that_is_kept_a_little_in_each_round_is_found() -> None:
    assert growing(rounds(megabytes=1.2)) == ["resident MB", "own MB, with children"]


def test_a_file_that_stays_open_in_each_round_is_found() -> None:
    assert growing(rounds(files=1)) == ["open files"]


def test_a_process_more_at_the_end_is_found() -> None:
    seen = rounds()
    late = [Vitals(**{**vars(vitals), "processes": 5}) for vitals in seen[16:]]

    assert growing([*seen[:16], *late]) == ["processes"]


def test_the_growth_of_the_warm_up_does_not_count() -> None:
    early = [Vitals(**{**vars(vitals), "resident": 100.0 + 30 * n}) for n, vitals in enumerate(rounds()[:6])]

    assert growing([*early, *rounds()[6:]]) == []


def test_every_kind_has_its_weight() -> None:
    kinds = {
        name
        for name, thing in vars(traffic).items()
        if callable(thing)
        and getattr(thing, "__module__", "") == traffic.__name__
        and not name.startswith("_")
    }

    assert {kind.__name__ for kind in KINDS} == kinds - {"World", "said"}


def test_the_folder_of_a_server_counts_as_stored(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "blob").write_bytes(b"x" * 2_000_000)

    assert Vitals.of(_own_process(), tmp_path, 0).stored == 2.0


def _own_process() -> Server:
    return Server(0, os.getpid())
