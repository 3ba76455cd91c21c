"""What is older than it is kept goes, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from pathlib import Path

import pytest

from antiphon.store.base import ConversationRow, ItemRow, PageQuery, ResponseRow
from antiphon.store.retention import DAY, Retention, Rule, rules
from antiphon.store.runs import AcceptedRun, Record, RunEnd
from antiphon.store.sqlite import SqliteStore
from antiphon.store.sqlite_connection import connect
from antiphon.store.sweeping import swept
from antiphon.store.webhooks import Delivery

P = "project"


class Clock:
    """It counts days from some morning."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += days * DAY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "antiphon.db"


@pytest.fixture
async def store(file: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(file, clock=clock)
    yield store
    await store.close()


@pytest.fixture
def retention(store: SqliteStore, clock: Clock) -> Retention:
    return Retention(rules(store, 30, 24, 30), clock, pause=0)


def texts(*ids: str) -> list[bytes]:
    return [f'"{item_id}"'.encode() for item_id in ids]


def items(*ids: str) -> list[ItemRow]:
    return [ItemRow(item_id, json) for item_id, json in zip(ids, texts(*ids), strict=True)]


async def answer(
    store: SqliteStore,
    clock: Clock,
    name: str,
    after: str | None = None,
    conversation: str | None = None,
    project: str = P,
) -> None:
    """A response with the items `name.in` and `name.out`, made now."""
    row = ResponseRow(
        id=name,
        created_at=int(clock.now),
        json=b"{}",
        input=items(f"{name}.in"),
        output=items(f"{name}.out"),
        previous_response_id=after,
        conversation_id=conversation,
    )
    await store.save_response(project, row)


async def begin(store: SqliteStore, clock: Clock, name: str, *ids: str) -> None:
    await store.create_conversation(P, ConversationRow(name, int(clock.now), b"{}"), items(*ids))


async def there(store: SqliteStore, *names: str) -> list[str]:
    """Those of the responses that are there."""
    return [name for name in names if await store.response(P, name) is not None]


def rows_left(file: Path) -> dict[str, int]:
    tables = ("responses", "conversations", "links", "items", "threads", "webhook_deliveries")
    db = connect(file)
    counts = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    db.close()
    return {table: count for table, count in counts.items() if count}


async def test_a_response_is_gone_with_its_items_when_its_days_are_over(
    store: SqliteStore, retention: Retention, clock: Clock, file: Path
) -> None:
    await answer(store, clock, "old")
    await answer(store, clock, "theirs", project="other")
    clock.pass_days(1)
    await answer(store, clock, "new")

    clock.pass_days(29)
    await retention.sweep()
    assert await there(store, "old", "new") == ["old", "new"]

    clock.pass_days(0.5)
    await retention.sweep()
    assert await there(store, "old", "new") == ["new"]
    assert await store.item(P, "old.in") is None
    assert await store.response("other", "theirs") is None
    assert rows_left(file) == {"responses": 1, "links": 2, "items": 2, "threads": 1}


async def test_later_responses_of_a_chain_stay_readable_with_all_that_was_said(
    store: SqliteStore, retention: Retention, clock: Clock, file: Path
) -> None:
    await answer(store, clock, "a")
    await answer(store, clock, "b", after="a")
    clock.pass_days(20)
    await answer(store, clock, "c", after="b")
    await answer(store, clock, "fork", after="a")

    clock.pass_days(11)
    await retention.sweep()

    assert await there(store, "a", "b", "c", "fork") == ["c", "fork"]
    assert await store.history(P, "c") == texts("a.in", "a.out", "b.in", "b.out", "c.in", "c.out")
    assert await store.history(P, "fork") == texts("a.in", "a.out", "fork.in", "fork.out")
    clock.pass_days(20)
    await retention.sweep()
    assert rows_left(file) == {}


async def test_conversations_do_not_expire_nor_do_their_items(
    store: SqliteStore, retention: Retention, clock: Clock
) -> None:
    await begin(store, clock, "conv", "hello")
    await answer(store, clock, "r", conversation="conv")

    clock.pass_days(1000)
    await retention.sweep()

    assert await there(store, "r") == []
    assert await store.conversation_history(P, "conv") == texts("hello", "r.in", "r.out")
    page = await store.conversation_items(P, "conv", PageQuery(order="asc"))
    assert page is not None
    assert [row.id for row in page.items] == ["hello", "r.in", "r.out"]


async def test_what_a_deleted_conversation_left_goes_by_the_age_of_its_end(
    store: SqliteStore, retention: Retention, clock: Clock, file: Path
) -> None:
    await begin(store, clock, "conv", "hello")
    clock.pass_days(100)
    await store.delete_conversation(P, "conv")

    clock.pass_days(29)
    await retention.sweep()
    assert await store.item(P, "hello") == b'"hello"'

    clock.pass_days(2)
    await retention.sweep()
    assert await store.item(P, "hello") is None
    assert rows_left(file) == {}


async def test_a_response_keeps_what_its_deleted_conversation_left(
    store: SqliteStore, retention: Retention, clock: Clock, file: Path
) -> None:
    await begin(store, clock, "conv", "hello")
    await answer(store, clock, "early", conversation="conv")
    await store.add_items(P, "conv", items("aside"))
    clock.pass_days(1)
    await store.delete_conversation(P, "conv")
    clock.pass_days(20)
    await answer(store, clock, "late", conversation="conv")
    await answer(store, clock, "chained", after="early")

    clock.pass_days(11)
    await retention.sweep()

    said = ("hello", "early.in", "early.out")
    assert await store.history(P, "late") == texts(*said, "aside", "late.in", "late.out")
    assert await store.history(P, "chained") == texts(*said, "chained.in", "chained.out")
    await store.delete_response(P, "late")
    assert await store.item(P, "aside") is None
    assert await store.history(P, "chained") == texts(*said, "chained.in", "chained.out")
    clock.pass_days(20)
    await retention.sweep()
    assert rows_left(file) == {}


async def test_the_log_of_webhooks_goes_by_its_own_age(store: SqliteStore, clock: Clock, file: Path) -> None:
    delivery = Delivery(
        id="wh_1",
        event_id="evt_1",
        project=P,
        endpoint="hook",
        type="response.completed",
        response_id="r",
        created_at=int(clock.now),
        body=b"{}",
    )
    await store.webhooks.add([delivery])
    await answer(store, clock, "r")

    clock.pass_days(8)
    await Retention(rules(store, 30, 24, 7), clock).sweep()

    assert await store.webhooks.get("wh_1") is None
    assert await there(store, "r") == ["r"]


async def test_with_no_days_everything_is_kept_for_ever(store: SqliteStore, clock: Clock, file: Path) -> None:
    await answer(store, clock, "r")
    await begin(store, clock, "conv", "hello")
    await store.delete_conversation(P, "conv")

    clock.pass_days(10_000)
    await Retention(rules(store, 0, 0, 0), clock).sweep()

    assert await there(store, "r") == ["r"]
    assert await store.item(P, "hello") is not None


def limited(log: list[Sequence[float]], *answers: int) -> Rule:
    left = list(answers)

    async def expire(before: float, limit: int) -> int:
        log.append((before, limit))
        return left.pop(0)

    return Rule("things", 100, expire, batch=2)


async def test_a_sweep_goes_on_in_batches_until_one_is_not_full(clock: Clock) -> None:
    asked: list[Sequence[float]] = []

    await Retention([limited(asked, 2, 2, 1)], clock, pause=0).sweep()

    assert asked == [(clock.now - 100, 2)] * 3


async def test_the_oldest_go_first_and_no_more_than_were_asked_for(store: SqliteStore, clock: Clock) -> None:
    names = [f"r{n}" for n in range(5)]
    for name in names:
        await answer(store, clock, name)
        clock.pass_days(1)

    assert await store.expire_responses(clock.now, 2) == 2
    assert await there(store, *names) == ["r2", "r3", "r4"]
    assert await store.expire_responses(clock.now, 10) == 3
    assert await store.expire_responses(clock.now, 10) == 0


async def test_two_processes_that_sweep_at_once_share_the_work(
    store: SqliteStore, clock: Clock, file: Path
) -> None:
    await asyncio.gather(*(answer(store, clock, f"r{n}") for n in range(400)))
    clock.pass_days(31)
    other = await SqliteStore.open(file, clock=clock)

    await asyncio.gather(
        *(Retention(rules(each, 30, 24, 30), clock, pause=0).sweep() for each in (store, other))
    )

    assert rows_left(file) == {}
    await other.close()


async def test_others_write_between_the_batches_of_a_sweep(store: SqliteStore, clock: Clock) -> None:
    await asyncio.gather(*(answer(store, clock, f"r{n}") for n in range(200)))
    clock.pass_days(31)
    sweeping = asyncio.create_task(Retention(rules(store, 30, 24, 30), clock, pause=60).sweep())

    await answer(store, clock, "new")

    assert not sweeping.done()
    assert await there(store, "new") == ["new"]
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def test_it_sweeps_by_itself_and_survives_a_fault(clock: Clock) -> None:
    done = asyncio.Event()

    async def expire(_before: float, _limit: int) -> int:
        raise OSError("the disk is full")

    async def other() -> None:
        done.set()

    async with swept(Retention([Rule("things", 1, expire)], clock).sweep, other), asyncio.timeout(10):
        await done.wait()


async def test_conversations_deleted_before_there_was_a_retention_count_from_now(file: Path) -> None:
    scripts = sorted((resources.files("antiphon.store") / "migrations" / "sqlite").iterdir(), key=str)
    db = connect(file)
    for script in scripts[:4]:
        db.executescript(script.read_text(encoding="utf-8"))
    db.executescript("""
        INSERT INTO threads (project_id, next_position, conversation_id)
            VALUES ('p', 0, 'gone'), ('p', 0, 'alive'), ('p', 0, NULL);
        INSERT INTO conversations (project_id, id, created_at, metadata) VALUES ('p', 'alive', 1, x'7b7d');
        PRAGMA user_version = 4;
    """)

    store = await SqliteStore.open(file)

    found = db.execute("SELECT conversation_id, abs(left_at - strftime('%s', 'now')) < 60 FROM threads")
    assert dict(found.fetchall()) == {"gone": 1, "alive": None, None: None}
    db.close()
    await store.close()


async def test_the_log_of_a_run_goes_before_its_response_and_a_run_that_lasts_stays(
    store: SqliteStore, clock: Clock, retention: Retention
) -> None:
    for name in ("short", "long"):
        row = ResponseRow(name, int(clock()), b"{}", items(f"{name}.in"), ())
        await store.runs.accept(P, AcceptedRun(row, b"", [b"0"], streamed=True), queue=9)
    claim = await store.runs.claim("me", 5)
    assert claim is not None
    await store.runs.finish(claim, RunEnd(Record(1, [b"1"], b""), b"{}", items("short.out")))
    clock.pass_days(1.1)
    await retention.sweep()
    assert await store.runs.stretch(P, "short", -1) is None
    assert await store.response(P, "short") is not None
    clock.pass_days(30)
    await retention.sweep()
    assert await store.response(P, "short") is None
    assert await store.response(P, "long") is not None
    assert await store.runs.stretch(P, "long", -1) is not None
