"""A short chaos, from the outside. `make chaos` takes longer."""

import subprocess
import sys

import pytest

SHORT = {
    # A worker is killed, then all, then a worker again.
    "sqlite": "--seconds 7 --every 1.5 --clients 12 --seed 41 --settle 240 --workers 2",
    # The database restarts, then cuts all off; a worker is killed, another one stands still.
    "postgres": "--seconds 22 --every 3 --clients 12 --seed 30 --settle 240 --workers 3",
}


@pytest.mark.chaos
@pytest.mark.parametrize("store", SHORT)
def test_nothing_that_was_promised_is_lost_when_servers_are_killed(store: str) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--store", store, *SHORT[store].split()]

    done = subprocess.run(command, capture_output=True, text=True, timeout=900)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "violations none" in done.stdout
