"""How the model is asked: what stands between its backend and the writer of its events.

Each layer takes a turn and gives deltas, as a backend does: the fit into the window, the form of the answer,
and the summary of its reasoning.
"""

from collections.abc import AsyncGenerator, Sequence

from antiphon.backends.router import Route
from antiphon.engine.calling import structured
from antiphon.engine.calling.summary import Summarizer
from antiphon.engine.calling.truncation import Truncation, count
from antiphon.model import Capabilities, Delta, Turn
from antiphon.protocol.response import Response


class ModelCaller:
    """The model of one response."""

    def __init__(self, route: Route, response: Response, pinned: int) -> None:
        """`response` as it opens; its context's first `led` messages are its instructions."""
        self._backend = route.backend
        self._can: Capabilities = route.capabilities
        self._truncates = response.truncation == "auto"
        self._truncation = Truncation(route.backend, self._can.context_window, self._truncates, pinned)
        self._concise = response.reasoning.summary == "concise"

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the model's window. Raises InvalidRequest when it cannot be."""
        return await self._truncation.fit(turn)

    async def count(self, turn: Turn) -> int:
        """The tokens of its context."""
        return await count(self._backend, turn)

    def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        """The model's answer to a turn that was fitted. Raises ApiError."""
        deltas = self._truncation.stream(turn, self._formed) if self._truncates else self._formed(turn)
        if self._concise:
            return Summarizer(self._backend, self._can.reasoning, turn).stream(deltas)
        return deltas

    def _formed(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        if structured.needs_help(turn, self._can):
            return structured.stream(self._backend, self._can, turn)
        return self._backend.stream(turn)
