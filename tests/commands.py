"""The command line in processes of its own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import forked

SECONDS = 240
"""That a command may take, on a machine that is busy."""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `antiphon …` to its end, with nothing of this machine's own settings."""

    def antiphon(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        environment = {**inherited, "ANTIPHON_DATA_DIR": str(tmp_path / "data"), **variables}
        return forked.run("antiphon", arguments, environment, tmp_path, SECONDS)

    return antiphon


def one_sentence(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command says that fails."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("antiphon: ")
    return done.stderr
