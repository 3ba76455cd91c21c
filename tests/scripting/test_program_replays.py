"""A program that is suspended at every call and played again ends as one that runs straight through."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from antiphon.scripting.player import Player
from antiphon.scripting.program import Played, Recorded, Script

TOOLS = ("alpha", "beta", "gamma")
MOST = 30
"""How often the same call may be made."""


def answer(name: str, number: int) -> tuple[object, str | None]:
    """What a tool says: a pure function of the call, and now and then a failure."""
    if (len(name) * 7 + number * 5) % 6 == 0:
        return None, f"{name} cannot do {number}"
    return {"n": len(name) * 10 + number, "of": name}, None


# ---- random programs ----

numbers = st.integers(0, 4)
calls = st.builds(lambda tool, number: f"tools.{tool}({{n: {number}}})", st.sampled_from(TOOLS), numbers)
chances = st.just("tools.beta({n: Math.floor(Math.random() * 5)})")
dependent = st.builds(lambda tool: f"tools.{tool}({{n: (out.length + seen) % 5}})", st.sampled_from(TOOLS))
any_call = st.one_of(calls, chances, dependent)
lists = st.lists(any_call, min_size=1, max_size=4).map(", ".join)


def keep(expression: str) -> str:
    return (
        f"try {{ const r = await {expression}; out.push(r); seen += JSON.stringify(r).length }}"
        " catch (error) { out.push(String(error)); seen++ }"
    )


leaves = st.one_of(
    any_call.map(keep),
    lists.map(lambda each: keep(f"Promise.all([{each}])")),
    lists.map(lambda each: keep(f"Promise.race([{each}])")),
    lists.map(lambda each: keep(f"Promise.allSettled([{each}])")),
    any_call.map(lambda each: f"{each}.then((r) => out.push('later', r), () => {{ seen++ }});"),
    any_call.map(lambda each: f"out.push(await {each});"),
    st.just("out.push(Math.random(), Date.now());"),
    st.builds(
        lambda one, other: keep(f"{one}.then(() => {other}, () => {other}).finally(() => {{ seen++ }})"),
        any_call,
        any_call,
    ),
)


def branches(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=3).map("\n".join)
    return st.one_of(
        st.builds(lambda one, other: f"if (seen % 2) {{ {one} }} else {{ {other} }}", block, block),
        st.builds(lambda body: f"for (let i = 0; i < 2; i++) {{ {body} }}", block),
        st.builds(lambda body: f"(async () => {{ {body} }})().catch(() => {{}});", block),
        st.builds(lambda one, other: _side_by_side(one, other), block, block),
    )


def _side_by_side(one: str, other: str) -> str:
    return keep(f"Promise.all([(async () => {{ {one} }})(), (async () => {{ {other} }})()])")


programs = st.lists(st.recursive(leaves, branches, max_leaves=8), min_size=1, max_size=5).map(
    lambda body: "const out = []; let seen = 0;\n" + "\n".join(body) + "\ntext(out); return seen"
)


# ---- the two ways ----


async def straight(player: Player, code: str) -> Played:
    """All answers are there before it begins: nothing of it waits."""
    known = [
        Recorded(None, name, {"n": number}, *answer(name, number))
        for name in TOOLS
        for number in range(5)
        for _ in range(MOST)
    ]
    return await player.play(Script(code, dict.fromkeys(TOOLS), 11, 5, known))


async def suspended(player: Player, code: str, one_by_one: bool) -> Played:
    """It is played anew for each answer, or for each round of them; answers come back in any order."""
    recorded: list[Recorded] = []
    while (played := await player.play(Script(code, dict.fromkeys(TOOLS), 11, 5, list(recorded)))).calls:
        for call in played.calls[-1:] if one_by_one else reversed(played.calls):
            number = json.loads(call.arguments)["n"]
            recorded.append(Recorded(call.index, call.name, None, *answer(call.name, number)))
        assert len(recorded) < len(TOOLS) * 5 * MOST
    return played


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    player = Player()
    yield player
    await player.close()


async def test_suspended_programs_end_as_those_that_run_straight_through(player: Player) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None)
    @given(programs, st.booleans())
    def check(code: str, one_by_one: bool) -> None:
        async def both() -> tuple[Played, Played]:
            return await straight(player, code), await suspended(player, code, one_by_one)

        once, again = asyncio.run_coroutine_threadsafe(both(), loop).result()
        assert replace(once, seconds=0) == replace(again, seconds=0)

    await asyncio.to_thread(check)
