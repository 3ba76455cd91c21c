"""Environments of Python beside our own, for clients that want other packages than the server's tests."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients.node import INSTALLING, PATIENCE, alone

LOCKS = Path(__file__).parent / "python"
KEPT = Path(__file__).parents[2] / ".clients"


@dataclass(frozen=True)
class Python:
    """An environment with what `python/NAME.txt` names, each package at its version."""

    name: str

    @property
    def folder(self) -> Path:
        return KEPT / self.name

    @property
    def lock(self) -> Path:
        return LOCKS / f"{self.name}.txt"

    def install(self) -> None:
        """Unless it is there. Tests run in several processes: one installs."""
        wanted, mark = self.lock.read_text(encoding="utf-8"), self.folder / "installed.txt"
        with alone(self.lock):
            if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
                return
            shutil.rmtree(self.folder, ignore_errors=True)
            _uv("venv", "--quiet", "--python", sys.executable, str(self.folder))
            python = str(self.folder / "bin" / "python")
            # Else the first test would compile all of it, on a machine that is busy.
            options = ("--quiet", "--compile-bytecode", "--python", python)
            _uv("pip", "install", *options, "--requirements", str(self.lock))
            mark.write_text(wanted, encoding="utf-8")

    def run(self, program: str, cwd: Path) -> str:
        """What a program prints. It sees nothing of our own environment."""
        done = subprocess.run(
            [self.folder / "bin" / "python", "-c", program],
            cwd=cwd,
            env={"PATH": os.environ["PATH"], "HOME": str(cwd)},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _uv(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", *words],
        env={**os.environ, **_index()},
        capture_output=True,
        text=True,
        timeout=INSTALLING,
    )
    assert done.returncode == 0, done.stderr


def _index() -> dict[str, str]:
    """uv does not read pip's configuration; who has set up a mirror for pip wants it here as well."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()
    return {"UV_DEFAULT_INDEX": found} if found and "UV_DEFAULT_INDEX" not in os.environ else {}
