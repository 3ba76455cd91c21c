"""What is left of a turn that was too long counts whole: nothing of it is written as it was."""

from antiphon.backends.dialects import Dialect
from antiphon.backends.messages import render_turn
from antiphon.engine.calling.truncation import Truncation
from antiphon.guard.offload import SMALL
from antiphon.model import Backend, Message, Said, TextPart, Turn


class Uncounted(Backend):
    """Has no tokenizer."""

    async def count_tokens(self, turn: Turn) -> int | None:
        return None


async def test_a_history_that_is_shortened_is_looked_at_anew() -> None:
    user, answer = Message("user", (TextPart("x"),)), Message("assistant", (TextPart("y"),))
    said = Said((user, answer) * 2 * SMALL)
    turn = Turn("m", (*said.messages, user), said=said)
    render_turn(turn, Dialect(name="any"))
    backend = Uncounted()

    truncation = Truncation(backend.stream, backend, window=12 * SMALL, truncates=True, pinned=0)
    shorter = await truncation.fit(turn)

    assert SMALL < len(shorter.messages) < len(turn.messages)
    assert shorter.unwritten > SMALL
