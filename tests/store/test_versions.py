"""Databases of other versions: older ones become what a new one is; newer ones that only have more are used;
others are refused in words."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import httpx2
import psycopg
import pytest
from msgspec.structs import replace
from tests.conftest import Running, checked_client, config_for
from tests.kept_at import new_store
from tests.scripted import Answer, Upstream

from antiphon.config import Config, Store
from antiphon.store import migrations
from antiphon.store.copying import TABLES
from antiphon.store.errors import Incompatible
from antiphon.store.migrations import scripts_of
from antiphon.store.open import open_store
from antiphon.store.postgres import schema as postgres_schema
from antiphon.store.sqlite import schema as sqlite_schema
from antiphon.store.statements import Own, Steps
from antiphon.store.work import Job

HOMES = ("sqlite", "postgres")
ADDED = ("CREATE TABLE later (name TEXT)", "ALTER TABLE responses ADD COLUMN later TEXT")
"""What a script of a newer version may do."""


def url_of(home: str, tmp_path: Path) -> str:
    return new_store(home).url or f"sqlite:///{tmp_path}/antiphon.db"


async def opened(url: str) -> None:
    await (await open_store(url)).close()


def _columns() -> Steps[dict[str, list[str]]]:
    found = {}
    for table in TABLES:
        found[table.name] = sorted(name for (name,) in (yield Own("columns", (table.name,))))
    return found


async def columns(url: str) -> dict[str, list[str]]:
    store = await open_store(url)
    try:
        return await store.read_long(_columns)
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("home", "known"), [(home, known) for home in HOMES for known in range(1, len(scripts_of(home)))]
)
async def test_a_database_of_an_older_version_becomes_what_a_new_one_is(
    home: str, known: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = url_of(home, tmp_path / "old"), url_of(home, tmp_path / "new")
    with monkeypatch.context() as older:
        for schema in (sqlite_schema, postgres_schema):
            older.setattr(schema, "scripts_of", lambda home: scripts_of(home)[:known])
        if home == "sqlite":
            sqlite_schema.prepare(Path(old.removeprefix("sqlite:///"))).close()
        else:
            assert await postgres_schema.migrate(old) == list(range(1, known + 1))

    assert await columns(old) == await columns(new)


async def test_jobs_of_an_older_version_are_there_and_their_keys_are_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of("sqlite", tmp_path)
    with monkeypatch.context() as older:
        older.setattr(sqlite_schema, "scripts_of", lambda home: scripts_of(home)[:19])
        sqlite_schema.prepare(tmp_path / "antiphon.db").close()
    job = "INSERT INTO work (key, kind, name, project_id, payload, run_at, fence, attempts, error, failed_at)"
    execute(url, f"{job} VALUES (7, 'k', 'n', 'p', x'31', 1.5, 3, 2, 'why', NULL)")
    execute(url, f"{job} VALUES (9, 'k', NULL, NULL, x'32', 2, 1, 1, 'why', 5)")

    store = await open_store(url)
    try:
        (failed,) = await store.work.failed(9)
        assert (failed.key, failed.error, failed.failed_at) == (9, "why", 5)
        assert await store.work.expire(6, 9) == 1
        await store.work.enqueue([Job(kind="k", payload=b"3", name=name) for name in ("m", "n")])
        jobs = await store.work.claim(["k"], "me", 5, 9)
    finally:
        await store.close()
    assert [(job.key, job.project, job.payload, job.attempts) for job in jobs] == [
        (7, "p", b"1", 3),
        (10, None, b"3", 1),
    ]
    assert jobs[0].fence == 4


def execute(url: str, *statements: str) -> None:
    if url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            for each in statements:
                database.execute(each)
        return
    with psycopg.connect(url) as connection:
        for each in statements:
            connection.execute(each.encode())


def numbered(home: str, number: int, needs: int) -> list[str]:
    """What a newer version writes down of its script."""
    if home == "postgres":
        return [f"INSERT INTO antiphon_schema (number, needs) VALUES ({number}, {needs})"]
    return [f"PRAGMA user_version = {number}", f"PRAGMA application_id = {needs}"]


@pytest.fixture(params=HOMES)
def config(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Config:
    upstream.default = Answer("one two")
    store = Store(url=url_of(request.param, tmp_path), sealing_key_env="SEAL")
    request.getfixturevalue("monkeypatch").setenv("SEAL", "A" * 43 + "=")
    return replace(config_for(upstream, tmp_path / "data"), store=store)


def home_of(config: Config) -> str:
    return "postgres" if config.store.is_shared else "sqlite"


def test_a_server_works_on_a_database_that_a_newer_one_has_added_to(config: Config) -> None:
    home, url = home_of(config), config.store_url
    with Running(config) as running, checked_client(running.url) as client:
        first = client.responses.create(model="m", input="Hi")
    execute(url, *ADDED, *numbered(home, 9_999, len(scripts_of(home))))

    with Running(config) as running, checked_client(running.url) as client:
        assert client.responses.retrieve(first.id) == first
        second = client.responses.create(model="m", input="More", previous_response_id=first.id)
        for _ in client.responses.create(model="m", input="Hi", background=True, stream=True):
            pass
        client.responses.delete(first.id)
        assert client.responses.retrieve(second.id) == second
        assert httpx2.get(f"{running.url}/readyz").status_code == 200
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.DuplicateTable)):
        execute(url, ADDED[0])  # nothing was taken back


def test_a_database_that_a_newer_version_changed_is_refused_in_words(config: Config) -> None:
    home = home_of(config)
    known = len(scripts_of(home))
    asyncio.run(opened(config.store_url))
    execute(config.store_url, *numbered(home, known + 1, known + 1))

    with pytest.raises(Incompatible) as refused:
        asyncio.run(opened(config.store_url))

    assert str(refused.value) == (
        f"A newer version of Antiphon has changed the database (schema {known + 1}; this version knows "
        f"{known}) in a way that this version cannot bear: install that version again, or restore a backup "
        "from before."
    )


@pytest.mark.parametrize("home", HOMES)
async def test_what_a_script_needs_is_written_down(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(home, tmp_path)
    await opened(url)
    known = len(scripts_of(home))
    with monkeypatch.context() as newer:
        more = [f"-- needs {known + 1}\nDROP TABLE recordings;", "CREATE TABLE later (name TEXT);"]
        for schema in (sqlite_schema, postgres_schema):
            newer.setattr(schema, "scripts_of", lambda home: [*scripts_of(home), *more])
        await opened(url)

    with pytest.raises(Incompatible, match=f"schema {known + 2}; this version knows {known}"):
        await opened(url)


@pytest.mark.parametrize(
    ("script", "number"), [("-- needs 7\nDROP …", 7), ("-- What it is.\n-- needs 7", 0), ("", 0)]
)
def test_the_first_line_of_a_script_says_what_it_needs(script: str, number: int) -> None:
    assert migrations.needs(script) == number
