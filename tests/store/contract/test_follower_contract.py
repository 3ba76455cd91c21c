"""Who follows the log of a background run: told of what this process writes, and reading all else."""

from collections.abc import Sequence

from tests.store.contract.homes import Home
from tests.store.contract.kit import Clock, P, items, pass_seconds, turn

from antiphon.store.follower import Follower
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store

LEASE = 5.0


async def claimed(store: Store) -> Claim:
    run = AcceptedRun(turn("a", says=()), b"sealed", [b"0", b"1"], streamed=True)
    mine = await store.runs.accept(P, run, 100, "me", LEASE)
    assert mine is not None
    return mine


def ending(first: int) -> RunEnd:
    return RunEnd(Record(first, [b"end"], b""), b"{}", items("a.out"))


async def follows(follower: Follower) -> Sequence[bytes]:
    """What comes next, until there is nothing more for the moment."""
    lines: list[bytes] = []
    while not lines:
        while (found := await follower.more()) is not None and found.events:
            lines += found.events
        if not lines:
            await follower.wait()
    return lines


async def test_who_follows_a_log_gets_all_of_it_whoever_writes(
    home: Home, store: Store, other: Store, clock: Clock
) -> None:
    mine = await claimed(store)
    with store.runs.followed(P, "a", -1) as follower:
        assert await follows(follower) == [b"0", b"1"]
        await store.runs.record(mine, Record(2, [b"2\n3"], b"", until=4))
        await store.runs.record(mine, Record(4, [b"4"], b""))  # he still has the first
        assert await follows(follower) == [b"2\n3", b"4"]
        await pass_seconds(home, clock, LEASE + 1)
        yours = await other.runs.claim("you", LEASE)
        assert yours is not None
        await other.runs.record(yours, Record(5, [b"5"], b""))
        assert await follows(follower) == [b"5"]
        await other.runs.finish(yours, ending(6))
        assert await follows(follower) == [b"end"]
        assert (found := await follower.more()) is not None
        assert found.ended


async def test_who_knows_how_a_log_begins_is_told_what_follows(store: Store) -> None:
    mine = await claimed(store)
    with store.runs.followed(P, "a", -1, [b"0", b"1"]) as follower:
        await store.runs.record(mine, Record(2, [b"2"], b""))
        assert await follows(follower) == [b"0", b"1", b"2"]
        await store.runs.finish(mine, ending(3))
        assert await follows(follower) == [b"end"]
        assert (found := await follower.more()) is not None
        assert found.ended
        assert not found.events


async def test_who_was_told_while_he_read_or_waited_looks_for_all_that_came_since(store: Store) -> None:
    """At once: what wakes him comes once."""
    mine = await claimed(store)
    with store.runs.followed(P, "a", -1, [b"0", b"1"]) as follower:
        assert await follows(follower) == [b"0", b"1"]
        for number in (2, 3):  # the first is told, the second is to be read
            await store.runs.record(mine, Record(number, [b"%d" % number], b""))
        await follower.wait()
        found = [await follower.more() for _ in range(2)]
    assert [each and each.events for each in found] == [[b"2"], [b"3"]]


async def test_the_log_of_a_response_that_is_deleted_ends_for_who_follows_it(store: Store) -> None:
    await claimed(store)
    with store.runs.followed(P, "a", -1, [b"0", b"1"]) as follower:
        assert await follows(follower) == [b"0", b"1"]
        await store.responses.delete(P, "a")
        await follower.wait()
        assert await follower.more() is None
