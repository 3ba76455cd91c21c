"""Where things are kept, as a start finds it: what is missing is one sentence."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.commands import Run, one_sentence, run
from tests.kept_at import new_store
from tests.s3 import shared_s3

__all__ = ["run"]

KEY = base64.b64encode(bytes(32)).decode()


def served(run: Run, **variables: str) -> str:
    return one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", **variables))


@pytest.mark.parametrize("url", ["gs://bucket", "files", "s3://"])
def test_blobs_that_there_are_not_are_one_sentence(run: Run, url: str) -> None:
    said = served(run, ANTIPHON_BLOBS_URL=url)

    assert f"'{url}' is not the URL of blobs. Use s3://bucket/prefix" in said


def test_a_bucket_that_there_is_not_is_one_sentence(run: Run) -> None:
    said = served(run, ANTIPHON_BLOBS_URL="s3://no-such-bucket", **shared_s3().variables)

    assert said.startswith(
        "antiphon: There is no bucket 'no-such-bucket': make it, or look at AWS_ENDPOINT_URL"
    )


def test_missing_credentials_are_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = shared_s3().bucket()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    said = served(run, ANTIPHON_BLOBS_URL=bucket, AWS_METADATA_ENDPOINT="http://127.0.0.1:9")

    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def test_an_extra_that_is_not_installed_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "obstore.py").write_text("raise ImportError", encoding="utf-8")

    said = served(run, ANTIPHON_BLOBS_URL="s3://bucket/x", PYTHONPATH=str(tmp_path))

    assert said == "antiphon: s3://bucket/x needs `pip install 'antiphon[s3]'`.\n"


def test_doctor_says_what_several_servers_lack(run: Run) -> None:
    shared = {"ANTIPHON_STORE_URL": "postgresql://me:secret@127.0.0.1:9/antiphon", **shared_s3().variables}
    key = {"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL", "SEAL": KEY}

    assert "FAILED  homes: With PostgreSQL, sealing_key_env" in run("doctor", **shared).stdout
    no_bucket = run("doctor", ANTIPHON_BLOBS_URL="s3://no-such-bucket", **shared, **key).stdout
    assert "FAILED  homes: There is no bucket 'no-such-bucket'" in no_bucket
    bucket = shared_s3().bucket()
    said = run("doctor", ANTIPHON_BLOBS_URL=bucket, **shared, **key).stdout
    assert f"ok      homes: blobs can be read and written: {bucket}" in said
    assert "FAILED  database: postgresql://me@127.0.0.1:9/antiphon: connection failed" in said
    there = str(new_store("postgres").url)
    said = run("doctor", ANTIPHON_BLOBS_URL=bucket, **{**shared, **key, "ANTIPHON_STORE_URL": there}).stdout
    assert "ok      database: " in said
    assert tables(there) == 0


def tables(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@127.0.0.1:9/antiphon", "postgresql://me:sec%zzret@127.0.0.1/antiphon"]
)
@pytest.mark.parametrize(
    "command", [("serve", "--port", "0"), ("migrate",), ("webhooks",), ("files", "list")]
)
def test_a_database_that_cannot_be_used_is_one_sentence(run: Run, command: tuple[str, ...], url: str) -> None:
    key = {"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL", "SEAL": KEY}
    said = one_sentence(run(*command, ANTIPHON_STORE_URL=url, **key))

    assert "me@127.0.0.1" in said
    assert "sec" not in said


def test_a_database_of_somebody_else_is_one_sentence(run: Run) -> None:
    url = str(new_store("postgres").url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET default_transaction_read_only = on")

    said = one_sentence(run("migrate", ANTIPHON_STORE_URL=url))

    assert "cannot be brought up to date: cannot execute CREATE TABLE in a read-only transaction." in said


def test_postgresql_with_a_folder_of_files_is_warned_of(tmp_path: Path) -> None:
    store = new_store("postgres")
    assert store.url
    given = {
        "ANTIPHON_DATA_DIR": str(tmp_path),
        "ANTIPHON_STORE_URL": store.url,
        "ANTIPHON_STORE_SEALING_KEY_ENV": str(store.sealing_key_env),
    }
    command = [
        sys.executable,
        "-m",
        "antiphon",
        "serve",
        "--port",
        "0",
        "--upstream",
        "http://127.0.0.1:9/v1",
    ]
    with subprocess.Popen(command, env={**os.environ, **given}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("Files are in a folder" in line for line in process.stdout)
        process.kill()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "With PostgreSQL, sealing_key_env of [store] must name the environment variable"),
        ({"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL"}, "names SEAL, which is not set"),
        ({"ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL", "SEAL": KEY[:-8]}, "and must hold 32"),
    ],
)
def test_a_sealing_key_that_cannot_be_shared_is_one_sentence(
    run: Run, variables: dict[str, str], said: str
) -> None:
    assert said in served(run, ANTIPHON_STORE_URL="postgresql://127.0.0.1:9/antiphon", **variables)
