"""A turn waits until its backend may be asked, where the configuration bounds how much is asked at once."""

from contextlib import aclosing, suppress

from antiphon.backends.gate import Gate, Place
from antiphon.engine.calling.ask import Ask
from antiphon.model import Deltas, Pour, Turn


class Admission:
    """`place`: who asks."""

    def __init__(self, ask: Ask, gate: Gate, place: Place) -> None:
        self._ask = ask
        self._gate = gate
        self._place = place

    async def stream(self, turn: Turn) -> Deltas:
        """The answer. Raises Unavailable where too many wait."""
        pour: Pour | None = None
        async with self._gate.entered(self._place), aclosing(self._ask(turn)) as deltas:
            with suppress(StopAsyncIteration):
                while True:
                    pour = yield await deltas.asend(pour)
