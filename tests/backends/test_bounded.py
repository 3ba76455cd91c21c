"""Answers for which nobody said how long they may be."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from antiphon.backends.bounded import LOOP, Bounded, WithoutLoops, loops
from antiphon.model import Backend, Capabilities, Delta, Finished, Message, Model, TextDelta, TextPart, Turn

TURN = Turn("m", (Message("user", parts=(TextPart("Hi"),)),))
PROSE = "".join(
    f"Line {n} says what no line before it said, and line {n + 1} does as well. " for n in range(80)
)


class Writer(Backend):
    """Says these texts, one after another, for ever if it is let."""

    def __init__(self, *texts: str, forever: str = "") -> None:
        self.asked: list[Turn] = []
        self.said = 0
        self.closed = False
        self._texts = texts
        self._forever = forever

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(context_window=7)

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        self.asked.append(turn)
        try:
            yield ()
            for text in self._texts:
                yield [TextDelta(text)]
            while self._forever:
                self.said += 1
                yield [TextDelta(self._forever)]
            yield [Finished("stop")]
        finally:
            self.closed = True

    async def models(self) -> Sequence[Model]:
        return [Model("m")]

    async def count_tokens(self, turn: Turn) -> int | None:
        return 5

    async def probe(self) -> str | None:
        return "a writer"

    async def close(self) -> None:
        pass


async def said(backend: Backend, turn: Turn = TURN) -> list[Delta]:
    return [delta async for batch in backend.stream(turn) for delta in batch]


async def test_an_answer_is_bounded_when_its_turn_does_not_say_how_long_it_may_be() -> None:
    writer = Writer("Hello")
    await said(Bounded(writer, 1024))
    await said(Bounded(writer, 1024), Turn("m", TURN.messages, max_tokens=5000))
    assert [turn.max_tokens for turn in writer.asked] == [1024, 5000]


@pytest.mark.parametrize(
    "unit", ["a", "\n", "hello ", "I am sure that this is so. And again, no: it is not! "]
)
async def test_an_answer_that_repeats_itself_for_ever_is_cut_short(unit: str) -> None:
    writer = Writer(PROSE, forever=unit)
    deltas = await said(WithoutLoops(writer))
    assert deltas[-1] == Finished("length")
    assert writer.closed
    assert writer.said * len(unit) < 2 * LOOP


async def test_a_turn_that_says_how_long_its_answer_may_be_has_all_of_it() -> None:
    writer = Writer(*["hello "] * 1000)
    deltas = await said(WithoutLoops(writer), Turn("m", TURN.messages, max_tokens=5000))
    assert len(deltas) == 1001
    assert deltas[-1] == Finished("stop")


@pytest.mark.parametrize(
    "text", [PROSE, "=" * (LOOP - 1), PROSE + "ab" * 400, "\n".join(f"| {n} | row |" for n in range(400))]
)
def test_a_text_that_gets_somewhere_does_not_loop(text: str) -> None:
    assert not loops(text[-LOOP:])


async def test_what_stands_around_a_backend_says_what_it_says() -> None:
    backend = WithoutLoops(Bounded(Writer(), 16))
    assert backend.capabilities("m").context_window == 7
    assert await backend.models() == [Model("m")]
    assert await backend.count_tokens(TURN) == 5
    assert await backend.probe() == "a writer"
    await backend.close()
