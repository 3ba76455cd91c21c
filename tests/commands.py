"""The command line in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `antiphon …` to its end, with nothing of this machine's own settings."""

    def antiphon(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        return subprocess.run(
            [sys.executable, "-m", "antiphon", *arguments],
            env={**inherited, "ANTIPHON_DATA_DIR": str(tmp_path / "data"), **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return antiphon


def one_sentence(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command says that fails."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("antiphon: ")
    return done.stderr
