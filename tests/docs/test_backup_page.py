"""The commands of docs/backup.md, with PostgreSQL's own tools and a bucket."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.cli.keeping import Kept, http_of
from tests.commands import Run, run
from tests.conftest import Running, checked_client, config_for, new_blobs
from tests.docs.reading import blocks, named
from tests.kept_at import new_store
from tests.postgres import BIN
from tests.s3 import shared_s3
from tests.scripted import Answer, Upstream

from antiphon.config import Config, Store

__all__ = ["run"]

PAGE = "docs/backup.md"


def shell(text: str, folder: Path, **variables: str) -> None:
    """Runs a block of the page."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{BIN}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", text], env=environ, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def configs(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, Config]:
    """Of the old homes, and of the new ones."""
    upstream.default = Answer("one two three")
    monkeypatch.setenv("SEAL", base64.b64encode(bytes(range(32))).decode())
    old = replace(
        config_for(upstream, tmp_path / "data"),
        store=replace(new_store("postgres"), sealing_key_env="SEAL"),
        blobs=new_blobs("s3"),
    )
    new = replace(old, store=replace(new_store("postgres"), sealing_key_env="SEAL"), blobs=new_blobs("s3"))
    return old, new


def test_a_dump_and_a_copied_bucket_are_whole_and_have_everything(
    run: Run, configs: tuple[Config, Config], tmp_path: Path
) -> None:
    old, new = configs
    with Running(old) as running, checked_client(running.url) as client, http_of(running) as http:
        kept = Kept(client, http)
        kept.make()
        before = kept.read()
        shell(named(PAGE, "pg_dump"), tmp_path, DATABASE_URL=str(old.store.url))
        shared_s3().copy(str(old.blobs.url), str(new.blobs.url))
    shell(named(PAGE, "pg_restore"), tmp_path, NEW_DATABASE_URL=str(new.store.url))

    places = {
        "ANTIPHON_STORE_URL": str(new.store.url),
        "ANTIPHON_STORE_SEALING_KEY_ENV": "SEAL",
        "ANTIPHON_BLOBS_URL": str(new.blobs.url),
    }
    done = run("check", **places, **shared_s3().variables)

    assert done.returncode == 0, done.stdout + done.stderr
    with Running(new) as running, checked_client(running.url) as client, http_of(running) as http:
        kept.client, kept.http = client, http
        assert kept.read() == before
        kept.add()


def test_the_commands_of_the_page_back_up_restore_and_check(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("one")
    config = replace(config_for(upstream, tmp_path / "data"), store=Store())
    with Running(config) as running, checked_client(running.url) as client:
        client.responses.create(model="m", input="Hi")
    commands = [line for block in blocks(PAGE, "sh") if not block.name for line in block.text.splitlines()]

    ran = [line for line in commands if not line.startswith("antiphon serve")]

    assert [line.split()[1] for line in ran] == ["backup", "restore", *["check"] * 3, "restore"]
    shell("\n".join(ran), tmp_path, ANTIPHON_DATA_DIR=config.data_dir)
