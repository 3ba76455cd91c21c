"""The environment of the sandboxes' Python, made with pip in real folders."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.kept_python import kept_python

from antiphon.sandbox import environment
from antiphon.sandbox.base import SandboxUnavailable
from antiphon.sandbox.environment import Recipe, find, given, make, ours, place, used

SMALL = Recipe(
    "tabulate==0.10.0 "
    "--hash=sha256:f0b0622e567335c8fabaaa659f1b33bcb6ddfe2e496071b743aa113f8774f2d3 "
    "--hash=sha256:e2cfde8f79420f6deeffdeda9aaec3b6bc5abce947655d17ac662b126e48a60d\n",
    "import tabulate",
)
OTHER = Recipe(f"# another version\n{SMALL.lock}", SMALL.trial)
KILLED = """
import asyncio, sys
from pathlib import Path
from antiphon.sandbox.environment import Recipe, make

def killed(done):
    if done > float(sys.argv[3]):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(make(Path(sys.argv[1]), killed, Recipe(sys.argv[2], "import tabulate")))
"""


def folders(data_dir: Path) -> Sequence[str]:
    """What is kept there, locks aside."""
    return sorted(path.name for path in (data_dir / "sandbox").iterdir() if path.is_dir())


async def said(*command: str | Path, also: Path = Path("/bin")) -> str:
    """What a program prints that is given a table and finds others in a folder."""
    environ = {"PATH": f"{also}:{os.environ['PATH']}"}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environ, input="one two\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def test_it_has_what_the_lock_names_compiled(tmp_path: Path) -> None:
    seen: list[float] = []

    made = await make(tmp_path, seen.append, SMALL)

    program = "import os, tabulate; print(os.path.exists(tabulate.__cached__), tabulate.__version__)"
    assert await said(made.python, "-c", program) == "True 0.10.0\n"
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert folders(tmp_path) == [made.folder.name]


async def test_its_scripts_find_their_interpreter_wherever_it_is(tmp_path: Path) -> None:
    made = await make(tmp_path, recipe=SMALL)
    elsewhere = made.folder.rename(tmp_path / "elsewhere")

    assert "one  two" in await said(elsewhere / "bin" / "tabulate", also=elsewhere / "bin")


async def test_of_those_who_want_it_at_once_one_makes_it(tmp_path: Path) -> None:
    begun: list[int] = []

    def counted(number: int) -> environment.Progress:
        return lambda done: begun.append(number) if number not in begun else None

    made = await asyncio.gather(*(make(tmp_path, counted(number), SMALL) for number in range(3)))

    assert len({each.folder for each in made}) == 1
    assert len(begun) == 1


@pytest.mark.parametrize("moment", ["0.0", "0.6"], ids=["fetching", "compiling"])
async def test_who_is_killed_leaves_nothing_that_looks_whole(tmp_path: Path, moment: str) -> None:
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, tmp_path, SMALL.lock, moment], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not place(tmp_path, SMALL).exists()

    made = await make(tmp_path, recipe=SMALL)

    assert folders(tmp_path) == [made.folder.name]


async def test_who_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    started = asyncio.Event()
    making = asyncio.ensure_future(make(tmp_path, lambda done: started.set(), SMALL))
    await started.wait()

    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making

    assert folders(tmp_path) == []


async def test_another_version_goes_unless_somebody_uses_it(tmp_path: Path) -> None:
    older = await make(tmp_path, recipe=OTHER)

    with used(older):
        newer = await make(tmp_path, recipe=SMALL)
        assert folders(tmp_path) == sorted([older.folder.name, newer.folder.name])

    await make(tmp_path, recipe=SMALL)
    assert folders(tmp_path) == [newer.folder.name]


async def test_a_package_that_is_not_the_one_of_the_lock_is_refused(tmp_path: Path) -> None:
    wrong = Recipe(f"tabulate==0.10.0 --hash=sha256:{'0' * 64}\n", SMALL.trial)

    with pytest.raises(SandboxUnavailable, match=r"could not be made: .*HASH"):
        await make(tmp_path, recipe=wrong)

    assert folders(tmp_path) == []


async def test_without_a_network_it_says_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")

    with pytest.raises(SandboxUnavailable, match="Check the network, or the index and proxy"):
        await make(tmp_path, recipe=SMALL)


async def test_a_folder_that_cannot_be_made_is_words(tmp_path: Path) -> None:
    (tmp_path / "sandbox").write_text("in the way")

    with pytest.raises(SandboxUnavailable, match="cannot be kept in"):
        await make(tmp_path, recipe=SMALL)


def test_an_environment_of_the_operators_must_have_a_kernel(tmp_path: Path) -> None:
    assert given(kept_python().folder) == kept_python()
    with pytest.raises(SandboxUnavailable, match="no virtual environment that has ipykernel"):
        given(tmp_path)


def test_what_sandboxes_have_can_be_imported() -> None:
    names = "numpy, pandas, matplotlib, scipy, sklearn, sympy, PIL, openpyxl, xlsxwriter, docx, pptx, pypdf"
    names += ", reportlab, seaborn, networkx, requests, bs4, lxml, tabulate, yaml, ipykernel"

    done = subprocess.run([kept_python().python, "-c", f"import {names}"], check=False, capture_output=True)

    assert done.returncode == 0, done.stderr.decode()


def test_the_lock_names_no_index() -> None:
    assert "://" not in ours().lock
    assert find(Path("/nowhere")) is None
