"""A short chaos, from the outside. `make chaos` takes longer."""

import subprocess
import sys

import pytest

SHORT = "--seconds 7 --every 1.5 --clients 12 --seed 41 --settle 40 --workers 2"
"""With this seed a worker is killed, then all, then a worker again."""


@pytest.mark.chaos
def test_nothing_that_was_promised_is_lost_when_servers_are_killed() -> None:
    command = [sys.executable, "-m", "tests.chaos", *SHORT.split()]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "violations none" in done.stdout
