"""Background runs on a real file: the queue, who carries what, the log, and the end in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.store.test_sqlite import P, item, items, texts, turn

from antiphon.store.base import ConversationRow, PageQuery
from antiphon.store.runs import AcceptedRun, Claim, LostRun, QueueFull, Record, RunEnd
from antiphon.store.sqlite import SqliteStore

LEASE = 5.0


class Clock:
    """The time, as a test sets it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "antiphon.db", clock=clock)
    yield store
    await store.close()


@pytest.fixture
async def other(store: SqliteStore, tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    """The same file, as another process has it."""
    other = await SqliteStore.open(tmp_path / "antiphon.db", clock=clock)
    yield other
    await other.close()


async def accept(
    store: SqliteStore, name: str, queue: int = 100, owner: str | None = None, **members: str
) -> Claim | None:
    row = turn(name, says=(), **members)  # type: ignore[arg-type]
    run = AcceptedRun(row, b"sealed", [b"0", b"1"], streamed=True)
    return await store.runs.accept(P, run, queue, owner, LEASE)


async def claim(store: SqliteStore, owner: str = "me") -> Claim:
    claimed = await store.runs.claim(owner, LEASE)
    assert claimed is not None
    return claimed


def ending(name: str, first: int = 2, speaks: bool = True) -> RunEnd:
    return RunEnd(Record(first, [b"end"], b""), b'{"status":"completed"}', items(f"{name}.out"), speaks)


async def log(store: SqliteStore, name: str, after: int = -1) -> Sequence[bytes]:
    found = await store.runs.stretch(P, name, after)
    assert found is not None
    return found.events


async def test_what_waits_longest_is_claimed_first_and_by_one(store: SqliteStore, other: SqliteStore) -> None:
    for name in ("a", "b"):
        assert await accept(store, name) is None
    assert ((await claim(store)).id, (await claim(other, "you")).id) == ("a", "b")
    assert await store.runs.claim("me", LEASE) is None
    assert await other.runs.claim("you", LEASE) is None


async def test_a_full_queue_takes_nothing_and_leaves_no_trace(store: SqliteStore) -> None:
    await accept(store, "a", queue=1)
    with pytest.raises(QueueFull):
        await accept(store, "b", queue=1)
    assert await store.response(P, "b") is None
    await claim(store)
    await accept(store, "b", queue=1)


async def test_who_accepts_a_run_claims_it_unless_others_wait(store: SqliteStore) -> None:
    first = await accept(store, "a", owner="me")
    assert first is not None
    assert (first.id, first.claims) == ("a", 1)
    await accept(store, "b")
    assert await accept(store, "c", owner="me") is None
    assert [(await claim(store)).id for _ in range(2)] == ["b", "c"]


async def test_a_lease_that_is_not_renewed_runs_out(
    store: SqliteStore, other: SqliteStore, clock: Clock
) -> None:
    await accept(store, "a")
    mine = await claim(store)
    clock.now += LEASE - 1
    await store.runs.renew("me", LEASE, ["a"])
    clock.now += LEASE - 1
    assert await other.runs.claim("you", LEASE) is None
    clock.now += 2
    yours = await claim(other, "you")
    assert (yours.id, yours.claims, yours.started_at) == ("a", 2, mine.started_at)


async def test_who_lost_a_run_writes_nothing_more(
    store: SqliteStore, other: SqliteStore, clock: Clock
) -> None:
    await accept(store, "a")
    mine = await claim(store)
    clock.now += LEASE + 1
    yours = await claim(other, "you")
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"mine"], b""))
    with pytest.raises(LostRun):
        await store.runs.finish(mine, ending("a"))
    with pytest.raises(LostRun):
        await store.runs.log(mine)
    await other.runs.record(yours, Record(2, [b"yours"], b""))
    assert await log(store, "a") == [b"0", b"1", b"yours"]


async def test_a_number_of_the_log_is_written_once(store: SqliteStore) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2"], b""))
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"other"], b""))
    assert await log(store, "a") == [b"0", b"1", b"2"]


async def test_what_is_let_go_can_be_claimed_at_once(store: SqliteStore, other: SqliteStore) -> None:
    await accept(store, "a")
    await claim(store)
    await store.runs.release("me")
    assert (await claim(other, "you")).id == "a"


async def test_a_process_that_comes_alone_finds_everything_free(tmp_path: Path, clock: Clock) -> None:
    first = await SqliteStore.open(tmp_path / "antiphon.db", clock=clock)
    await accept(first, "a")
    await claim(first)
    second = await SqliteStore.open(tmp_path / "antiphon.db", clock=clock)
    assert await second.runs.claim("you", LEASE) is None
    await first.close()
    await second.close()
    third = await SqliteStore.open(tmp_path / "antiphon.db", clock=clock)
    assert (await claim(third, "they")).id == "a"
    await third.close()


