"""How often a turn of a chain comes to the server that has its beginning in its cache."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import count, pairwise

from antiphon.backends.replicas import Replicas
from antiphon.model import Delta, Finished, Message, TextDelta, TextPart, Turn
from bench.routing.overhead import Instant

_CHAINS, _TURNS, _AT_ONCE = 200, 6, 16


class Named(Instant):
    """Says who it is and something that nobody said before, after a moment."""

    numbers = count()

    def __init__(self, name: str) -> None:
        self._name = name

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        yield ()
        await asyncio.sleep(0)
        yield (TextDelta(f"{self._name} says {next(self.numbers)}."), Finished("stop"))


async def measured() -> dict[str, float]:
    """By kind of chains, the share of turns that came where the one before was."""
    return {
        "chains that begin with words of their own": await _share("Question {}"),
        "chains that all begin with the same words": await _share("Hello"),
    }


async def _share(beginning: str) -> float:
    replicas = Replicas([(f"http://{name}.example/v1", Named(name)) for name in "abc"])
    places = asyncio.Semaphore(_AT_ONCE)

    async def chain(number: int) -> int:
        async with places:
            return await _stayed(replicas, beginning.format(number))

    stayed = await asyncio.gather(*(chain(number) for number in range(_CHAINS)))
    return sum(stayed) / (_CHAINS * (_TURNS - 1))


async def _stayed(replicas: Replicas, beginning: str) -> int:
    """Of a chain's later turns, how many came where the one before was."""
    messages, answers = [Message("user", (TextPart(beginning),))], list[str]()
    for _ in range(_TURNS):
        answer = ""
        async for batch in replicas.stream(Turn("m", tuple(messages))):
            answer += "".join(delta.text for delta in batch if isinstance(delta, TextDelta))
        answers.append(answer)
        messages += [Message("assistant", (TextPart(answer),)), Message("user", (TextPart("And then?"),))]
    return sum(first[0] == second[0] for first, second in pairwise(answers))
