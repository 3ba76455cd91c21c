"""What tests start in processes of their own ends as they are told, and is gone when they are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests import forked
from tests.forked import Forked

Write = Callable[[str], Mapping[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a module `told` of a program: the environment in which that is found."""

    def made(program: str) -> Mapping[str, str]:
        (tmp_path / "told.py").write_text(program)
        return {**os.environ, "PYTHONPATH": str(tmp_path)}

    return made


def wait_gone(pid: int) -> None:
    until = time.monotonic() + 20
    while _lives(pid):
        assert time.monotonic() < until, "it is still there"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("print('said')", 0),
        ("import sys; print('said', file=sys.stderr); sys.exit(7)", 7),
        ("import os, signal; print('said', flush=True); os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_its_exit_code_is_known(program: str, code: int, write: Write, tmp_path: Path) -> None:
    process = Forked("told", [], write(program))
    assert process.end(60) == "said\n"
    assert process.returncode == code
    done = forked.run("told", [], write(program), tmp_path, 60)
    assert (done.stdout + done.stderr, done.returncode) == ("said\n", code)


def test_it_starts_where_the_test_is(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forked.run("told", [], write(""), tmp_path, 60)
    environment = write("import os; print(os.getcwd())")
    for folder in (tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        assert Forked("told", [], environment).end(60) == f"{folder}\n"


def test_much_is_said_before_the_end(write: Write) -> None:
    process = Forked("told", [], write("print('x' * 1_000_000)\nprint('that was it')"))
    assert process.end(60).endswith("x\nthat was it\n")


def test_what_outlives_it_is_not_waited_for_and_can_be_killed(write: Write) -> None:
    orphan = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    process = Forked("told", [], write(orphan))
    left = int(process.end(60))
    assert _lives(left)
    process.kill()
    wait_gone(left)


@pytest.mark.parametrize("program", ["import time; time.sleep(600)", "while True: print('x' * 1000)"])
def test_what_does_not_end_is_not_waited_for_for_ever(program: str, write: Write) -> None:
    process = Forked("told", [], write(program))
    with pytest.raises(AssertionError, match="did not end"):
        process.end(0.5)
    process.kill()
    process.end(60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_session_that_is_broken_off_leaves_none_behind(how: signal.Signals, write: Write) -> None:
    environment = write("import time; print('there', flush=True); time.sleep(600)")
    session = """
import os, sys, time
from tests.forked import Forked
environment = {**os.environ, "PYTHONPATH": sys.argv[1]}
started = Forked("told", [], environment)
assert started.says("there")
print(started.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", session, environment["PYTHONPATH"]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        started = int(running.stdout.readline())
        assert _lives(started)
        os.killpg(running.pid, how)
    wait_gone(started)


def test_a_mother_that_is_gone_is_told_of(write: Write) -> None:
    mother = forked._Mother()
    mother._process.kill()
    mother._process.wait()
    with pytest.raises((ChildProcessError, ConnectionError)):
        mother.bear(forked._Wanted("told", [], write(""), "."), 1, 2)
    mother.close()


def test_what_a_test_has_set_is_not_what_others_start_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_SET_BY_A_TEST", "1")
    monkeypatch.chdir("/")
    mother = forked._Mother()
    about = Path(f"/proc/{mother._process.pid}")
    assert b"ANTIPHON_SET_BY_A_TEST" not in (about / "environ").read_bytes()
    assert (about / "cwd").readlink() == Path(forked.__file__).parents[1]
    mother.close()
    assert mother._process.returncode == 0
