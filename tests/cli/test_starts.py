"""What goes wrong at a first start: one sentence each time, which names what helps."""

import socket
from pathlib import Path

from tests.commands import Run, one_sentence, run
from tests.postgres import shared_postgres
from tests.s3 import shared_s3

__all__ = ["run"]

HERE = ("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1")


def started(run: Run, *options: str, **variables: str) -> str:
    return one_sentence(run(*HERE, *options, **variables))


def with_file(run: Run, tmp_path: Path, text: str) -> str:
    (tmp_path / "antiphon.toml").write_text(text, encoding="utf-8")
    return one_sentence(run("serve", "--port", "0"))


def test_a_port_that_is_in_use(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = started(run, "--port", str(taken.getsockname()[1]))

    assert said.endswith("address already in use. Choose another with --port.\n")


def test_a_file_that_is_not_toml(run: Run, tmp_path: Path) -> None:
    said = with_file(run, tmp_path, "[server]\nport = 8000\nhost = 127.0.0.1\n")

    assert said.startswith("antiphon: The configuration antiphon.toml is not TOML: ")
    assert "line 3" in said


def test_a_key_that_is_misspelt(run: Run, tmp_path: Path) -> None:
    assert "Did you mean 'port'?" in with_file(run, tmp_path, "[server]\nprot = 8000\n")


def test_a_value_of_the_wrong_kind(run: Run, tmp_path: Path) -> None:
    said = with_file(run, tmp_path, '[server]\nport = "many"\n')

    assert "server.port in antiphon.toml has a wrong value" in said


def test_a_key_of_an_upstream_that_is_not_in_the_environment(run: Run) -> None:
    said = started(run, "--upstream-key-env", "NO_SUCH_KEY")

    assert "is read from NO_SUCH_KEY, a variable that is not set: set it, as with `export NAME=…`" in said


def test_an_upstream_without_its_scheme(run: Run) -> None:
    said = one_sentence(run("serve", "--port", "0", "--upstream", "127.0.0.1:11434"))

    assert "--upstream is a URL, such as http://127.0.0.1:11434/v1" in said


def test_an_upstream_that_is_away_keeps_no_server_from_starting_and_doctor_says_so(run: Run) -> None:
    done = run("doctor", "--upstream", "http://127.0.0.1:9/v1")

    assert done.returncode == 1
    assert "FAILED  backend upstream" in done.stdout


def test_a_database_that_cannot_be_written(run: Run) -> None:
    said = started(run, ANTIPHON_STORE_URL="sqlite:////proc/sys/antiphon.db")

    assert "Is it readable and writable, with room on its disk?" in said


def test_a_wrong_password_of_postgresql(run: Run) -> None:
    url = shared_postgres().url("postgres").replace("postgres@", "stranger:wrong@")
    key = {"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL", "SEAL": "A" * 43 + "="}

    said = started(run, ANTIPHON_STORE_URL=url, **key)

    assert "cannot be reached" in said
    assert "are user, password and database right in url of [store]?" in said
    assert "wrong" not in said


def test_a_bucket_that_is_not_there(run: Run) -> None:
    said = started(run, ANTIPHON_BLOBS_URL="s3://no-such-bucket", **shared_s3().variables)

    assert "There is no bucket 'no-such-bucket': make it, or look at AWS_ENDPOINT_URL" in said


def test_a_sandbox_without_bubblewrap_is_told_by_doctor(run: Run, tmp_path: Path) -> None:
    done = run("doctor", PATH=str(tmp_path))

    (line,) = (line for line in done.stdout.splitlines() if "sandbox: " in line)
    assert "no code from models runs" in line
    assert "bubblewrap" in line


def test_a_directory_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = started(run, "--data-dir", str(tmp_path / "file"))

    assert said.endswith("cannot be made: File exists. Use --data-dir.\n")