async def test_the_log_is_read_from_any_number(store: SqliteStore) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2", b"3", b"4"], b""))
    for after in range(-1, 5):
        assert await log(store, "a", after) == [b"%d" % n for n in range(after + 1, 5)]


async def test_the_end_replaces_the_response_and_what_only_the_run_needed(store: SqliteStore) -> None:
    await accept(store, "a")
    queued = await store.response(P, "a")
    assert queued is not None
    assert queued.output == []
    mine = await claim(store)
    await store.runs.finish(mine, ending("a"))
    response = await store.response(P, "a")
    assert response is not None
    assert (response.json, response.output) == (b'{"status":"completed"}', texts("a.out"))
    assert await store.history(P, "a") == texts("a.in", "a.out")
    assert not await store.runs.running(P, "a")
    assert await store.runs.held("me") == {}
    assert await log(store, "a") == [b"0", b"1", b"end"]


async def test_a_response_is_no_history_before_it_ended(store: SqliteStore) -> None:
    await store.save_response(P, turn("before"))
    await accept(store, "a", after="before")
    assert await store.history(P, "a") is None
    mine = await claim(store)
    context = await store.runs.context(mine)
    assert (context.history, context.input) == (texts("before.in", "before.out"), texts("a.in"))
    await store.runs.finish(mine, ending("a"))
    assert await store.history(P, "a") == texts("before.in", "before.out", "a.in", "a.out")


async def test_two_runs_that_go_on_from_the_same_response_do_not_meet(store: SqliteStore) -> None:
    await store.save_response(P, turn("before"))
    for name in ("a", "b"):
        await accept(store, name, after="before")
    claims = {name: await claim(store) for name in ("a", "b")}
    await store.runs.finish(claims["b"], ending("b"))
    await store.runs.finish(claims["a"], ending("a"))
    for name in ("a", "b"):
        assert await store.history(P, name) == texts("before.in", "before.out", f"{name}.in", f"{name}.out")


@pytest.mark.parametrize("speaks", [True, False])
async def test_a_conversation_is_locked_until_the_end_and_sees_a_turn_then(
    store: SqliteStore, speaks: bool
) -> None:
    await store.create_conversation(P, ConversationRow("c", 1, b"{}"), [item("x")])
    await accept(store, "a", conversation="c")
    assert not await store.lock_conversation(P, "c", "someone", 5)
    assert await store.conversation_history(P, "c") == texts("x")
    mine = await claim(store)
    assert (await store.runs.context(mine)).history == texts("x")
    await store.runs.finish(mine, ending("a", speaks=speaks))
    assert await store.lock_conversation(P, "c", "someone", 5)
    said = ("a.in", "a.out") if speaks else ()
    assert await store.conversation_history(P, "c") == texts("x", *said)
    response = await store.response(P, "a")
    assert response is not None
    assert response.output == texts("a.out")


async def test_the_input_can_be_listed_all_the_while(store: SqliteStore) -> None:
    await store.create_conversation(P, ConversationRow("c", 1, b"{}"), [item("x")])
    await accept(store, "a", conversation="c")
    for _ in range(2):
        page = await store.input_items(P, "a", PageQuery(order="asc"))
        assert page is not None
        assert [row.id for row in page.items] == ["x", "a.in"]
        if await store.runs.running(P, "a"):
            await store.runs.finish(await claim(store), ending("a"))


async def test_a_deleted_response_takes_its_run_with_it(store: SqliteStore) -> None:
    await accept(store, "a")
    mine = await claim(store)
    assert await store.delete_response(P, "a")
    assert await store.runs.held("me") == {}
    assert await store.runs.stretch(P, "a", -1) is None
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"2"], b""))
    with pytest.raises(LostRun):
        await store.runs.context(mine)


async def test_a_cancellation_is_seen_by_who_carries_the_run(store: SqliteStore, other: SqliteStore) -> None:
    await accept(store, "a")
    await claim(store)
    assert await other.runs.cancel(P, "a")
    assert await store.runs.held("me") == {"a": True}
    assert not await store.runs.cancel("somebody else", "a")
    await store.runs.finish(await claim_again(store), ending("a"))
    assert not await other.runs.cancel(P, "a")


async def claim_again(store: SqliteStore) -> Claim:
    await store.runs.release("me")
    claimed = await claim(store)
    assert claimed.cancelled
    return claimed


async def test_readers_that_leave_leave_nothing_behind(store: SqliteStore) -> None:
    readers = [asyncio.create_task(store.runs.news(f"resp_{n}")) for n in range(100)]
    await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    assert store.runs._news == {}
