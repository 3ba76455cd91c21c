"""Each run and each piece of work has a job of Procrastinate, exactly as long as it has not ended."""

import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from tests.postgres import shared_postgres
from tests.store.contract.kit import P, items, turn

from antiphon.store import responses, work
from antiphon.store.errors import AlreadyExists
from antiphon.store.postgres.database import open_postgres
from antiphon.store.postgres.procrastinate_schema import due_scripts
from antiphon.store.postgres.schema import migrate
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.statements import Steps
from antiphon.store.store import Store
from antiphon.store.work import Job

LEASE = 5.0
JOB = Job(kind="index", payload=b"", project=P, name="one")


@pytest.fixture
def url() -> Iterator[str]:
    with shared_postgres().database() as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await open_postgres(url, connections=4)
    yield store
    await store.close()


def jobs(url: str) -> list[tuple[str, str, str]]:
    """The queue, the task and the status of each."""
    return asked(
        url, "SELECT queue_name, task_name, status FROM antiphon_queue.procrastinate_jobs ORDER BY id"
    )


def asked(url: str, sql: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []  # type: ignore[return-value]


def delete_jobs(url: str) -> None:
    asked(url, "DELETE FROM antiphon_queue.procrastinate_jobs")


def be_silent(url: str, seconds: float) -> None:
    asked(
        url,
        "UPDATE antiphon_queue.procrastinate_workers"
        f" SET last_heartbeat = last_heartbeat - interval '{seconds} seconds'",
    )


async def accept(store: Store, name: str) -> None:
    await store.runs.accept(P, AcceptedRun(turn(name, says=()), b"", [b"0", b"1"], streamed=True), 9)


async def test_a_run_has_a_job_until_it_ends(store: Store, url: str) -> None:
    await accept(store, "a")
    assert jobs(url) == [("runs", "run", "todo")]
    claim = await store.runs.claim("me", LEASE)
    assert claim is not None
    assert jobs(url) == [("runs", "run", "doing")]
    await store.runs.finish(claim, RunEnd(Record(2, [b"end"], b""), b"{}", items("out")))
    assert jobs(url) == []


async def test_what_is_deleted_while_it_waits_has_no_job_any_more(store: Store, url: str) -> None:
    await accept(store, "a")
    await store.responses.delete(P, "a")
    await store.work.enqueue([JOB])
    await store.write(work.withdraw, "index", ["one"])
    assert jobs(url) == []


async def test_a_transaction_that_fails_leaves_neither_what_it_wrote_nor_a_job(
    store: Store, url: str
) -> None:
    def save() -> Steps[None]:
        yield from work.enqueue([JOB])
        yield from responses.save(P, turn("r"))

    await store.responses.save(P, turn("r"))
    with pytest.raises(AlreadyExists):
        await store.write(save)
    with pytest.raises(AlreadyExists):
        await accept(store, "r")
    assert jobs(url) == []


async def test_work_has_one_job_until_it_ends_or_is_given_up(store: Store, url: str) -> None:
    for _ in range(2):
        await store.work.enqueue([JOB])
    assert jobs(url) == [("work", "index", "todo")]
    (job,) = await store.work.claim(["index"], "me", LEASE, 1)
    await store.work.retry(job, time.time() + 60, "not yet")
    assert jobs(url) == [("work", "index", "todo")]
    assert await store.work.claim(["index"], "me", LEASE, 1) == ()
    await store.work.enqueue([Job(kind="index", payload=b"")])
    (other,) = await store.work.claim(["index"], "me", LEASE, 1)
    await store.work.fail(other, "never")
    assert jobs(url) == [("work", "index", "todo")]


async def test_what_is_let_go_is_put_back(store: Store, url: str) -> None:
    await accept(store, "a")
    await store.work.enqueue([JOB])
    await store.runs.claim("me", LEASE)
    await store.work.claim(["index"], "us", LEASE, 1)
    await store.runs.release("me")
    await store.work.release("us")
    assert {status for _, _, status in jobs(url)} == {"todo"}
    assert asked(url, "SELECT worker FROM queue_owners") == []


async def test_a_job_that_somebody_deleted_is_made_anew(store: Store, url: str) -> None:
    await accept(store, "a")
    await store.work.enqueue([JOB])
    delete_jobs(url)
    assert [job.kind for job in await store.work.claim(["index"], "me", LEASE, 1)] == ["index"]
    other = await open_postgres(url, connections=2)
    claim = await other.runs.claim("me", LEASE)
    assert claim is not None
    assert claim.id == "a"
    await other.close()


async def test_a_job_that_somebody_made_by_hand_keeps_nobody_from_the_others(store: Store, url: str) -> None:
    asked(url, "SELECT queue_defer('runs', 'run', '{\"key\": 77}', 0)")
    await accept(store, "a")
    claim = await store.runs.claim("me", LEASE)
    assert claim is not None
    assert claim.id == "a"
    assert jobs(url) == [("runs", "run", "doing")]


async def test_after_the_database_was_away_nobody_takes_over_before_others_could_speak(
    store: Store, url: str
) -> None:
    for name in ("mine", "yours"):
        await accept(store, name)
    for owner in ("me", "you"):
        assert await store.runs.claim(owner, LEASE) is not None
    be_silent(url, 60)
    assert await store.runs.claim("me", LEASE) is None
    await store.runs.renew("you", LEASE, ["yours"])
    assert await store.runs.claim("me", LEASE) is None

    be_silent(url, 60)
    await store.runs.renew("me", LEASE, ["mine"])
    taken = await store.runs.claim("me", LEASE)

    assert taken is not None
    assert (taken.id, taken.left_by) == ("yours", "you")


async def test_a_process_that_was_silent_for_very_long_is_registered_again(store: Store, url: str) -> None:
    await accept(store, "a")
    await store.runs.claim("me", LEASE)
    be_silent(url, 7200)
    other = await store.runs.claim("you", LEASE)
    assert other is not None
    assert asked(url, "SELECT owner FROM queue_owners") == [("you",)]
    await store.runs.renew("me", LEASE, ["a"])
    assert asked(url, "SELECT owner FROM queue_owners ORDER BY 1") == [("me",), ("you",)]


async def test_what_waits_when_the_queue_comes_is_taken_along(url: str) -> None:
    """As a copy of another home, or a version without the queue, has left it."""
    await migrate(url)
    asked(
        url,
        "INSERT INTO runs (project_id, id, created_at, streamed, next, status) VALUES"
        " ('p', 'waits', 1, 0, 0, 'queued'), ('p', 'ended', 1, 0, 0, 'ended')",
    )
    assert jobs(url) == [("runs", "run", "todo")]


async def test_its_tables_are_made_once(url: str) -> None:
    assert await migrate(url) != []
    assert await migrate(url) == []


def test_a_script_that_takes_away_what_the_version_before_needs_waits_for_the_next() -> None:
    first = ["03.00_01_pre_add.sql", "03.00_50_post_remove.sql"]
    following = [*first, "04.00_01_pre_add.sql", "04.00_50_post_remove.sql"]
    assert due_scripts(first, set()) == first[:1]
    assert due_scripts(following, set(first[:1])) == [first[1], following[2]]
    assert due_scripts(following, set(following)) == []
