"""How many bytes are held for all requests together."""


class OverBudget(Exception):
    """There is no room for more now."""


class Budget:
    """Bytes that may be held at once, and how many are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def take(self, size: int) -> None:
        """Raises OverBudget; nothing is taken then."""
        if self.held + size > self._most:
            raise OverBudget
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size
