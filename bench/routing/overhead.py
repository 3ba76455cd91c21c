"""What a turn costs on its way to a backend: on top of one that is asked directly, and answers at once."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial

from antiphon.backends.gate import Gate, Place
from antiphon.backends.replicas import Replicas
from antiphon.backends.router import Offer, Router
from antiphon.engine.calling.admission import Admission
from antiphon.engine.calling.ask import Ask
from antiphon.model import (
    Backend,
    Capabilities,
    Delta,
    Finished,
    Message,
    Model,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
)
from bench.routing.rounds import Figure, compared

_TIMES = 300
_BATCH = 20
_SAID = [TextDelta(f" word{number}") for number in range(200)]
_CAN = Capabilities()
_END = (UsageDelta(1, 2), Finished("stop"))


class Instant(Backend):
    """Says what it always says."""

    def capabilities(self, model: str) -> Capabilities:
        return _CAN

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        yield ()
        for at in range(0, len(_SAID), _BATCH):
            yield _SAID[at : at + _BATCH]
        yield _END

    async def models(self) -> Sequence[Model]:
        return ()

    async def count_tokens(self, turn: Turn) -> int | None:
        return None

    async def close(self) -> None:
        pass


def conversation(exchanges: int, instructions: int = 400) -> Turn:
    """One with so many questions that were answered. `instructions`: their length."""
    messages = [Message("system", (TextPart("x" * instructions),))]
    for number in range(exchanges):
        messages += [Message("user", (TextPart(f"question {number}"),))]
        messages += [Message("assistant", (TextPart(f"answer {number}"),))]
    return Turn("m", (*messages, Message("user", (TextPart("And then?"),))))


async def measured() -> dict[str, Figure]:
    """By case, in microseconds."""
    return await compared(_cases())


def _cases() -> dict[str, Callable[[], Awaitable[int]]]:
    short, long, wordy = conversation(1), conversation(20), conversation(1, instructions=40_000)
    bare = Instant()
    one, three = _replicas(1), _replicas(3)
    gate = Gate(8)
    gated = Admission(three.stream, gate, Place("project")).stream
    router = Router(
        [
            Offer(three, {"m": "", "llama-*": ""}, True, "first", gate, ("second",)),
            Offer(bare, {"o": ""}, False, "second"),
        ]
    )
    return {
        "the backend alone": partial(_asked, bare.stream, short),
        "one server, with a time for its first byte": partial(_asked, one.stream, short),
        "three servers": partial(_asked, three.stream, short),
        "three servers, 41 messages": partial(_asked, three.stream, long),
        "three servers, 40,000 characters of instructions": partial(_asked, three.stream, wordy),
        "three servers, and a bound on how much is asked": partial(_asked, gated, short),
        "all that, found by the name of the model": partial(_asked, gated, short, router),
    }


def _replicas(count: int) -> Replicas:
    return Replicas([(f"http://{number}.example/v1", Instant()) for number in range(count)], patience=60.0)


async def _asked(ask: Ask, turn: Turn, router: Router | None = None) -> int:
    for _ in range(_TIMES):
        if router is not None:
            router.candidates(router.resolve("llama-4"), "llama-4")
        async for _ in ask(turn):
            pass
    return _TIMES
