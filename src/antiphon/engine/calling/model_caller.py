"""How the model of a response is asked: all that stands between a turn and its backend.

The layers, from the writer of events down to the backend: how long the response may take, how often a busy
model is asked again (in the background), the summary of its reasoning, other models in its place, the fit
into its window, the form of its answer, and the wait until it may be asked. What we ask for ourselves, and
nobody else reads, takes those that are not about the answer. A layer that has nothing to do is left out.
"""

from collections.abc import Sequence
from contextlib import aclosing, suppress

from msgspec.structs import replace

from antiphon.backends.gate import Place
from antiphon.backends.router import Route
from antiphon.context.thought import Source
from antiphon.engine.calling.admission import Admission
from antiphon.engine.calling.ask import Ask, Completion, complete
from antiphon.engine.calling.deadline import Deadline
from antiphon.engine.calling.fallbacks import Candidate, Fallbacks
from antiphon.engine.calling.retry import Retries
from antiphon.engine.calling.structured import StructuredOutput
from antiphon.engine.calling.summary import Summaries
from antiphon.engine.calling.truncation import Truncation, count
from antiphon.model import Capabilities, Deltas, Turn, UsageDelta
from antiphon.protocol.errors import ModelFault
from antiphon.protocol.response import Response
from antiphon.tools.schema import SchemaMaker


class ModelCaller:
    """The model of one response, and those that answer in its place."""

    def __init__(
        self,
        routes: Sequence[Route],
        response: Response,
        schema: SchemaMaker,
        place: Place,
        *,
        pinned: int,
        end: float | None = None,
    ) -> None:
        """`routes`: in their order. `response` as it opens; its context's first `pinned` messages are its
        instructions. `end`: until when answers are waited for, in the loop's time."""
        truncates = response.truncation == "auto"
        candidates = [_candidate(route, schema, place, truncates, pinned) for route in routes]
        self._fallbacks = found = Fallbacks(candidates)
        alone = candidates[0] if len(candidates) == 1 else None
        self._fit = found.fit if alone is None else alone.window.fit
        ask = found.stream if alone is None else alone.window.stream
        self._warm = _lasting(ask, response, end)
        if response.reasoning.summary == "concise":
            effort = "low" if routes[0].capabilities.reasoning else None
            ask = Summaries(ask, found.beside, effort=effort).stream
        self._ask = _lasting(ask, response, end)
        self._plain = _lasting(found.plain if alone is None else alone.plain, response, end)
        self.tier = place.tier if routes[0].gate is not None else "default"
        """The service tier that acts."""

    @property
    def backend_name(self) -> str | None:
        """Under which the backend that answers is configured."""
        return self._fallbacks.answering.name

    @property
    def provider(self) -> str:
        """Who is asked there, as traces call it."""
        return self._fallbacks.answering.provider

    def source(self) -> Source:
        """Who answers."""
        return self.backend_name or "", self._fallbacks.answering.model

    @property
    def capabilities(self) -> Capabilities:
        """What the model can, as far as is known by now."""
        route = self._fallbacks.answering
        can = route.backend.capabilities(route.model)
        return can if route.gate is None else replace(can, hints=can.hints | {"service_tier"})

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the model's window. Raises InvalidRequest when it cannot be."""
        return await self._fit(turn)

    async def count(self, turn: Turn) -> int:
        """The tokens of its context."""
        return await count(self._fallbacks.answering.backend, turn)

    def stream(self, turn: Turn) -> Deltas:
        """The model's answer to a turn that was fitted. Raises ApiError."""
        return self._ask(turn)

    async def warm(self, turn: Turn) -> UsageDelta | None:
        """Has a turn that was fitted read by the model's server, and one token said that nobody hears. Gives
        what it cost. Raises ApiError."""
        usage: UsageDelta | None = None
        with suppress(ModelFault):  # one token makes no sound answer, and costs as much
            async with aclosing(self._warm(_to_read(turn))) as deltas:
                async for batch in deltas:
                    usage = next((delta for delta in batch if isinstance(delta, UsageDelta)), usage)
        return usage

    async def complete(self, turn: Turn) -> Completion:
        """The text with which the model answers a question of our own. Raises ApiError."""
        return await complete(self._plain, turn)


def _to_read(turn: Turn) -> Turn:
    """A turn that is read, and not answered. Tools that the model's server runs itself stand in it as they
    will, and none is run: a few tokens are enough for a call, which costs, and acts."""
    hosted = any(each.hosted is not None for each in turn.functions)
    return replace(turn, max_tokens=1, prewarms=True, choice="none" if hosted else turn.choice)


def _candidate(route: Route, schema: SchemaMaker, place: Place, truncates: bool, pinned: int) -> Candidate:
    backend = route.backend
    plain = backend.stream if route.gate is None else Admission(backend.stream, route.gate, place).stream
    window = Truncation(
        StructuredOutput(plain, backend.capabilities, schema).stream,
        backend,
        window=route.capabilities.context_window,
        truncates=truncates,
        pinned=pinned,
    )
    return Candidate(route, plain, window)


def _lasting(ask: Ask, response: Response, end: float | None) -> Ask:
    if response.background:
        ask = Retries(ask).stream
    return ask if end is None else Deadline(ask, end).stream
