"""`reasoning.summary: concise`: raw reasoning, summed up by the model itself.

When a stretch of reasoning has ended, the model is asked for its summary, which is told as it comes; what the
model says after its reasoning is told behind it, in the order in which the real API tells both. So a concise
summary costs a short call and delays the answer by it, for those who ask for one. `detailed` and `auto` cost
nothing: the reasoning is told as its own summary, word for word.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog
from msgspec.structs import replace

from antiphon.model import (
    Backend,
    Delta,
    Finished,
    Message,
    ReasoningDelta,
    SummaryDelta,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
)
from antiphon.protocol.errors import ApiError

log = structlog.get_logger()

_ASK = (
    "You sum up the reasoning of an assistant for its reader, in at most three short sentences: what was "
    "considered, and what was decided. Answer with the summary alone."
)
_LENGTH = 1024
"""Tokens that a summary may take, the model's own reasoning about it included."""


class Summarizer:
    """Puts a summary behind each stretch of reasoning in the answer to a turn."""

    def __init__(self, backend: Backend, reasons: bool, turn: Turn) -> None:
        """`reasons`: the model knows an effort of reasoning."""
        self._backend = backend
        self._turn = Turn(
            model=turn.model,
            messages=(Message("system", parts=(TextPart(_ASK),)),),
            max_tokens=_LENGTH,
            effort="low" if reasons else None,
            user=turn.user,
            service_tier=turn.service_tier,
        )
        self._reasoning: list[str] = []
        self._spent = UsageDelta(0, 0)

    async def stream(
        self, deltas: AsyncGenerator[Sequence[Delta], None]
    ) -> AsyncGenerator[Sequence[Delta], None]:
        """The deltas, with the summaries. Those that the model gives by itself are left alone."""
        usage: UsageDelta | None = None
        async with aclosing(deltas):
            async for batch in deltas:
                told: list[Delta] = []
                for delta in batch:
                    if isinstance(delta, UsageDelta):
                        usage = delta  # what the summaries cost is added at the end
                        continue
                    if self._ends(delta):
                        yield told
                        async with aclosing(self._summary()) as summary:
                            async for piece in summary:
                                yield piece
                        told = []
                    if isinstance(delta, Finished) and usage is not None:
                        told.append(plus(usage, self._spent))
                    told.append(delta)
                if told:
                    yield told

    def _ends(self, delta: Delta) -> bool:
        """Whether a stretch of reasoning ends before this delta, without a summary of its own."""
        if isinstance(delta, ReasoningDelta):
            self._reasoning.append(delta.text)
            return False
        if isinstance(delta, SummaryDelta):
            self._reasoning.clear()
        return bool(self._reasoning)

    async def _summary(self) -> AsyncGenerator[Sequence[Delta], None]:
        """The summary. When the model gives none, the reasoning is its own: the answer matters more."""
        reasoning = "".join(self._reasoning)
        self._reasoning.clear()
        asked = Message("user", parts=(TextPart(reasoning),))
        turn = replace(self._turn, messages=(*self._turn.messages, asked))
        told = False
        try:
            async with aclosing(self._written(turn)) as written:
                async for batch in written:
                    told = True
                    yield batch
        except ApiError as fault:
            log.warning("no summary of reasoning", reason=fault.message)
        if not told:
            yield [SummaryDelta(reasoning)]

    async def _written(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        async with aclosing(self._backend.stream(turn)) as deltas:
            async for batch in deltas:
                texts = [SummaryDelta(d.text) for d in batch if isinstance(d, TextDelta) and d.text]
                for usage in (d for d in batch if isinstance(d, UsageDelta)):
                    self._spent = plus(self._spent, usage)
                if texts:
                    yield texts


def plus(one: UsageDelta, other: UsageDelta) -> UsageDelta:
    """The tokens of both."""
    return UsageDelta(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
    )
