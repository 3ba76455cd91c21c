"""Other models answer where the one that was asked for does not.

A turn is made for the first model. Another one gets it under its own name, without what only the first can
read; who cannot read the rest (pictures, say) is passed over. Whoever has answered goes on with the turns
that follow, since they continue what it said.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.retry import another_may
from antiphon.backends.router import Route
from antiphon.backends.upstream_errors import TOO_LONG
from antiphon.engine.calling.ask import Ask
from antiphon.engine.calling.truncation import Truncation
from antiphon.model import Deltas, Message, Opaque, Turn, has_output
from antiphon.model.backend import beyond
from antiphon.model.hosted import given_to, lacks_tools
from antiphon.protocol.errors import ApiError, Unavailable


class Candidate(Struct, frozen=True, eq=False):
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
        self._speaker = self._first
        """Who has answered the last turn. What was said before the response is the first's."""
        self._authors: dict[int, tuple[Opaque, Candidate]] = {}
        """From whom what is opaque came, by its identity."""

    @property
    def answering(self) -> Route:
        """Who has answered, or is asked next."""
        return self._candidates[0].route

    async def fit(self, turn: Turn) -> Turn:
        """The turn, within the window of the first that has room for it. Raises InvalidRequest when none
        has."""
        self._attribute(turn)
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
        self._attribute(turn)
        return self._asked(turn, lambda candidate: candidate.window.stream, speaks=True)

    def plain(self, turn: Turn) -> Deltas:
        """The answer to a question of our own."""
        return self._asked(turn, lambda candidate: candidate.plain)

    def beside(self, turn: Turn) -> Deltas:
        """The same from who is answering just now."""
        candidate = self._candidates[0]
        return candidate.route.backend.stream(self._own(candidate, turn))

    async def _asked(self, turn: Turn, way: Callable[[Candidate], Ask], *, speaks: bool = False) -> Deltas:
        """`speaks`: who answers is who speaks."""
        fault: ApiError | None = None
        for candidate in self._readers(turn):
            answered = False
            try:
                own = self._own(candidate, turn)
                if candidate is not self._first:
                    own = await candidate.window.fit(own)
                async with aclosing(way(candidate)(own)) as batches:
                    while not answered:
                        batch = await anext(batches)
                        self._prefer(candidate)
                        if speaks:
                            self._speaker = candidate
                        answered = has_output(batch)
                        pour = yield batch
                    while True:  # no other one will be asked
                        pour = yield await batches.asend(pour)
            except StopAsyncIteration:
                return
            except ApiError as failure:
                fault = fault or failure
                if answered or not _another_may(failure):
                    raise
        assert fault is not None
        raise fault

    def _readers(self, turn: Turn) -> Iterator[Candidate]:
        """Those that can read the turn, and have its tools."""
        for candidate in list(self._candidates):
            can = candidate.route.capabilities
            able = beyond(turn, can) is None and not lacks_tools(turn, can.hosted)
            if candidate is self._first or able:
                yield candidate

    def _attribute(self, turn: Turn) -> None:
        """What is opaque and new came from who spoke last."""
        for message in turn.messages:
            if message.opaque is not None:
                self._authors.setdefault(id(message.opaque), (message.opaque, self._speaker))

    def _own(self, candidate: Candidate, turn: Turn) -> Turn:
        """The turn as the candidate reads it. What goes back as it came goes to where it came from."""
        turn = given_to(turn, candidate.route.name, candidate.route.capabilities.hosted)
        strange = [at for at, message in enumerate(turn.messages) if self._is_strange(candidate, message)]
        if candidate is self._first and not strange:
            return turn
        messages = list(turn.messages)
        for at in strange:
            messages[at] = replace(messages[at], opaque=None)
        return replace(turn, model=candidate.route.model, messages=tuple(messages))

    def _is_strange(self, candidate: Candidate, message: Message) -> bool:
        """Whether it has what only another can read."""
        if message.opaque is None:
            return False
        _, author = self._authors.get(id(message.opaque), (None, self._first))
        return author is not candidate

    def _prefer(self, candidate: Candidate) -> None:
        if self._candidates[0] is not candidate:
            self._candidates.remove(candidate)
            self._candidates.insert(0, candidate)


def _another_may(fault: ApiError) -> bool:
    """Whether another model may answer: also where there was no place, or no room for the context."""
    return another_may(fault) or isinstance(fault, Unavailable) or fault.code == TOO_LONG
