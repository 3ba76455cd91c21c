"""Who may be asked for an answer, and who waits."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.backends.gate import Gate, Place
from antiphon.protocol.errors import Unavailable
from antiphon.protocol.tiers import TIERS, Tier


class Line:
    """Those who have come in, in their order."""

    def __init__(self, most: int = 1) -> None:
        self.gate = Gate(most)
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self, name: str, project: str, tier: Tier = "default", patience: float | None = None
    ) -> None:
        self.doors[name] = asyncio.Event()

        async def stay() -> None:
            async with self.gate.entered(Place(project, tier, None)):
                self.inside.append(name)
                await self.doors[name].wait()

        self.tasks[name] = asyncio.create_task(stay())
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self.doors[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def empty(self) -> list[str]:
        """All leave, each as soon as he is in."""
        for name in self.inside:  # grows meanwhile
            await self.leave(name)
        return self.inside


async def test_projects_take_turns() -> None:
    line = Line()
    await line.come("first", "a")
    for number in range(3):
        await line.come(f"a{number}", "a")
    await line.come("b0", "b")
    await line.come("b1", "b")
    assert await line.empty() == ["first", "a0", "b0", "a1", "b1", "a2"]


async def test_tiers_go_one_behind_the_other() -> None:
    line = Line()
    await line.come("first", "a")
    for tier in ("flex", "default", "priority"):
        await line.come(tier, "a", tier)  # type: ignore[arg-type]
    assert await line.empty() == ["first", "priority", "default", "flex"]


async def test_who_has_no_patience_left_is_sent_away_and_takes_no_place() -> None:
    line = Line()
    await line.come("first", "a")
    with pytest.raises(Unavailable) as caught:
        async with line.gate.entered(Place("a", patience=0.01)):
            raise AssertionError
    assert caught.value.code == "server_overloaded"
    assert caught.value.headers == [(b"retry-after", b"5")]
    await line.come("second", "a")
    assert await line.empty() == ["first", "second"]


async def test_who_goes_away_in_the_moment_he_is_let_in_leaves_his_place_to_the_next() -> None:
    line = Line()
    async with line.gate.entered(Place("a")):
        await line.come("first", "a")
        await line.come("second", "b")
    line.tasks["first"].cancel()
    await asyncio.wait([line.tasks["first"]])
    await asyncio.sleep(0)
    assert line.inside == ["second"]


async def test_who_goes_away_leaves_nothing_behind_while_others_wait() -> None:
    """As many as may come while those of a higher tier are served."""
    line = Line()
    await line.come("first", "a")
    await line.come("second", "a", "priority")
    for number in range(3):
        await line.come(f"gone {number}", str(number), "flex")
        line.tasks[f"gone {number}"].cancel()
        await asyncio.wait([line.tasks[f"gone {number}"]])
    assert [len(waiting) for waiting in line.gate._turns._waiting] == [1, 0, 0]
    assert await line.empty() == ["first", "second"]


@given(
    most=st.integers(1, 3),
    comings=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(TIERS), st.booleans()), max_size=30),
)
async def test_no_more_than_may_are_in_and_nobody_is_forgotten(
    most: int, comings: list[tuple[str, Tier, bool]]
) -> None:
    gate = Gate(most)
    inside = most_inside = 0

    async def visit(project: str, tier: Tier) -> None:
        nonlocal inside, most_inside
        async with gate.entered(Place(project, tier, None)):
            inside += 1
            most_inside = max(most_inside, inside)
            try:
                await asyncio.sleep(0)
            finally:
                inside -= 1

    tasks = []
    for project, tier, stays in comings:
        task = asyncio.create_task(visit(project, tier))
        await asyncio.sleep(0)
        tasks.append(task)
        if not stays:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most_inside <= most
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        for _ in range(most):
            await stack.enter_async_context(gate.entered(Place("z")))
