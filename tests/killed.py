"""A server that tests kill."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.forked import Forked
from tests.ports import Port
from tests.scripted import Upstream

PATIENCE = 60.0


class Killed:
    """A server in a process of its own: `python -m MODULE serve`, with `options`, and `settings` in its
    environment."""

    def __init__(
        self,
        home: Path,
        upstream: Upstream,
        module: str = "antiphon",
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self._module = module
        self._options = options
        self._settings = settings or {}
        self._upstream = upstream
        self._port = Port()
        self.process: Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = ["serve", "--port", str(self._port.number)]
        options = ["--upstream", self._upstream.base_url, "--data-dir", str(self._home / "data")]
        environment = {**os.environ, **self._settings}
        self.process = Forked(self._module, [*command, *options, *self._options], environment)
        assert self.process.says("listens on"), "it ended instead"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.end(PATIENCE)
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.number}"

    @property
    def database(self) -> Path:
        return self._home / "data" / "antiphon.db"

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> str:
        """As an operator stops it: what it said since it had started. What it leaves behind is killed."""
        process = self.process
        assert process is not None
        process.terminate()
        said = process.end(PATIENCE)
        process.kill()
        self.process = None
        assert process.returncode in (0, -signal.SIGTERM), said
        return said
