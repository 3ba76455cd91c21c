"""How long an answer may take."""

import asyncio
from collections.abc import Sequence

import pytest

from antiphon.engine.calling.deadline import Deadline
from antiphon.model import Delta, Deltas, TextDelta, Turn
from antiphon.protocol.errors import UpstreamTimeout

HELLO = (TextDelta("Hello"),)


async def endless(turn: Turn) -> Deltas:
    """Is poured, and goes on for ever."""
    pour = yield ()
    assert pour is not None
    assert pour(HELLO)
    await asyncio.Event().wait()


async def test_an_answer_that_is_poured_ends_in_time_too() -> None:
    said: list[Delta] = []

    def take(batch: Sequence[Delta]) -> bool:
        said.extend(batch)
        return True

    answer = Deadline(endless, asyncio.get_running_loop().time() + 0.05).stream(Turn("m", ()))
    assert await anext(answer) == ()
    with pytest.raises(UpstreamTimeout):
        await answer.asend(take)
    assert said == list(HELLO)
