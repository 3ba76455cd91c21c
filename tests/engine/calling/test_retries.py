"""How long a background response waits for its model."""

from collections.abc import Iterator, Sequence

import pytest

from antiphon.engine.calling.retry import Retries
from antiphon.model import Delta, Deltas, TextDelta, Turn, UsageDelta
from antiphon.protocol.errors import ApiError, RateLimited, UpstreamError

BUSY = RateLimited("Slow down.", code="rate_limit_exceeded")
AWAY = UpstreamError("It cannot be reached.", retry_after=0)
BROKEN = UpstreamError("It failed.")


class Model:
    """Says a word before each fault but the first `mute` ones, and then has an answer."""

    def __init__(self, *faults: ApiError, mute: int = 9, before: Sequence[Delta] = ()) -> None:
        self._faults: Iterator[ApiError] = iter(faults)
        self._mute = mute
        self.before = before
        self.asked = 0

    async def stream(self, turn: Turn) -> Deltas:
        self.asked += 1
        for delta in self.before:
            yield (delta,)
        yield ()
        fault = next(self._faults, None)
        if fault is None or self.asked > self._mute:
            yield (TextDelta("Hello"),)
        if fault is not None:
            raise fault


async def asked(model: Model, attempts: int) -> int:
    answer = Retries(model.stream, (0.0,) * (attempts - 1)).stream(Turn("m", ()))
    said = [delta async for batch in answer for delta in batch if delta not in model.before]
    assert said == [TextDelta("Hello")]
    return model.asked


async def test_a_model_that_is_busy_or_away_is_asked_again() -> None:
    assert await asked(Model(BUSY, AWAY), attempts=3) == 3


async def test_it_is_given_up_in_the_end() -> None:
    with pytest.raises(RateLimited):
        await asked(Model(BUSY, BUSY), attempts=2)


async def test_what_will_not_pass_is_not_waited_for() -> None:
    with pytest.raises(UpstreamError):
        await asked(Model(BROKEN), attempts=3)


async def test_a_model_that_has_begun_is_not_asked_again() -> None:
    model = Model(BUSY, mute=0)
    with pytest.raises(RateLimited):
        await asked(model, attempts=3)
    assert model.asked == 1


@pytest.mark.parametrize("before", [UsageDelta(7, 0), TextDelta("")])
async def test_what_says_nothing_is_no_beginning(before: Delta) -> None:
    """Some servers count the prompt's tokens, or open an empty message, before they refuse."""
    assert await asked(Model(BUSY, AWAY, before=[before]), attempts=3) == 3
