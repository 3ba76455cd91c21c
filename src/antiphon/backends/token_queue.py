"""The logprobs of text that is held back, given out with the characters that they are of."""

from collections import deque
from collections.abc import Iterable

from antiphon.protocol.content import Logprob


class TokenQueue:
    """Tokens in the order of their text."""

    __slots__ = ("_ahead", "_tokens")

    def __init__(self) -> None:
        self._tokens: deque[Logprob] = deque()
        self._ahead = 0
        """Characters of the last token given out that are still to come."""

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def add(self, tokens: Iterable[Logprob]) -> None:
        self._tokens.extend(tokens)

    def take(self, size: int) -> tuple[Logprob, ...]:
        """The tokens that begin within the next so many characters."""
        if not self._tokens:
            self._ahead = 0
            return ()
        found = []
        size -= self._ahead
        while size > 0 and self._tokens:
            found.append(self._tokens.popleft())
            size -= len(found[-1].token)
        self._ahead = max(-size, 0)
        return tuple(found)

    def rest(self) -> tuple[Logprob, ...]:
        """All that are left."""
        left = tuple(self._tokens)
        self._tokens.clear()
        self._ahead = 0
        return left
