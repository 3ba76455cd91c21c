"""The SQLite home, as a file on the disk."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.store.contract.kit import P, begin, counts, item, talk, turn
from tests.store.contract.vectors import add_file, index, new_store

from antiphon.store import activity, containers, conversations, files, prompts, recordings, runs, webhooks
from antiphon.store.activity import ActivityRow
from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import AlreadyExists
from antiphon.store.open import UnknownStore, open_store
from antiphon.store.paging import PageQuery
from antiphon.store.recordings import Packed
from antiphon.store.runs import AcceptedRun
from antiphon.store.sqlite.connection import connect
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.sqlite.driver import drive
from antiphon.store.sqlite.schema import prepare
from antiphon.store.statements import Insert, Lock, Rows, Statement, Steps
from antiphon.store.vector_files import NewEntry
from antiphon.store.work import MANY, Job, Wanted, next_due


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "antiphon.db"


async def test_deleted_text_is_overwritten_on_disk(file: Path) -> None:
    store = await open_sqlite(file)
    await store.responses.save(P, turn("r", asks=[item("a", "a secret " * 1000)]))
    await store.responses.delete(P, "r")
    await store.close()
    assert b"a secret" not in await asyncio.to_thread(file.read_bytes)


async def test_the_words_of_deleted_texts_are_overwritten_on_disk(file: Path) -> None:
    store = await open_sqlite(file)
    for name in ("one", "two"):
        await add_file(store, name)
    await store.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    entry = await index(store, [f"an abracadabra of {number}" for number in range(50)])
    await index(store, ["something else"])

    await store.files.delete(P, "one")
    while await store.vector_chunks.purge(P, [entry]):
        pass
    while await store.vector_chunks.forget(P):
        pass
    await store.close()

    left = await asyncio.to_thread(file.read_bytes)
    assert b"bracadabra" not in left, "full text search keeps the end of a word behind its beginning"
    assert b"something else" in left


_CHILD = """
import asyncio, sys
from antiphon.store.items import ItemRow
from antiphon.store.errors import Incompatible
from antiphon.store.open import open_store
from antiphon.store.responses import ResponseRow

async def save(store, row):
    await store.responses.save("project", row)
    print(row.id, flush=True)

