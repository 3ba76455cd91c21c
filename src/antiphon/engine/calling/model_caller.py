"""How the model of a response is asked: all that stands between a turn and its backend.

The layers, from the writer of events down to the backend: how long the response may take, how often a busy
model is asked again (in the background), the summary of its reasoning, the fit into its window, and the form
of its answer. What we ask for ourselves, and nobody else reads, takes the first two.
"""

from antiphon.backends.router import Route
from antiphon.context.thought import Source
from antiphon.engine.calling.ask import Ask, Completion, Deltas, complete
from antiphon.engine.calling.deadline import Deadline
from antiphon.engine.calling.retry import Retries
from antiphon.engine.calling.structured import StructuredOutput
from antiphon.engine.calling.summary import Summaries
from antiphon.engine.calling.truncation import Truncation, count
from antiphon.model import Capabilities, Turn
from antiphon.protocol.response import Response
from antiphon.tools.schema import SchemaMaker


class ModelCaller:
    """The model of one response."""

    def __init__(
        self,
        route: Route,
        response: Response,
        schema: SchemaMaker,
        *,
        pinned: int,
        end: float | None = None,
    ) -> None:
        """`response` as it opens; its context's first `pinned` messages are its instructions. `end`: until
        when answers are waited for, in the loop's time."""
        backend, can = route.backend, route.capabilities
        self.backend_name = route.name
        """Under which the backend is configured."""
        self._backend = backend
        self._model = route.model
        self._truncation = Truncation(
            StructuredOutput(backend.stream, backend.capabilities, schema).stream,
            backend,
            window=can.context_window,
            truncates=response.truncation == "auto",
            pinned=pinned,
        )
        ask: Ask = self._truncation.stream
        if response.reasoning.summary == "concise":
            ask = Summaries(ask, backend.stream, effort="low" if can.reasoning else None).stream
        self._ask = _lasting(ask, response, end)
        self._plain = _lasting(backend.stream, response, end)

    @property
    def source(self) -> Source:
        """Who answers."""
        return self.backend_name or "", self._model

    @property
    def capabilities(self) -> Capabilities:
        """What the model can, as far as is known by now."""
        return self._backend.capabilities(self._model)

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the model's window. Raises InvalidRequest when it cannot be."""
        return await self._truncation.fit(turn)

    async def count(self, turn: Turn) -> int:
        """The tokens of its context."""
        return await count(self._backend, turn)

    def stream(self, turn: Turn) -> Deltas:
        """The model's answer to a turn that was fitted. Raises ApiError."""
        return self._ask(turn)

    async def complete(self, turn: Turn) -> Completion:
        """The text with which the model answers a question of our own. Raises ApiError."""
        return await complete(self._plain, turn)


def _lasting(ask: Ask, response: Response, end: float | None) -> Ask:
    if response.background:
        ask = Retries(ask).stream
    return ask if end is None else Deadline(ask, end).stream
