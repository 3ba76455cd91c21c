"""`antiphon copy`: all that is kept, in another home, as if it had always been there."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from tests.cli.keeping import Kept, http_of
from tests.commands import Run, one_sentence, run
from tests.conftest import Running, checked_client, config_for
from tests.kept_at import new_store
from tests.postgres import shared_postgres
from tests.s3 import shared_s3
from tests.scripted import Answer, Upstream

from antiphon.config import Blobs, Config, Store
from antiphon.keys.issuing import Issuer
from antiphon.store import copying
from antiphon.store.allowances import Allowance, Draw
from antiphon.store.copying import MADE_ANEW, TABLES, Table
from antiphon.store.keys import KeyLimits
from antiphon.store.open import open_store
from antiphon.store.recordings import NewRecording, Packer, Recording
from antiphon.store.statements import Insert, Own, Steps
from antiphon.store.webhooks import Delivery
from antiphon.store.work import Job

__all__ = ["run"]

MANY = 30_000


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    """Of the home that is left: a file, and a folder."""
    upstream.default = Answer("one two three")
    return config_for(upstream, tmp_path / "data")


@pytest.fixture
def moved(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Config]:
    """Of the new one, with the same sealing key."""

    def new() -> Config:
        key = (tmp_path / "data" / "sealing.key").read_bytes()
        store = replace(new_store("postgres"), sealing_key_env="THE_KEY")
        monkeypatch.setenv("THE_KEY", base64.b64encode(key).decode())
        return replace(
            config, data_dir=str(tmp_path / "new"), store=store, blobs=Blobs(url=shared_s3().bucket())
        )

    return new


def copied(run: Run, old: Config, new: Config) -> "subprocess.CompletedProcess[str]":
    return run(*_options(old, new), **shared_s3().variables)


def _options(old: Config, new: Config) -> list[str]:
    options = ["copy", "--data-dir", old.data_dir, "--from", old.store_url, "--to", new.store_url]
    if new.blobs.url:
        options += ["--blobs-to", new.blobs.url]
    if old.blobs.url:
        options += ["--blobs-from", old.blobs.url]
    return options


# ---- what is kept -----------------------------------------------------------------------------------


async def wait(url: str) -> None:
    """What waits in the old store: a webhook, and a job. And what was sent for a response."""
    store = await open_store(url)
    delivery = Delivery(
        id="whd_1",
        event_id="evt_1",
        project="default",
        endpoint="gone",
        type="response.completed",
        response_id="resp_1",
        created_at=1,
        body=b"{}",
    )
    await store.webhooks.add([delivery])
    sent = Recording(turn=1, backend="b", url="http://b/v1", started_at=1.0, milliseconds=1, request_bytes=1)
    await store.recordings.add([Packer().pack(NewRecording("default", "resp_1", False, sent))])
    new = await Issuer(store.keys, None).create("default", "one", KeyLimits(concurrency=2))
    await store.allowances.draw(new.row.digest, [Draw(Allowance("budget", 9, window="month"), 2, 1)])
    await store.work.enqueue([Job(kind="of another version", payload=b"x")])
    await store.close()


async def counted(url: str, rule: Callable[[Table], Steps[int]] = copying.count) -> dict[str, int]:
    store = await open_store(url)
    try:
        return {table.name: await store.read_long(rule, table) for table in TABLES}
    finally:
        await store.close()


def test_everything_is_read_in_the_new_home_as_in_the_old_one_and_goes_on(
    run: Run, config: Config, moved: Callable[[], Config], tmp_path: Path
) -> None:
    with Running(config) as running, checked_client(running.url) as client, http_of(running) as http:
        kept = Kept(client, http)
        kept.make()
        before = kept.read()
        client.vector_stores.delete(client.vector_stores.create().id)  # its number is not given again
    asyncio.run(wait(config.store_url))
    numbers = asyncio.run(counted(config.store_url, copying.last_number))
    counts = asyncio.run(counted(config.store_url))
    assert [name for name, rows in counts.items() if rows == 0] == []
    new = moved()

    done = copied(run, config, new)

    assert done.returncode == 0, done.stderr
    assert f"{sum(counts.values())} rows are in postgresql://" in done.stdout
    assert f"`base64 {config.data_dir}/sealing.key`" in done.stdout
    assert asyncio.run(counted(new.store_url)) == counts
    assert asyncio.run(counted(new.store_url, copying.last_number)) == numbers
    with Running(new) as running, checked_client(running.url) as client, http_of(running) as http:
        kept.client, kept.http = client, http
        assert kept.read() == before
        kept.add()
        after = kept.read()

    back = replace(config, data_dir=str(tmp_path / "back"), store=Store())
    assert copied(run, new, replace(back, blobs=Blobs(url=f"file://{tmp_path}/back/files"))).returncode == 0
    (tmp_path / "back" / "sealing.key").write_bytes((tmp_path / "data" / "sealing.key").read_bytes())
    with Running(back) as running, checked_client(running.url) as client, http_of(running) as http:
        kept.client, kept.http = client, http
        assert kept.read() == after
        kept._run()


# ---- what breaks, and what is refused -----------------------------------------------------------------


async def fill(url: str) -> None:
    def rule() -> Steps[None]:
        rows = [("p", f"msg_{number}", os.urandom(200)) for number in range(MANY)]
        yield Insert("items (project_id, id, json)", rows)

    store = await open_store(url)
    await store.write(rule)
    await store.close()


def test_a_copy_that_was_killed_is_no_store_until_it_was_given_again(
    run: Run, config: Config, moved: Callable[[], Config], tmp_path: Path
) -> None:
    asyncio.run(fill(config.store_url))
    (tmp_path / "data" / "sealing.key").write_bytes(bytes(32))
    new = replace(moved(), blobs=Blobs())
    command = [sys.executable, "-m", "antiphon", *_options(config, new)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        with psycopg.connect(new.store_url, autocommit=True) as database:
            there = 0
            while not there:
                (table,) = database.execute("SELECT to_regclass('items')").fetchone() or (None,)
                (there,) = (table and database.execute("SELECT count(*) FROM items").fetchone()) or (0,)
        process.send_signal(signal.SIGKILL)
    assert 0 < asyncio.run(counted(new.store_url))["items"] < MANY
    variables = {"ANTIPHON_STORE_URL": new.store_url, "ANTIPHON_STORE_SEALING_KEY_ENV": "THE_KEY"}

    said = one_sentence(run("serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", **variables))
    assert "is not whole. Give `antiphon copy` again." in said
    other = replace(config, store=Store(url=f"sqlite:///{tmp_path}/other.db"))
    asyncio.run(fill(other.store_url))
    assert "There is a copy of" in one_sentence(copied(run, other, new))

    assert copied(run, config, new).returncode == 0
    assert asyncio.run(counted(new.store_url)) == asyncio.run(counted(config.store_url))


def test_a_home_with_other_things_in_it_is_refused(
    run: Run, config: Config, moved: Any, tmp_path: Path
) -> None:
    asyncio.run(fill(config.store_url))
    (tmp_path / "data" / "sealing.key").write_bytes(bytes(32))
    new = replace(moved(), blobs=Blobs())
    asyncio.run(wait(new.store_url))

    said = one_sentence(copied(run, config, new))

    assert said == (
        "antiphon: The store to copy to is not empty: it has webhook_deliveries. Take another one.\n"
    )


def test_without_another_home_there_is_nothing_to_do(run: Run) -> None:
    assert one_sentence(run("copy")).startswith("antiphon: Where to? Say --to or --blobs-to")


def test_a_store_that_there_is_not_is_no_source(run: Run, tmp_path: Path) -> None:
    said = one_sentence(run("copy", "--to", f"sqlite:///{tmp_path}/new.db"))

    assert said == f"antiphon: There is no store sqlite:///{tmp_path}/data/antiphon.db.\n"
    assert not (tmp_path / "new.db").exists()


def test_a_database_is_brought_up_to_date_and_nothing_is_begun(run: Run) -> None:
    with shared_postgres().database() as url:
        done = run("migrate", ANTIPHON_STORE_URL=url)

        assert done.stdout.endswith(" is up to date.\n"), done.stderr
        assert set(asyncio.run(counted(url)).values()) == {0}


@pytest.mark.parametrize("home", ["sqlite", "postgres"])
def test_every_table_is_copied_or_made_anew(home: str, tmp_path: Path) -> None:
    def names() -> Steps[set[str]]:
        return {name for (name,) in (yield Own("tables", ()))}

    async def found() -> set[str]:
        store = await open_store(new_store(home).url or f"sqlite:///{tmp_path}/a.db")
        try:
            return await store.read_long(names)
        finally:
            await store.close()

    assert asyncio.run(found()) - MADE_ANEW == {table.name for table in TABLES}
