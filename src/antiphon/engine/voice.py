"""How the model is asked: what stands between its backend and the telling of its answer.

Each layer takes a turn and gives deltas, as a backend does: the fit into the window, the form of the answer,
and the summary of its reasoning.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import cast

from antiphon.backends.base import Capabilities, Delta, Turn
from antiphon.backends.router import Route
from antiphon.engine import structured
from antiphon.engine.fitting import Fitting, count
from antiphon.engine.summary import Summarizer
from antiphon.protocol.response import Response


class Voice:
    """The model of one response."""

    def __init__(self, route: Route, response: Response, led: int) -> None:
        """`response` as it opens; its context's first `led` messages are its instructions."""
        self._backend = route.backend
        self._can: Capabilities = route.capabilities
        self._drops = response.truncation == "auto"
        self._fitting = Fitting(route.backend, self._can.context_window, self._drops, led)
        self._concise = response.reasoning.summary == "concise"

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the model's window. Raises InvalidRequest when it cannot be."""
        return await self._fitting.fit(turn)

    async def count(self, turn: Turn) -> int:
        """The tokens of its context."""
        return await count(self._backend, turn)

    def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        """The model's answer to a turn that was fitted. Raises ApiError."""
        deltas = self._fitting.stream(turn, self._formed) if self._drops else self._formed(turn)
        if self._concise:
            return Summarizer(self._backend, self._can.reasoning, turn).stream(deltas)
        return deltas

    def _formed(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        if structured.needs_help(turn, self._can):
            return structured.stream(self._backend, self._can, turn)
        return cast(AsyncGenerator[Sequence[Delta], None], self._backend.stream(turn))
