"""A response may take only so long, if the configuration says so."""

import asyncio
from contextlib import aclosing

from antiphon.engine.calling.ask import Ask
from antiphon.model import Deltas, Pour, Turn
from antiphon.protocol.errors import UpstreamTimeout


class Deadline:
    """Waits for answers until `end`, in the loop's time. Who reads them may take as long as he needs."""

    def __init__(self, ask: Ask, end: float) -> None:
        self._ask = ask
        self._end = end

    async def stream(self, turn: Turn) -> Deltas:
        """The answer, if it comes in time. Raises UpstreamTimeout."""
        pour: Pour | None = None
        async with aclosing(self._ask(turn)) as deltas:
            while True:
                try:
                    async with asyncio.timeout_at(self._end):
                        batch = await deltas.asend(pour)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise UpstreamTimeout("The response took longer than this server allows.") from None
                pour = yield batch
