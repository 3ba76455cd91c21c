"""Runs the battery: a server, Antiphon in front of it, and the official client."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI
from tests.conftest import Running, checked_client
from tests.live.battery import SITUATIONS, Said
from tests.live.server import Absent, Live
from tests.live.servers import SERVERS

from antiphon.config import BackendSettings, Config, Server

_SECONDS = 600.0
"""That an answer may take."""


@dataclass(frozen=True)
class Outcome:
    """What came of a situation."""

    server: str
    situation: str
    well: bool | None
    """None: it was not tried."""
    words: str = ""
    seconds: float = 0.0


def run(servers: Iterable[str], situations: Iterable[str], model: Path, folder: Path) -> Iterator[Outcome]:
    """Outcomes, as they come."""
    wanted = tuple(situations)
    for name in servers:
        try:
            with SERVERS[name](model, folder) as live, Antiphon(live, folder / name) as client:
                for situation in wanted:
                    yield tried(name, situation, client, live)
        except Absent as absent:
            yield from (Outcome(name, situation, None, str(absent)) for situation in wanted)


class Antiphon:
    """Antiphon over a server, and its client."""

    def __init__(self, live: Live, folder: Path) -> None:
        backend = BackendSettings(
            type=live.speaks, base_url=live.url, default=True, models={"live": live.model}
        )
        config = Config(data_dir=str(folder), server=Server(verify=True), backends={"live": backend})
        folder.mkdir(exist_ok=True)
        self._running = Running(config)
        self._client = checked_client(self._running.url)

    def __enter__(self) -> OpenAI:
        self._running.__enter__()
        return self._client.__enter__().with_options(timeout=_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._client.__exit__(None, None, None)
        self._running.stop()


def tried(name: str, situation: str, client: OpenAI, live: Live) -> Outcome:
    """One situation: whatever goes wrong with it is its outcome."""
    begun = time.monotonic()
    well, words = _done(lambda: SITUATIONS[situation](client, live))
    return Outcome(name, situation, well, words, time.monotonic() - begun)


def _done(situation: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, situation()
    except Said as said:
        return True, f"it says that it failed: {said}"
    except Exception as fault:  # noqa: BLE001
        words = str(fault) or type(fault).__name__
        return False, words.splitlines()[0]
