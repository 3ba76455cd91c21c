"""What a connection remembers of responses that are not stored.

Codex sends its whole input once, and then only what is new, with `store: false` throughout: the newest
response of a connection can be continued although it is kept nowhere (behaviours.md section 8).
"""

from collections.abc import Sequence

from antiphon.protocol.item import Item


class Memory:
    """The newest response of each lane of a connection, for the `most` lanes that were used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lanes: dict[str | None, tuple[str, Sequence[Item]]] = {}

    def find(self, response_id: str) -> Sequence[Item] | None:
        """The context and output of a response that is remembered."""
        for known, items in self._lanes.values():
            if known == response_id:
                return items
        return None

    def keep(self, lane: str | None, response_id: str, items: Sequence[Item]) -> None:
        """Remember a response instead of the one before it."""
        self.forget(lane)
        self._lanes[lane] = (response_id, items)
        if len(self._lanes) > self._most:
            self.forget(next(iter(self._lanes)))

    def forget(self, lane: str | None) -> None:
        """A failed turn takes what it continued with it."""
        self._lanes.pop(lane, None)
