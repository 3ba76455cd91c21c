"""A short attack, from the outside. `make attack` takes longer."""

import os
import subprocess
import sys

import pytest

SHORT = "--most 800 --seed 41 --quick"


@pytest.mark.attack
def test_what_a_hostile_client_tries_is_answered_in_words_and_holds_nobody_up() -> None:
    command = [sys.executable, "-m", "tests.attack", *SHORT.split()]
    # What else runs beside it holds the server up as well.
    patient = {**os.environ, "ANTIPHON_ATTACK_HOLD": "2"}

    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=patient)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "violations  none" in done.stdout
