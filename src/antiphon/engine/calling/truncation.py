"""Keeps a turn within the model's window: `truncation`.

The window is known for some models, and configured for others. A context that is surely short enough costs
nothing; only one that comes near is counted, by the model's own tokenizer if it has one. Where the window is
not known, the model's server says when it is passed, and that is learnt for the turns to come.
"""

from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.upstream_errors import TOO_LONG, too_long
from antiphon.context.budget import estimate, shortened
from antiphon.engine.calling.ask import Ask
from antiphon.guard.offload import offload
from antiphon.model import Backend, Deltas, Turn, has_output
from antiphon.protocol.errors import InvalidRequest, UpstreamError

COUNTS = 4
"""How often a turn is counted until it fits."""
REFUSALS = 6
"""How often the model's server may call a turn too long."""
_LESS = 0.7
"""What is left of a turn that was refused, each time."""
_ANSWER = 1024
"""Tokens left for an answer whose length nobody limits."""


class Truncation(Struct, eq=False):
    """For one response."""

    _ask: Ask
    _backend: Backend
    window: int | None
    """The model's tokens; None when not known."""
    truncates: bool
    """Whether a turn that is too long is shortened; otherwise it is refused."""
    pinned: int
    """How many of the first messages are never left out."""
    _fits: Turn | None = None
    """The turn that was looked at last."""
    _learnt: int | None = None
    """The estimate of the last turn that the server did not call too long."""

    async def fit(self, turn: Turn) -> Turn:
        """The turn, shortened if it must be and may be. Raises InvalidRequest when it is too long."""
        if turn is self._fits:
            return turn
        if self._learnt is not None:
            excess = await _estimate(turn) - self._learnt
            turn = await self._shorter(turn, excess) or turn
        if self.window is not None:
            room = self._room(self.window, turn.max_tokens)
            turn = turn if 2 * await _estimate(turn) <= room else await self._counted(turn, room)
        self._fits = turn
        return turn

    async def _counted(self, turn: Turn, room: int) -> Turn:
        for _ in range(COUNTS):
            tokens = await count(self._backend, turn)
            if tokens <= room:
                return turn
            # Messages are weighed in estimated tokens: what is too much is expressed in them.
            excess = (tokens - room) * await _estimate(turn) // tokens + 1
            shorter = await self._shorter(turn, excess)
            if shorter is None:
                break
            turn = shorter
        raise too_long()

    def stream(self, turn: Turn) -> Deltas:
        """The answer. A turn that the model's server calls too long is shortened, if it may be."""
        return self._shortening(turn) if self.truncates else self._ask(turn)

    async def _shortening(self, turn: Turn) -> Deltas:
        refusals = 0
        while True:
            answered = False
            try:
                async with aclosing(self._ask(turn)) as batches:
                    while not answered:
                        batch = await anext(batches)
                        answered = has_output(batch)
                        pour = yield batch
                    while True:  # it will not be shortened any more
                        pour = yield await batches.asend(pour)
            except StopAsyncIteration:
                return
            except InvalidRequest as fault:
                refusals += 1
                if answered or fault.code != TOO_LONG or refusals > REFUSALS:
                    raise
                excess = int(await _estimate(turn) * (1 - _LESS)) + 1
                shorter = await self._shorter(turn, excess)
                if shorter is None:
                    raise
                turn, self._learnt = shorter, await _estimate(shorter)

    def _room(self, window: int, asked: int | None) -> int:
        """Tokens for the context. One that may not be shortened has the whole window, as on the real API:
        an answer that does not fit any more is cut short."""
        return window - min(asked or _ANSWER, window // 2) if self.truncates else window

    async def _shorter(self, turn: Turn, excess: int) -> Turn | None:
        if not self.truncates:
            return None
        messages = await offload(turn.size, shortened, turn.messages, excess, self.pinned)
        return None if messages is None else replace(turn, messages=messages, said=None)


async def count(backend: Backend, turn: Turn) -> int:
    """The tokens of a turn's context, by the model's own tokenizer if it has one and answers."""
    if not turn.messages:
        return 0
    try:
        counted = await backend.count_tokens(turn)
    except UpstreamError:
        counted = None
    return await _estimate(turn) if counted is None else counted


async def _estimate(turn: Turn) -> int:
    return await offload(turn.size, estimate, turn)
