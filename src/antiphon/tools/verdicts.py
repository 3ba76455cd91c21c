"""What was found out about definitions of clients, remembered: most come again with each request."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256


class Verdicts:
    """What is wrong with the newest `most` definitions that were asked for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, str | None] = OrderedDict()

    async def of(self, definition: bytes, find: Callable[[], Awaitable[str | None]]) -> str | None:
        """What `find` says of a definition, or said of it before. What it raises is not remembered."""
        key = sha256(definition).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        fault = self._known[key] = await find()
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return fault
