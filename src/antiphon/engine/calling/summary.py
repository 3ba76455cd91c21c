"""`reasoning.summary: concise`: raw reasoning, summed up by the model itself.

When a stretch of reasoning has ended, the model is asked for its summary, which is emitted as it comes; what
the model says after its reasoning follows it, in the order in which the real API emits both. So a concise
summary costs a short call and delays the answer by it, for those who ask for one. `detailed` and `auto` cost
nothing: the reasoning is emitted as its own summary, word for word.
"""

from contextlib import aclosing

import structlog
from msgspec.structs import replace

from antiphon.engine.calling.ask import Ask
from antiphon.model import (
    Delta,
    Deltas,
    Finished,
    Message,
    OpaqueDelta,
    ReasoningDelta,
    SummaryDelta,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.protocol.errors import ApiError

log = structlog.get_logger()

_ASK = (
    "You sum up the reasoning of an assistant for its reader, in at most three short sentences: what was "
    "considered, and what was decided. Answer with the summary alone."
)
_LENGTH = 1024
"""Tokens that a summary may take, the model's own reasoning about it included."""


class Summaries:
    """Puts a summary behind each stretch of reasoning in an answer."""

    def __init__(self, ask: Ask, summarize: Ask, *, effort: str | None) -> None:
        """`summarize` asks the model for a summary, with that effort of reasoning."""
        self._ask = ask
        self._summarize = summarize
        self._effort = effort

    def stream(self, turn: Turn) -> Deltas:
        """The answer, with the summaries. Those that the model gives by itself are left alone."""
        question = Turn(
            model=turn.model,
            messages=(Message("system", parts=(TextPart(_ASK),)),),
            max_tokens=_LENGTH,
            effort=self._effort,
            user=turn.user,
            service_tier=turn.service_tier,
        )
        return _Summarized(self._summarize, question).stream(self._ask(turn))


class _Summarized:
    """One answer with its summaries. `question` is what asks for one, without the reasoning."""

    def __init__(self, ask: Ask, question: Turn) -> None:
        self._ask = ask
        self._question = question
        self._reasoning: list[str] = []
        self._spent = UsageDelta(0, 0)

    async def stream(self, deltas: Deltas) -> Deltas:
        usage: UsageDelta | None = None
        async with aclosing(deltas):
            async for batch in deltas:
                passed: list[Delta] = []
                for delta in batch:
                    if isinstance(delta, UsageDelta):
                        usage = delta  # what the summaries cost is added at the end
                        continue
                    if self._ends(delta):
                        yield passed
                        async with aclosing(self._summary()) as summary:
                            async for piece in summary:
                                yield piece
                        passed = []
                    if isinstance(delta, Finished) and usage is not None:
                        passed.append(usage.plus(self._spent))
                    passed.append(delta)
                if passed:
                    yield passed

    def _ends(self, delta: Delta) -> bool:
        """Whether a stretch of reasoning ends before this delta, without a summary of its own."""
        if isinstance(delta, ReasoningDelta):
            self._reasoning.append(delta.text)
            return False
        if isinstance(delta, OpaqueDelta):
            return False  # it comes between the pieces
        if isinstance(delta, SummaryDelta):
            self._reasoning.clear()
        return bool(self._reasoning)

    async def _summary(self) -> Deltas:
        """The summary. When the model gives none, the reasoning is its own: the answer matters more."""
        reasoning = "".join(self._reasoning)
        self._reasoning.clear()
        asked = Message("user", parts=(TextPart(reasoning),))
        turn = replace(self._question, messages=(*self._question.messages, asked))
        written_any = False
        try:
            async with aclosing(self._written(turn)) as written:
                async for batch in written:
                    written_any = True
                    yield batch
        except ApiError as fault:
            log.warning("no summary of reasoning", reason=fault.message)
        if not written_any:
            yield [SummaryDelta(reasoning)]

    async def _written(self, turn: Turn) -> Deltas:
        async with aclosing(self._ask(turn)) as deltas:
            async for batch in deltas:
                texts = [SummaryDelta(d.text) for d in single(batch) if isinstance(d, TextDelta) and d.text]
                for usage in (d for d in batch if isinstance(d, UsageDelta)):
                    self._spent = self._spent.plus(usage)
                if texts:
                    yield texts
