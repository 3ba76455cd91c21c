"""Other models answer where the one that was asked for does not.

A turn is made for the first model. Another one gets it under its own name, without what only the first can
read; who cannot read the rest (pictures, say) is passed over. Whoever has answered goes on with the turns
that follow, since they continue what it said.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from msgspec.structs import replace

from antiphon.backends.retry import another_may
from antiphon.backends.router import Route
from antiphon.engine.calling.ask import Ask, Deltas
from antiphon.engine.calling.truncation import TOO_LONG, Truncation
from antiphon.model import AudioPart, FilePart, ImagePart, Turn, has_output
from antiphon.protocol.errors import ApiError


class Candidate(NamedTuple):
    """A model, and what stands before it."""

    route: Route
    plain: Ask
    """For what we ask ourselves."""
    window: Truncation
    """For the turns of a response."""


class Fallbacks:
    """Candidates, in the order in which they are asked."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._first = candidates[0]
        self._candidates = list(candidates)

    @property
    def answering(self) -> Route:
        """Who has answered, or is asked next."""
        return self._candidates[0].route

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the window of the first that has room for it. Raises InvalidRequest when none
        has."""
        fault: ApiError | None = None
        for candidate in self._readers(turn):
            try:
                fitted = await candidate.window.fit(self._own(candidate, turn))
            except ApiError as refusal:
                fault = fault or refusal
                if refusal.code != TOO_LONG:
                    break
            else:
                self._prefer(candidate)
                return turn if candidate is not self._first else fitted
        assert fault is not None  # the first reads what is made for it
        raise fault

    def stream(self, turn: Turn) -> Deltas:
        """The answer to a turn of the response. Raises the ApiError of the first that was asked."""
        return self._asked(turn, lambda candidate: candidate.window.stream)

    def plain(self, turn: Turn) -> Deltas:
        """The answer to a question of our own."""
        return self._asked(turn, lambda candidate: candidate.plain)

    def beside(self, turn: Turn) -> Deltas:
        """The same from who is answering just now."""
        candidate = self._candidates[0]
        return candidate.route.backend.stream(self._own(candidate, turn))

    async def _asked(self, turn: Turn, way: Callable[[Candidate], Ask]) -> Deltas:
        fault: ApiError | None = None
        for candidate in self._readers(turn):
            answered = False
            try:
                own = self._own(candidate, turn)
                if candidate is not self._first:
                    own = await candidate.window.fit(own)
                async with aclosing(way(candidate)(own)) as batches:
                    async for batch in batches:
                        self._prefer(candidate)
                        answered = answered or has_output(batch)
                        yield batch
                return
            except ApiError as failure:
                fault = fault or failure
                if answered or not (another_may(failure) or failure.code == TOO_LONG):
                    raise
        assert fault is not None
        raise fault

    def _readers(self, turn: Turn) -> Iterator[Candidate]:
        """Those that can read the turn."""
        kinds = {type(part) for message in turn.messages for part in message.parts}
        for candidate in list(self._candidates):
            can = candidate.route.capabilities
            reads = {ImagePart: can.images, AudioPart: can.audio, FilePart: can.files}
            if candidate is self._first or all(reads.get(kind, True) for kind in kinds):
                yield candidate

    def _own(self, candidate: Candidate, turn: Turn) -> Turn:
        """The turn as the candidate reads it. What goes back as it came goes to where it came from."""
        if candidate is self._first:
            return turn
        messages = turn.messages
        if any(message.opaque is not None for message in messages):
            messages = tuple(replace(message, opaque=None) for message in messages)
        return replace(turn, model=candidate.route.model, messages=messages)

    def _prefer(self, candidate: Candidate) -> None:
        if self._candidates[0] is not candidate:
            self._candidates.remove(candidate)
            self._candidates.insert(0, candidate)
