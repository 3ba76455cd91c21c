"""All of it once more as an ordinary user, who has user namespaces and no groups of processes."""

import os
import re
import sys
from pathlib import Path

import pytest
from tests.sandbox import ordinary

FILES = ("escape", "links", "bombs", "ends")
SECONDS = 900


@pytest.mark.attack
@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run as an ordinary user already")
def test_everything_holds_for_an_ordinary_user_too(tmp_path: Path) -> None:
    tests = [f"tests/sandbox/test_{name}.py" for name in FILES]
    options = [
        "-q",
        "-k",
        "not thousands_of_files",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--basetemp={tmp_path / 'home' / 'tests'}",
    ]

    done = ordinary.run([sys.executable, "-m", "pytest", *options, *tests], tmp_path / "home", SECONDS)

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    if passed is None and "skipped" in done.stdout:
        pytest.skip(done.stdout[-2000:])
    assert passed is not None
    assert int(passed[1]) > 45
