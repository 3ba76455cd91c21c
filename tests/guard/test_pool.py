"""Work in child processes: whatever becomes of a child, its parent goes on."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta
from msgspec.structs import replace

from antiphon.guard.pool import Busy, Limits, Overrun, Pool

HOSTILE = "tests.guard.hostile"
LIMITS = Limits(children=2, seconds=1, memory=512 * 2**20)


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pool = Pool(LIMITS)
    yield pool
    await pool.close()


async def test_a_function_is_called_in_a_child_that_is_used_again(pool: Pool) -> None:
    assert await pool.call(f"{HOSTILE}:add", 1, 2) == 3
    assert await pool.call(f"{HOSTILE}:pid") == await pool.call(f"{HOSTILE}:pid")


async def test_a_child_that_serves_one_owner_is_replaced_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pool = Pool(replace(LIMITS, children=1, serves="one owner"))
    try:
        pids = [await pool.call(f"{HOSTILE}:pid", owner=owner) for owner in ("one", "one", "other", "one")]
        assert pids[0] == pids[1]
        assert len(set(pids)) == 3
        assert pool.children == 1
    finally:
        await pool.close()


async def test_nothing_runs_before_there_is_work_for_it() -> None:
    pool = Pool(LIMITS)
    assert not pool.children
    await pool.close()


@pytest.mark.parametrize(
    ("function", "arguments"), [("spin", [60.0]), ("sleep", [60.0]), ("grow", [4096]), ("crash", [])]
)
async def test_a_call_that_is_too_much_ends_and_the_next_one_works(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, function: str, arguments: list[object]
) -> None:
    if function == "grow" and sys.platform == "darwin":
        pytest.skip("macOS bounds no memory")
    begun = time.monotonic()
    monkeypatch.setattr("antiphon.guard.pool._WAITS", 3)
    with pytest.raises(Overrun):
        await pool.call(f"{HOSTILE}:{function}", *arguments)
    assert time.monotonic() - begun < 30
    assert await pool.call(f"{HOSTILE}:add", 1, 2) == 3


async def test_what_the_machine_is_at_fault_for_is_told_apart(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("antiphon.guard.pool._WAITS", 3)
        with pytest.raises(Busy):
            await pool.call(f"{HOSTILE}:sleep", 60.0)
    with pytest.raises(Overrun) as crash:
        await pool.call(f"{HOSTILE}:crash")
    assert not isinstance(crash.value, Busy)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/at/all")
        with pytest.raises(Busy, match="No such file"):
            await pool.call(f"{HOSTILE}:add", 1, 2)
    assert await pool.call(f"{HOSTILE}:add", 1, 2) == 3


async def test_arguments_arrive_whole_and_in_their_places_however_large_they_are(pool: Pool) -> None:
    large = [b"abc" * 700_000, b"xyz" * 2_000_000]

    sizes = await pool.call(f"{HOSTILE}:sizes", "small", large[0], b"tiny", large[1])

    assert sizes == [[5, "sma"], [2_100_000, b"abc"], [4, b"tin"], [6_000_000, b"xyz"]]
    assert await pool.call(f"{HOSTILE}:add", 1, 2) == 3


async def test_the_loop_goes_on_while_a_child_is_sent_hundreds_of_megabytes() -> None:
    pool = Pool(Limits(seconds=30, memory=2 * 2**30))
    data = bytes(300 * 2**20)
    call = asyncio.create_task(pool.call("builtins:len", data))
    longest, before = 0.0, time.thread_time()
    while not call.done():  # the processor time of this thread: what others take of the machine is no hold
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    assert await call == len(data)
    assert longest < 0.05
    await pool.close()


async def test_a_result_is_built_as_far_as_its_type_has_it(pool: Pool) -> None:
    few = Annotated[list[int], Meta(max_length=3)]
    assert await pool.call(f"{HOSTILE}:numbers", 3, result=few) == [0, 1, 2]
    for count in (4, 1_000_000):
        with pytest.raises(ValueError, match="length <= 3"):
            await pool.call(f"{HOSTILE}:numbers", count, result=few)
    assert len(await pool.call(f"{HOSTILE}:numbers", 1_000_000)) == 1_000_000


async def test_each_call_has_its_own_time(pool: Pool) -> None:
    for _ in range(8):
        await pool.call(f"{HOSTILE}:spin", 0.2)


async def test_what_libraries_print_is_no_result(pool: Pool) -> None:
    assert await pool.call(f"{HOSTILE}:chatter") == "said"
    assert await pool.call(f"{HOSTILE}:add", 1, 2) == 3


async def test_what_a_function_raises_is_said_in_words(pool: Pool) -> None:
    with pytest.raises(ValueError, match="in words"):
        await pool.call(f"{HOSTILE}:fail")


async def test_a_caller_who_leaves_takes_the_work_with_him(pool: Pool) -> None:
    before = await pool.call(f"{HOSTILE}:pid")
    waiting = asyncio.create_task(pool.call(f"{HOSTILE}:wait_for", "/nowhere/at/all"))
    while pool.children == 1:  # noqa: ASYNC110
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.call(f"{HOSTILE}:pid") != before


async def test_the_work_of_one_owner_does_not_keep_that_of_another(pool: Pool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = [
        asyncio.create_task(pool.call(f"{HOSTILE}:wait_for", str(gate), owner="greedy")) for _ in range(5)
    ]
    assert await pool.call(f"{HOSTILE}:add", 1, 2, owner="modest") == 3
    gate.touch()
    assert await asyncio.gather(*held) == ["there"] * 5


async def test_children_that_have_nothing_to_do_end() -> None:
    pool = Pool(LIMITS, idle=0.05)
    await pool.call("os:getpid")
    async with asyncio.timeout(60):
        while pool.children:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await pool.close()


async def test_a_child_is_given_no_secret(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_TEST_KEY", "secret")
    assert "ANTIPHON_TEST_KEY" not in await pool.call(f"{HOSTILE}:surroundings")
