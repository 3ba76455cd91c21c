"""`antiphon sandbox`, as docs/sandbox.md shows it."""

import shlex
import shutil
from pathlib import Path

import pytest
from tests.commands import Run, run
from tests.docs.reading import named
from tests.kept_python import kept_python

from antiphon.sandbox.environment import Environment

__all__ = ["run"]

PAGE = "docs/sandbox.md"


@pytest.fixture(scope="session")
def python() -> Environment:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return kept_python()


def arguments(name: str) -> list[str]:
    """Of the one command that a block of the page has."""
    program, *words = shlex.split(named(PAGE, name))
    assert program == "antiphon"
    return words


def test_code_of_the_page_runs(run: Run, python: Environment) -> None:
    done = run(*arguments("try"), ANTIPHON_SANDBOX_ENVIRONMENT=str(python.folder))

    assert (done.returncode, done.stdout) == (0, "[0 1 4]\n"), done.stderr


def test_files_go_in_and_pictures_and_files_come_out(run: Run, python: Environment, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("year,price\n2024,1.5\n2025,2.5\n")

    done = run(*arguments("files"), ANTIPHON_SANDBOX_ENVIRONMENT=str(python.folder))

    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    assert sorted(path.name for path in results.iterdir()) == ["picture-1.png", "prices.csv", "summary.xlsx"]
    assert (results / "picture-1.png").read_bytes().startswith(b"\x89PNG")
    assert "[a picture: results/picture-1.png]" in done.stdout


def test_code_that_fails_is_its_traceback_and_exit_code_1(run: Run, python: Environment) -> None:
    done = run("sandbox", "run", "print('so far'); 1 / 0", ANTIPHON_SANDBOX_ENVIRONMENT=str(python.folder))

    assert done.returncode == 1
    assert done.stdout == "so far\n"
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_code_is_bounded_as_the_configuration_says(run: Run, python: Environment) -> None:
    given = {"ANTIPHON_SANDBOX_ENVIRONMENT": str(python.folder), "ANTIPHON_SANDBOX_SECONDS": "0.5"}

    done = run("sandbox", "run", "while True: pass", **given)

    assert done.returncode == 1
    assert "Stopped: the code took longer than 0.5 seconds" in done.stderr


def test_setup_says_where_the_python_is_and_how_large(run: Run, python: Environment) -> None:
    done = run("sandbox", "setup", ANTIPHON_SANDBOX_ENVIRONMENT=str(python.folder))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{python.folder}  ")
    assert done.stdout.endswith(" MB\n")


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["setup"], {"DRIVER": "none"}, "No code runs on this server: driver of [sandbox]"),
        (["run", "1"], {"DRIVER": "none"}, "No code runs on this server: driver of [sandbox]"),
        (["run", "1"], {"ENVIRONMENT": "/nowhere"}, "no virtual environment that has ipykernel"),
        (["run", "1", "--file", "missing.csv"], {}, "There is no file missing.csv."),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Run, python: Environment, words: list[str], variables: dict[str, str], said: str
) -> None:
    given = {"ENVIRONMENT": str(python.folder), **variables}

    done = run("sandbox", *words, **{f"ANTIPHON_SANDBOX_{name}": value for name, value in given.items()})

    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_bubblewrap_it_says_how_to_install_it(run: Run, python: Environment, tmp_path: Path) -> None:
    done = run("sandbox", "run", "1", PATH=str(tmp_path), ANTIPHON_SANDBOX_ENVIRONMENT=str(python.folder))

    assert done.returncode == 1
    assert "bubblewrap is not installed: `" in done.stderr
