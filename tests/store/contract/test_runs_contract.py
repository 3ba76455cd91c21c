"""Background runs: the queue, who carries what, the log, and the end in one transaction."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import (
    Clock,
    P,
    counts,
    item,
    items,
    pass_seconds,
    rows_left,
    said,
    spoken,
    talk,
    texts,
    turn,
)

from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import LostRun, QueueFull, UnknownCursor
from antiphon.store.paging import PageQuery
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import AcceptedRun, Waiting
from antiphon.store.store import Store

LEASE = 5.0


async def accept(
    store: Store, name: str, queue: int = 100, owner: str | None = None, **members: str
) -> Claim | None:
    row = turn(name, says=(), **members)  # type: ignore[arg-type]
    run = AcceptedRun(row, b"sealed", [b"0", b"1"], streamed=True)
    return await store.runs.accept(P, run, queue, owner, LEASE)


async def claim(store: Store, owner: str = "me") -> Claim:
    claimed = await store.runs.claim(owner, LEASE)
    assert claimed is not None
    return claimed


def ending(name: str, first: int = 2, speaks: bool = True) -> RunEnd:
    return RunEnd(Record(first, [b"end"], b""), b'{"status":"completed"}', items(f"{name}.out"), speaks)


async def log(store: Store, name: str, after: int = -1) -> Sequence[bytes]:
    found = await store.runs.events_after(P, name, after)
    assert found is not None
    return found.events


async def test_a_look_for_more_of_a_log_does_not_read_what_is_in_it(store: Store) -> None:
    await accept(store, "a")
    await store.runs.record(await claim(store), Record(2, [b'"%b"' % (b"x " * (32 << 20))], b""))
    began = time.monotonic()
    assert len((await log(store, "a"))[-1]) == (64 << 20) + 2
    read = time.monotonic() - began

    began = time.monotonic()
    for _ in range(200):
        assert await log(store, "a", after=2) == []

    assert time.monotonic() - began < max(2, 20 * read), "each look read 64 MiB"


async def test_what_waits_longest_is_claimed_first_and_by_one(store: Store, other: Store) -> None:
    for name in ("a", "b"):
        assert await accept(store, name) is None
    assert ((await claim(store)).id, (await claim(other, "you")).id) == ("a", "b")
    assert await store.runs.claim("me", LEASE) is None
    assert await other.runs.claim("you", LEASE) is None


async def test_what_waits_is_counted_and_the_oldest_dated(store: Store) -> None:
    assert await store.runs.waiting() == Waiting(0, None)
    for name in ("a", "b", "c"):
        await accept(store, name)
    await claim(store)

    assert await store.runs.waiting() == Waiting(2, 1.0)


async def patient(store: Store, name: str, seconds: float, continuation: str | None = None) -> None:
    run = AcceptedRun(
        turn(name, says=()), b"sealed", [b"0"], streamed=False, patience=seconds, continuation_id=continuation
    )
    await store.runs.accept(P, run, 100)


async def claimed(store: Store, *, quiet: bool) -> list[str]:
    """All that can be claimed now, in its order."""
    names = []
    while (claim := await store.runs.claim("me", LEASE, quiet=quiet)) is not None:
        names.append(claim.id)
    return names


async def test_what_is_patient_is_claimed_in_quiet_times_behind_all_that_is_due(store: Store) -> None:
    await patient(store, "long", 1e10)
    await patient(store, "short", 9e9)
    await accept(store, "soon")

    assert await claimed(store, quiet=False) == ["soon"]
    assert await claimed(store, quiet=True) == ["short", "long"]


async def test_what_was_patient_long_enough_is_due(store: Store) -> None:
    await patient(store, "a", 1e-3)
    assert await claimed(store, quiet=False) == ["a"]


async def test_what_was_begun_is_patient_no_more(store: Store, other: Store) -> None:
    await patient(store, "a", 1e10)
    assert await claimed(store, quiet=True) == ["a"]
    await store.runs.release("me")
    assert (await claim(other, "you")).id == "a"


async def test_what_is_patient_takes_no_room_of_what_is_not(store: Store) -> None:
    await patient(store, "a", 1e10)
    await accept(store, "b", queue=1)
    with pytest.raises(QueueFull):
        await accept(store, "c", queue=1)
    assert await store.runs.waiting() == Waiting(2, 1.0)


async def test_what_is_cancelled_is_patient_no_more(store: Store) -> None:
    await patient(store, "a", 1e10)
    assert await store.runs.cancel(P, "a")
    assert await claimed(store, quiet=False) == ["a"]


async def test_what_goes_on_with_a_patient_run_is_as_urgent_as_that(store: Store) -> None:
    await patient(store, "first", 8e9, "c")
    await patient(store, "other", 9e9)
    assert await claimed(store, quiet=False) == []
    await patient(store, "next", 1e10, "c")
    await patient(store, "stranger", 1e10, "d")
    await accept(store, "soon")

    assert await claimed(store, quiet=True) == ["soon", "first", "next", "other", "stranger"]


async def test_what_is_not_ended_is_listed_the_newest_first(store: Store) -> None:
    for name in ("a", "b", "c"):
        await accept(store, name)
    mine = await claim(store)
    assert await store.runs.unended(P, 2) == [b'{"id":"c"}', b'{"id":"b"}']
    assert await store.runs.unended("other", 9) == []

    await store.runs.finish(mine, ending("a"))

    assert await store.runs.unended(P, 9) == [b'{"id":"c"}', b'{"id":"b"}']


async def test_a_full_queue_takes_nothing_and_leaves_no_trace(store: Store) -> None:
    await accept(store, "a", queue=1)
    with pytest.raises(QueueFull):
        await accept(store, "b", queue=1)
    assert await store.responses.get(P, "b") is None
    await claim(store)
    await accept(store, "b", queue=1)


async def test_who_accepts_a_run_claims_it_unless_others_wait(store: Store) -> None:
    first = await accept(store, "a", owner="me")
    assert first is not None
    assert (first.id, first.claims) == ("a", 1)
    await accept(store, "b")
    assert await accept(store, "c", owner="me") is None
    assert [(await claim(store)).id for _ in range(2)] == ["b", "c"]


async def test_a_lease_that_is_not_renewed_runs_out(
    home: Home, store: Store, other: Store, clock: Clock
) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await pass_seconds(home, clock, LEASE - 1)
    await store.runs.renew("me", LEASE, ["a"])
    await pass_seconds(home, clock, LEASE - 1)
    assert await other.runs.claim("you", LEASE) is None
    await pass_seconds(home, clock, 2)
    yours = await claim(other, "you")
    assert (yours.id, yours.claims, yours.started_at) == ("a", 2, mine.started_at)


async def test_who_lost_a_run_writes_nothing_more(
    home: Home, store: Store, other: Store, clock: Clock
) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await pass_seconds(home, clock, LEASE + 1)
    yours = await claim(other, "you")
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"mine"], b""))
    with pytest.raises(LostRun):
        await store.runs.finish(mine, ending("a"))
    with pytest.raises(LostRun):
        await store.runs.log(mine)
    await other.runs.record(yours, Record(2, [b"yours"], b""))
    assert await log(store, "a") == [b"0", b"1", b"yours"]


async def test_a_number_of_the_log_is_written_once(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2"], b""))
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"other"], b""))
    assert await log(store, "a") == [b"0", b"1", b"2"]


async def test_several_events_in_lines_are_as_many_in_the_log(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2", b"3\n4\n5"], b"", until=6))
    await store.runs.record(mine, Record(2, [b"2", b"3\n4\n5", b"6\n7"], b"", until=8))  # was it written?
    assert await log(store, "a") == [b"%d" % number for number in range(8)]
    assert await log(store, "a", after=4) == [b"5", b"6", b"7"]
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(6, [b"6\nother", b"8"], b"", until=9))

    await store.runs.finish(mine, RunEnd(Record(8, [b"8\n9", b"end"], b"", until=11), b"{}", items("a.out")))
    assert await log(store, "a") == [*(b"%d" % number for number in range(10)), b"end"]


@pytest.mark.parametrize("gone", [False, True])
async def test_what_ends_stands_where_it_began_or_beside_what_came_there_since(
    store: Store, gone: bool
) -> None:
    """Two go on from one response; what they continue may be deleted meanwhile."""
    await talk(store, "before")
    await accept(store, "a", after="before")
    await accept(store, "b", after="before")
    first, second = await claim(store), await claim(store)
    if gone:
        await store.responses.delete(P, "before")
    await store.runs.finish(second, ending("b"))
    await store.runs.finish(first, ending("a"))
    for name in ("a", "b"):
        assert await store.responses.history(P, name) == said("before", name)
    await store.responses.delete(P, "a")
    await store.responses.delete(P, "b")
    await store.responses.delete(P, "before")
    assert not any((await rows_left(store)).values())


async def test_what_is_let_go_can_be_claimed_at_once(store: Store, other: Store) -> None:
    await accept(store, "a")
    await claim(store)
    await store.runs.release("me")
    assert (await claim(other, "you")).id == "a"


async def test_the_log_is_read_from_any_number(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2", b"3", b"4"], b""))
    for after in range(-1, 5):
        assert await log(store, "a", after) == [b"%d" % n for n in range(after + 1, 5)]


async def test_the_end_replaces_the_response_and_what_only_the_run_needed(store: Store) -> None:
    await accept(store, "a")
    queued = await store.responses.get(P, "a")
    assert queued is not None
    assert queued.output == []
    mine = await claim(store)
    await store.runs.finish(mine, ending("a"))
    response = await store.responses.get(P, "a")
    assert response is not None
    assert (response.json, response.output) == (b'{"status":"completed"}', texts("a.out"))
    assert await store.responses.history(P, "a") == texts("a.in", "a.out")
    assert not await store.runs.running(P, "a")
    assert await store.runs.owned("me") == {}
    assert await log(store, "a") == [b"0", b"1", b"end"]


async def test_a_response_is_no_history_before_it_ended(store: Store) -> None:
    await store.responses.save(P, turn("before"))
    await accept(store, "a", after="before")
    assert await store.responses.history(P, "a") is None
    mine = await claim(store)
    context = await store.runs.context(mine)
    assert (context.history, context.input) == (texts("before.in", "before.out"), texts("a.in"))
    await store.runs.finish(mine, ending("a"))
    assert await store.responses.history(P, "a") == texts("before.in", "before.out", "a.in", "a.out")


async def test_two_runs_that_go_on_from_the_same_response_do_not_meet(store: Store) -> None:
    await store.responses.save(P, turn("before"))
    for name in ("a", "b"):
        await accept(store, name, after="before")
    claims = {name: await claim(store) for name in ("a", "b")}
    await store.runs.finish(claims["b"], ending("b"))
    await store.runs.finish(claims["a"], ending("a"))
    for name in ("a", "b"):
        assert await store.responses.history(P, name) == texts(
            "before.in", "before.out", f"{name}.in", f"{name}.out"
        )


@pytest.mark.parametrize("speaks", [True, False])
async def test_a_conversation_is_locked_until_the_end_and_sees_a_turn_then(
    store: Store, speaks: bool
) -> None:
    await store.conversations.create(P, ConversationRow("c", 1, b"{}"), [item("x")])
    await accept(store, "a", conversation="c")
    assert not await store.conversations.lock(P, "c", "someone", 5)
    assert await spoken(store, "c") == texts("x")
    mine = await claim(store)
    assert (await store.runs.context(mine)).history == texts("x")
    await store.runs.finish(mine, ending("a", speaks=speaks))
    assert await store.conversations.lock(P, "c", "someone", 5)
    said = ("a.in", "a.out") if speaks else ()
    assert await spoken(store, "c") == texts("x", *said)
    response = await store.responses.get(P, "a")
    assert response is not None
    assert response.output == texts("a.out")


async def test_the_input_can_be_listed_all_the_while(store: Store) -> None:
    await store.conversations.create(P, ConversationRow("c", 1, b"{}"), [item("x")])
    await accept(store, "a", conversation="c")
    for _ in range(2):
        page = await store.responses.input_items(P, "a", PageQuery(order="asc"))
        assert page is not None
        assert [row.id for row in page.rows] == ["x", "a.in"]
        if await store.runs.running(P, "a"):
            await store.runs.finish(await claim(store), ending("a"))


async def test_a_deleted_response_takes_its_run_with_it(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    assert await store.responses.delete(P, "a")
    assert await store.runs.owned("me") == {}
    assert await store.runs.events_after(P, "a", -1) is None
    with pytest.raises(LostRun):
        await store.runs.record(mine, Record(2, [b"2"], b""))
    with pytest.raises(LostRun):
        await store.runs.context(mine)


async def test_who_carries_a_deleted_run_writes_nothing_into_the_next(store: Store) -> None:
    await accept(store, "a")
    gone = await claim(store)
    await store.responses.delete(P, "a")
    await accept(store, "b")
    mine = await claim(store)
    with pytest.raises(LostRun):
        await store.runs.record(gone, Record(2, [b"a says"], b"", b"{}"))
    with pytest.raises(LostRun):
        await store.runs.finish(gone, ending("a"))
    with pytest.raises(LostRun):
        await store.runs.log(gone)
    await store.runs.note_deaths(gone, 2)

    await store.runs.record(mine, Record(2, [b"b says"], b""))
    with pytest.raises(LostRun):  # nor what is there already
        await store.runs.record(gone, Record(2, [b"b says"], b""))

    assert await log(store, "b") == [b"0", b"1", b"b says"]
    await store.runs.release("me")
    assert (await claim(store)).deaths == 0


async def test_a_cancellation_is_seen_by_who_carries_the_run(store: Store, other: Store) -> None:
    await accept(store, "a")
    await claim(store)
    assert await other.runs.cancel(P, "a")
    assert await store.runs.owned("me") == {"a": True}
    assert not await store.runs.cancel("somebody else", "a")
    await store.runs.finish(await claim_again(store), ending("a"))
    assert not await other.runs.cancel(P, "a")


async def claim_again(store: Store) -> Claim:
    await store.runs.release("me")
    claimed = await claim(store)
    assert claimed.cancelled
    return claimed


async def test_all_readers_of_a_log_wake_when_it_grows_whoever_of_them_has_left(
    home: Home, clock: Clock
) -> None:
    store = await home.open(clock, poll=60)
    await accept(store, "a")
    mine = await claim(store)
    readers = [asyncio.create_task(store.runs.wait_for_events("a")) for _ in range(50)]
    await asyncio.sleep(0)
    for gone in readers[:10]:
        gone.cancel()
    await asyncio.wait(readers[:10])

    await store.runs.record(mine, Record(2, [b"2"], b""))

    _, asleep = await asyncio.wait(readers, timeout=60)
    assert len(asleep) == 0
    await store.close()


async def test_a_reader_that_was_not_woken_looks_again_after_a_moment(home: Home, clock: Clock) -> None:
    store = await home.open(clock, poll=0.01)
    readers = [asyncio.create_task(store.runs.wait_for_events("a")) for _ in range(3)]
    _, asleep = await asyncio.wait(readers, timeout=60)
    assert len(asleep) == 0
    await store.close()


# ---- what was written, and not heard of -------------------------------------------------------------


async def test_a_record_that_was_written_may_be_recorded_again(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    record = Record(2, [b"2", b"3"], b"progress")
    await store.runs.record(mine, record)

    await store.runs.record(mine, record)

    assert await store.runs.log(mine) == [b"0", b"1", b"2", b"3"]


async def test_a_record_that_was_written_may_be_recorded_again_with_what_came_since(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2", b"3"], b""))
    await store.runs.record(mine, Record(4, [b"4"], b""))

    await store.runs.record(mine, Record(3, [b"3", b"4", b"5", b"6"], b"", b'{"status":"in_progress"}'))
    await store.runs.record(mine, Record(7, [b"7"], b""))

    assert await store.runs.log(mine) == [b"%d" % n for n in range(8)]
    assert await log(store, "a", 4) == [b"5", b"6", b"7"]


async def test_an_end_may_come_with_events_that_are_written_already(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2"], b""))
    end = RunEnd(Record(2, [b"2", b"end"], b""), b"{}", items("a.out"))

    await store.runs.finish(mine, end)

    assert await log(store, "a") == [b"0", b"1", b"2", b"end"]
    with pytest.raises(LostRun):
        await store.runs.finish(mine, end)


async def test_a_record_that_leaves_a_gap_or_says_otherwise_is_refused(
    store: Store,
) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.record(mine, Record(2, [b"2", b"3"], b""))
    for wrong in (
        Record(5, [b"5"], b""),
        Record(2, [b"2", b"other", b"4"], b""),
        Record(3, [b"other"], b""),
        Record(2, [b"2"], b""),
    ):
        with pytest.raises(LostRun):
            await store.runs.record(mine, wrong)
    assert await store.runs.log(mine) == [b"0", b"1", b"2", b"3"]


async def test_what_an_end_says_elsewhere_comes_with_it_or_not_at_all(store: Store) -> None:
    await accept(store, "a")
    mine = await claim(store)
    await store.runs.release("me")
    await claim(store, "you")
    with pytest.raises(LostRun):
        await store.runs.finish(mine, ending("a"))
    assert (await counts(store))["items"] == 1
    assert await store.runs.running(P, "a")


async def test_runs_of_a_project_that_have_not_ended_are_listed(store: Store) -> None:
    for name in ("a", "b", "c"):
        await accept(store, name)
    mine = await claim(store)
    await store.runs.cancel(P, "b")

    first = await store.runs.page(P, PageQuery(limit=2, order="asc"))
    rest = await store.runs.page(P, PageQuery(limit=2, order="asc", after="b"))

    assert [(row.id, row.status, row.claims, row.cancelled) for row in first.rows] == [
        ("a", "running", 1, 0),
        ("b", "queued", 0, 1),
    ]
    assert (first.more, [row.id for row in rest.rows], rest.more) == (True, ["c"], False)
    assert (first.rows[0].response, rest.rows[0].started_at) == (b'{"id":"a"}', None)
    assert (await store.runs.page("other", PageQuery())).rows == []
    await store.runs.finish(mine, ending("a"))
    assert [row.id for row in (await store.runs.page(P, PageQuery(order="asc"))).rows] == ["b", "c"]
    with pytest.raises(UnknownCursor):
        await store.runs.page("other", PageQuery(after="a"))
