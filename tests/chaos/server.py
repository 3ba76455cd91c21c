"""The server under test, as `antiphon serve` starts it, and the ways in which it is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.chaos.database import Database
from tests.chaos.processes import alive_in, workers_of
from tests.ports import Port

PATIENCE = 120.0
"""Seconds in which a server must be up, or be gone."""

_CONFIG = """
[server]
workers = {workers}
keep_alive = {keep_alive}

[outbound]
allow_private = true

[backends.chaos]
base_url = "{upstream}"
default = true
"""
_STORE = """
[store]
url = "{url}"
sealing_key_env = "SEALING_KEY"
"""
FROZEN = 8.0
"""Seconds for which a worker stands still: longer than it may be silent."""


class ServerError(Exception):
    """The server does not start, or does not stop."""


class Server:
    """One server at a time, always on the same port and the same data."""

    def __init__(
        self, home: Path, upstream: str, workers: int, keep_alive: float, database: Database | None = None
    ) -> None:
        self.up = asyncio.Event()
        """Set as long as requests are answered, as far as we know."""
        self.launched = 0.0
        """When the processes that run now were started."""
        self.disturbed = 0
        """How often it was killed or stopped, counted before it happens."""
        self.disturbed_at = 0.0
        self.database = database
        """Where it keeps everything; None: in a file."""
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._port = Port()
        config = _CONFIG.format(workers=workers, keep_alive=keep_alive, upstream=upstream)
        if database is not None:
            config += _STORE.format(url=database.url)
        (home / "antiphon.toml").write_text(config)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.number}"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self._home / "server.log"

    async def start(self) -> None:
        self._launch()
        await asyncio.to_thread(_wait, self._answers, "start")
        self.up.set()

    def _launch(self) -> None:
        command = [sys.executable, "-m", "antiphon", "serve", "--port", str(self._port.number)]
        places = ["--config", str(self._home / "antiphon.toml"), "--data-dir", str(self._home / "data")]
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        if self.database is not None:
            env["SEALING_KEY"] = self.database.sealing_key
        with self.log.open("ab") as log:
            # A group of its own: so all of it can be killed at once, and nothing else.
            self._process = subprocess.Popen(
                [*command, *places], env=env, stdout=log, stderr=log, start_new_session=True
            )
        self.launched = time.monotonic()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ServerError(f"The server ended by itself: {self.log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop_for_good(self) -> None:
        """Leaves nothing behind, in whatever state it is."""
        self.up.clear()
        if self._process is not None:
            self._kill_group()

    # -- the ways to go

    def _disturb(self) -> None:
        self.disturbed += 1
        self.disturbed_at = time.monotonic()

    async def kill_worker(self, random: Random) -> bool:
        """Kill one worker, which the supervisor replaces; False when there is none (or just one process)."""
        assert self._process is not None
        workers = workers_of(self._process.pid)
        if not workers:
            return False
        self._disturb()
        os.kill(random.choice(workers), signal.SIGKILL)
        return True

    async def freeze_worker(self, random: Random) -> None:
        """A worker stands still for so long that others take over what it does, and goes on. Its supervisor
        does too, since it would replace it."""
        assert self._process is not None
        workers = workers_of(self._process.pid)
        if not workers:
            return
        self._disturb()
        stopped = [self._process.pid, random.choice(workers)]
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        await asyncio.sleep(FROZEN)
        for each in reversed(stopped):
            os.kill(each, signal.SIGCONT)
        self._disturb()

    async def restart_database(self) -> None:
        assert self.database is not None
        self._disturb()
        await self.database.restart()
        self._disturb()

    async def cut_database(self) -> None:
        assert self.database is not None
        self._disturb()
        await self.database.cut()

    async def kill_whole(self) -> None:
        """Kill the supervisor and all workers in one moment, and start again."""
        self._disturb()
        self.up.clear()
        await asyncio.to_thread(self._kill_group)
        await self.start()

    async def stop_gracefully(self) -> float:
        """Ask it to stop, and start again; the seconds that stopping took."""
        assert self._process is not None
        self._disturb()
        self.up.clear()
        begun = time.monotonic()
        self._process.terminate()
        code = await asyncio.to_thread(self._wait_until_ended)
        self._disturb()  # what was begun while it stopped may have been cut off too
        took = time.monotonic() - begun
        await self.start()
        if code != 0:
            raise ServerError(f"Told to stop, it ended after {took:.1f} s with {code}.")
        return took

    def _wait_until_ended(self) -> int | None:
        """Its exit code, once all its processes are gone; None when they had to be killed."""
        assert self._process is not None
        try:
            code = self._process.wait(PATIENCE)
            _wait(lambda: not alive_in(self._group), "stop its workers")
        except (subprocess.TimeoutExpired, ServerError):
            self._kill_group()
            return None
        return code

    @property
    def _group(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _kill_group(self) -> None:
        """Workers that outlive their supervisor would keep the port and go on with their runs."""
        if alive_in(self._group):
            os.killpg(self._group, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(PATIENCE)
        _wait(lambda: not alive_in(self._group), "die")


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise ServerError(f"The server did not {what} within {PATIENCE:.0f} s.")
        time.sleep(0.02)
