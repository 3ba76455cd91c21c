"""The server under attack: as `antiphon serve` starts it, watched from the outside."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
from tests.chaos.processes import processes
from tests.ports import Port

PATIENCE = 120.0
"""Seconds in which the server must be up."""
_PAGE = os.sysconf("SC_PAGE_SIZE")

_CONFIG = """
[server]
host = "127.0.0.1"
port = {port}

[server.keys]
{keys}

[backends.attacked]
base_url = "{upstream}"
default = true
{more}
"""


class Server:
    """A server on a port of its own. When an input ended it, it is started again, and that is counted."""

    def __init__(self, home: Path, upstream: str, keys: dict[str, str], more: str = "") -> None:
        """`keys`: projects and their hashed keys; `more`: TOML that is added to the configuration."""
        self.deaths = 0
        self._home = home
        self._port = Port()
        self._process: subprocess.Popen[bytes] | None = None
        listed = "\n".join(f'{project} = "{key}"' for project, key in keys.items())
        config = _CONFIG.format(port=self._port.number, keys=listed, upstream=upstream, more=more)
        (home / "antiphon.toml").write_text(config)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.number}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port.number

    @property
    def log(self) -> Path:
        """What it printed."""
        return self._home / "server.log"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        places = ["--config", str(self._home / "antiphon.toml"), "--data-dir", str(self._home / "data")]
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "antiphon", "serve", *places],
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def revive(self) -> bool:
        """Start it again if it has ended; whether it had."""
        if self.alive:
            return False
        self.deaths += 1
        self.start()
        return True

    def restart(self) -> None:
        """For inputs that hold it for ever."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Leaves nothing behind, in whatever state it is."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def tracebacks(self) -> int:
        return self.log.read_text(errors="replace").count("Traceback (most recent call last)")

    def resident(self) -> int:
        """Bytes of memory that the server's own process has."""
        assert self._process is not None
        return _resident(self._process.pid)

    def children(self) -> int:
        """Bytes of memory that the processes which it started have."""
        assert self._process is not None
        return sum(_resident(pid) for pid in _descendants(self._process.pid))

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.alive, f"the server ended by itself: {self.log.read_text()[-2000:]}"
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError("the server did not start")


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _descendants(pid: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for process in processes():
        parents.setdefault(process.parent, []).append(process.pid)
    waiting = parents.get(pid, [])
    while waiting:
        child = waiting.pop()
        yield child
        waiting += parents.get(child, [])
