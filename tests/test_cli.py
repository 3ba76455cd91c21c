"""The command line as a user meets it: in processes of its own."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon import __version__, config

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


def test_it_tells_its_version(run: Run) -> None:
    done = run("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"antiphon {__version__}\n", "")


def test_without_a_command_it_tells_which_there_are(run: Run) -> None:
    said = run().stdout

    assert [name for name in ("serve", "pull", "key") if name in said] == ["serve", "pull", "key"]


def test_a_new_key_comes_with_the_line_that_lets_it_in(run: Run, tmp_path: Path) -> None:
    said = run("key", "blog-2").stdout

    key = re.search(r"sk-antiphon-\S+", said)
    assert key
    file = tmp_path / "antiphon.toml"
    file.write_text(said[said.index("[server.keys]") :], encoding="utf-8")
    assert config.load(file, environ={}).server.keys == {"blog-2": config.hash_key(key.group())}


def test_two_keys_are_never_the_same(run: Run) -> None:
    assert run("key", "a").stdout != run("key", "a").stdout


def test_a_project_that_toml_cannot_name_is_refused(run: Run) -> None:
    done = run("key", "a b")

    assert done.returncode == 1
    assert done.stderr == "antiphon: A project's name is made of letters, digits, - and _.\n"


def test_an_unknown_key_of_the_configuration_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[server]\nprot = 9000", encoding="utf-8")

    done = run("serve")

    assert done.returncode == 1
    assert done.stderr == (
        "antiphon: Unknown key 'prot' in [server] of antiphon.toml. Did you mean 'port'?\n"
    )


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_begun(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run("serve", "--port", str(port))

    assert done.returncode == 1
    assert done.stderr == (
        f"antiphon: Cannot listen on 127.0.0.1 port {port}: address already in use. "
        "Choose another with --port.\n"
    )
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "llama3"], "say something of --upstream, which is missing"),
        (["--upstream", "localhost:11434"], "must begin with http:// or https://"),
        (
            ["--upstream", "http://a/v1", "--upstream-key-env", "NO_SUCH"],
            "NO_SUCH, a variable that is not set",
        ),
        (["--config", "missing.toml"], "missing.toml cannot be read: No such file"),
        (["--data-dir", "/dev/null/x"], "The data directory /dev/null/x cannot be made"),
        (["--host", "no.such.host.invalid"], "Cannot listen on no.such.host.invalid port 8000"),
    ],
)
def test_options_that_cannot_be_followed_are_one_sentence(run: Run, options: list[str], said: str) -> None:
    done = run("serve", *options)

    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dialect_that_nobody_speaks_is_one_sentence(run: Run) -> None:
    done = run(
        "serve", ANTIPHON_BACKENDS_A_BASE_URL="http://127.0.0.1:9/v1", ANTIPHON_BACKENDS_A_DIALECT="olama"
    )

    assert done.returncode == 1
    assert done.stderr == "antiphon: Unknown dialect 'olama' of backend 'a'. Did you mean 'ollama'?\n"