async def main(file, name, rounds):
    store = await open_store(f"sqlite:///{file}")
    before = [None] * 8
    for n in range(rounds):
        rows = []
        for lane in range(8):
            id = f"{name}.{lane}.{n}"
            item = ItemRow(id + ".in", b'"' + id.encode() * 50 + b'"')
            rows.append(ResponseRow(id, 1, b"{}", [item], [], previous_response_id=before[lane]))
        await asyncio.gather(*(save(store, row) for row in rows))
        before = [row.id for row in rows]
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def writing_process(file: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    """A process that saves eight chains side by side, and prints the id of each response it has saved."""
    command = [sys.executable, "-c", _CHILD, str(file), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_what_was_acknowledged_survives_kill_9(file: Path) -> None:
    with writing_process(file, "a", 1_000_000) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(500)]
        process.kill()
        acknowledged += process.stdout.read().split()
    store = await open_sqlite(file)
    for name in acknowledged:
        history = await store.responses.history(P, name)
        assert history is not None
        assert len(history) == int(name.rpartition(".")[2]) + 1
    await store.close()


async def test_what_is_counted_is_what_there_is_after_kill_9(file: Path) -> None:
    store = await open_sqlite(file)
    await store.usage.bound(1)
    with writing_process(file, "a", 1_000_000) as process:
        assert process.stdout is not None
        for _ in range(300):
            process.stdout.readline()
        process.kill()
    counted = await store.usage.stored(P)
    await store.usage.bound(None)
    await store.usage.bound(1)
    assert counted == await store.usage.stored(P) != 0
    await store.close()


async def test_a_trigger_that_is_missing_has_all_counted_anew(file: Path) -> None:
    store = await open_sqlite(file)
    await store.usage.bound(1)
    await talk(store, "a")
    counted = await store.usage.stored(P)
    db = connect(file)
    db.execute("DROP TRIGGER stored_bytes_items_insert")
    db.close()
    await talk(store, "b")
    await store.usage.bound(1)
    assert counted is not None
    assert await store.usage.stored(P) == 2 * counted
    await store.close()


async def test_several_processes_open_and_write_one_file_at_once(file: Path) -> None:
    processes = [writing_process(file, name, 25) for name in ("a", "b", "c")]
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0
        assert len(printed.split()) == 200
    store = await open_sqlite(file)
    assert await counts(store) == {
        "responses": 600,
        "conversations": 0,
        "links": 600,
        "items": 600,
        "threads": 24,
    }
    await store.close()


async def test_nothing_is_left_of_an_insert_that_fails_at_its_last_row(file: Path) -> None:
    """Its rows are not taken back by themselves, but with all else that the rule wrote."""

    def begin_threads(*numbers: int) -> Steps[None]:
        yield Insert("threads (id, project_id, next_position)", [(number, P, 0) for number in numbers])

    def threads() -> Steps[Rows]:
        return (yield Statement("SELECT id FROM threads"))

    store = await open_sqlite(file)
    beside, fails = store.write(begin_threads, 1), store.write(begin_threads, 2, 3, 2)
    await beside
    with pytest.raises(AlreadyExists):
        await fails
    assert await store.read_long(threads) == [(1,)]
    await store.close()


@pytest.mark.parametrize("table", ["threads", "items", "links", "responses", "activity"])
def test_no_row_of_a_response_needs_a_table_to_be_written(table: str, tmp_path: Path) -> None:
    """As a check against a list would."""
    with contextlib.closing(prepare(tmp_path / "antiphon.db")) as db:
        row = ", ".join("1" for _ in db.execute(f"PRAGMA table_info({table})"))
        steps = db.execute(f"EXPLAIN INSERT INTO {table} VALUES ({row}), ({row})")
        assert "OpenEphemeral" not in [step[1] for step in steps]


async def test_the_file_is_for_its_owner_only(file: Path) -> None:
    store = await open_sqlite(file)
    await talk(store, "r")
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    await store.close()


async def test_logs_of_a_file_from_before_large_events_stay(file: Path) -> None:
    scripts = sorted((resources.files("antiphon.store") / "migrations" / "sqlite").iterdir(), key=str)
    file.parent.mkdir()
    db = connect(file)
    for script in scripts[:11]:
        db.executescript(script.read_text(encoding="utf-8"))
    db.executescript("""
        INSERT INTO runs (key, project_id, id, created_at, status, streamed, next)
            VALUES (1, 'p', 'r', 1, 'ended', 1, 3);
        INSERT INTO events (run, last, json) VALUES (1, 2, CAST('2' AS BLOB)), (1, 1, CAST('0
1' AS BLOB));
        PRAGMA user_version = 11;
    """)
    db.close()

    store = await open_sqlite(file)

    found = await store.runs.events_after("p", "r", -1)
    assert found is not None
    assert (found.events, found.ended) == ([b"0", b"1", b"2"], True)
    await store.close()


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite://file", "file.db", "sqlite:///"])
async def test_a_url_that_names_no_store_says_what_would(url: str) -> None:
    with pytest.raises(UnknownStore, match="sqlite:///path/to/file"):
        await open_store(url)


async def test_a_process_that_comes_alone_finds_everything_free(file: Path) -> None:
    """Leases are those of processes that died: what a crash interrupted goes on at once."""
    first = await open_sqlite(file)
    await begin(first, "c")
    await first.conversations.lock(P, "c", "me", 60)
    await first.runs.accept(P, AcceptedRun(turn("r", says=()), b"", [b"0"], streamed=True), 9, "me", 60)
    await first.work.enqueue([Job(kind="index", payload=b"")])
    (job,) = await first.work.claim(["index"], "me", 60, 1)
    second = await open_sqlite(file)
    assert await second.runs.claim("you", 60) is None
    assert await second.work.claim(["index"], "you", 60, 1) == ()
    assert not await second.conversations.lock(P, "c", "you", 60)
    await first.close()
    await second.close()

    third = await open_sqlite(file)

    assert await third.runs.claim("they", 60) is not None
    (again,) = await third.work.claim(["index"], "they", 60, 1)
    assert not await third.work.finish(job)
    assert await third.work.finish(again)
    assert await third.conversations.lock(P, "c", "they", 60)
    await third.close()


async def test_notes_cost_no_transaction_of_their_own_while_others_write(file: Path) -> None:
    store = await open_sqlite(file)
    await store.responses.save(P, turn("r"))
    with contextlib.closing(connect(file)) as db:
        before = db.execute("PRAGMA data_version").fetchone()
        row = ActivityRow(
            project=P, response_id="x", created_at=1, ended_at=1.0, model="m", status="completed"
        )
        for _ in range(100):
            store.activity.note(row)
        assert db.execute("PRAGMA data_version").fetchone() == before
        await store.responses.save(P, turn("s"))
        assert db.execute("SELECT count(*) FROM activity").fetchone() == (100,)
        assert db.execute("PRAGMA data_version").fetchone() != before
    await store.close()


def steps(db: sqlite3.Connection, rule: Steps[object]) -> int:
    """Of SQLite's machine, to carry out a rule that finds something."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    db.set_progress_handler(count, 1)
    assert drive(db, rule) is not None
    db.set_progress_handler(None, 0)
    return counted


async def test_a_claim_costs_the_same_among_very_many_jobs(file: Path) -> None:
    store = await open_sqlite(file)
    db = connect(file)
    found = []
    for count in (10, 5_000):
        for project in ("a", "b", "c"):
            await store.work.enqueue([Job(kind="index", payload=b"", project=project)] * count)
        await store.work.claim(["index"], "other", 1e12, 8)  # what others do stands before what is due
        found.append(steps(db, next_due(Wanted(("index", "purge"), 1e12, "me", 5.0, MANY), "b")))

    assert found[1] < 2 * found[0], found
    db.close()
    await store.close()


async def test_the_event_loop_reads_little_of_a_conversation(file: Path) -> None:
    store = await open_sqlite(file)
    for name, count, size in (("few", 8, 1), ("many", 2_000, 1), ("large", 8, 2**15)):
        rows = [item(f"{name}{n}", "x" * size) for n in range(count)]
        await store.conversations.create(P, ConversationRow(name, 1, b"{}"), rows)

    def looked(name: str) -> Steps[Any]:
        return conversations.history(P, name, 0, 0, "", conversations._FEW, conversations._SHORT)

    with contextlib.closing(connect(file)) as db:
        assert steps(db, looked("many")) < steps(db, looked("few"))
        assert [drive(db, looked(name)).rows is None for name in ("few", "many", "large")] == [0, 1, 1]
    await store.close()


async def test_a_job_that_is_under_way_is_due_again_when_its_lease_ends(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    store = await open_sqlite(tmp_path / "antiphon.db", clock=lambda: now)
    await store.work.enqueue([Job(kind="index", payload=b"")])
    assert await store.work.claim(["index"], "me", 5.0, 1)
    assert await store.work.due(["index"]) == now + 5
    await store.close()


@pytest.mark.parametrize(
    ("rule", "index"),
    [
        (conversations.list_conversations(P, PageQuery()), "conversations_by_age"),
        (webhooks.list_deliveries(P, PageQuery(), None), "webhook_deliveries_by_project"),
        (webhooks.list_deliveries(P, PageQuery(), "failed"), "webhook_deliveries_by_status"),
        (prompts.list_prompts(P, PageQuery()), "prompts_by_project"),
        (files.list_files(P, PageQuery(), None, 0), "files_by_project"),
        (containers.list_containers(P, PageQuery(), None, 0), "containers_by_project"),
        (runs.list_runs(P, PageQuery()), "runs_by_project"),
        (runs.unended(P, 9), "runs_by_project"),
        (activity.load_usage(P, 20_000), "activity_by_day"),
    ],
)
async def test_what_pages_list_is_read_by_an_index(file: Path, rule: Steps[object], index: str) -> None:
    steps = await plan_of(file, rule)

    assert index in steps[0]
    assert [step for step in steps if "SCAN" in step or "FOR GROUP BY" in step] == []


async def test_what_is_recorded_does_not_look_through_all_responses(file: Path) -> None:
    row = (P, "resp_1", 1.0, 9, b"[]", None)

    steps = await plan_of(file, recordings.record_all([Packed(True, 9, row), Packed(True, 9, row)]))

    assert [step for step in steps if "project_id=? AND id=?" not in step] == []


async def plan_of(file: Path, rule: Steps[object]) -> list[str]:
    """How the first statement of a rule is carried out."""
    statement = next(rule)
    while isinstance(statement, Lock):
        statement = rule.send([])
    assert isinstance(statement, Statement)
    text, parameters = statement.text, statement.parameters

    def explained() -> Steps[list[str]]:
        rows = yield Statement(f"EXPLAIN QUERY PLAN {text}", parameters)
        return [row[3] for row in rows]

    store = await open_sqlite(file)
    steps = await store.read_long(explained)
    await store.close()
    return steps
