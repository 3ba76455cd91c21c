"""What stands between a turn and its server lets the answer be poured as soon as nobody else can be asked."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest

from antiphon.backends.gate import Gate, Place
from antiphon.backends.replicas import Replicas
from antiphon.backends.router import Route
from antiphon.engine.calling.admission import Admission
from antiphon.engine.calling.ask import Ask
from antiphon.engine.calling.fallbacks import Candidate, Fallbacks
from antiphon.engine.calling.retry import Retries
from antiphon.engine.calling.truncation import Truncation
from antiphon.model import Backend, Capabilities, Delta, Deltas, TextDelta, Turn
from antiphon.protocol.errors import UpstreamError

WORDS = [(TextDelta(word),) for word in ("Salt", " is", " old", ",", " so", " is", " the", " sea", ".")]


class Server(Backend):
    """Pours what it may, and notes what it could not."""

    def __init__(self, fault: UpstreamError | None = None) -> None:
        self.yielded: list[Sequence[Delta]] = []
        self.asked = 0
        self._fault = fault

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def stream(self, turn: Turn) -> Deltas:
        self.asked += 1
        pour = yield ()
        for batch in WORDS:
            if pour is None:
                self.yielded.append(batch)
                pour = yield batch
            elif not pour(batch):
                pour = yield ()
        if self._fault is not None:
            raise self._fault


def replicas(server: Server) -> Ask:
    return Replicas([("http://a.example", server), ("http://b.example", server)], patience=60.0).stream


def gate(server: Server) -> Ask:
    return Admission(server.stream, Gate(1), Place("project")).stream


def retries(server: Server) -> Ask:
    return Retries(server.stream, (0.0, 0.0)).stream


def truncation(server: Server) -> Ask:
    return Truncation(server.stream, server, window=None, truncates=True, pinned=0).stream


def fallbacks(server: Server) -> Ask:
    window = Truncation(server.stream, server, window=None, truncates=False, pinned=0)
    route = Route(server, "m", Capabilities())
    return Fallbacks([Candidate(route, server.stream, window)]).stream


def all_of_them(server: Server) -> Ask:
    gated = Admission(replicas(server), Gate(1), Place("project")).stream
    return Retries(Truncation(gated, server, window=None, truncates=True, pinned=0).stream, (0.0,)).stream


LAYERS = [replicas, gate, retries, truncation, fallbacks, all_of_them]


async def heard(ask: Ask) -> list[Sequence[Delta]]:
    """What is said, of which every fifth batch is enough for the moment."""
    found: list[Sequence[Delta]] = []
    numbers = itertools.count(1)

    def pour(batch: Sequence[Delta]) -> bool:
        found.append(batch)
        return next(numbers) % 5 != 0

    async with aclosing(ask(Turn("m", ()))) as deltas:
        found.append(await anext(deltas))
        try:
            while True:
                found.append(await deltas.asend(pour))
        except StopAsyncIteration:
            return [batch for batch in found if batch]


@pytest.mark.parametrize("layer", LAYERS)
async def test_it_is_poured_from_the_first_word_on_and_whole(layer: Callable[[Server], Ask]) -> None:
    server = Server()
    assert await heard(layer(server)) == WORDS
    assert len(server.yielded) <= 1


@pytest.mark.parametrize("layer", LAYERS)
async def test_who_fails_while_it_pours_is_not_asked_again(layer: Callable[[Server], Ask]) -> None:
    server = Server(UpstreamError("It is gone.", retry_after=0))
    with pytest.raises(UpstreamError):
        await heard(layer(server))
    assert server.asked == 1
