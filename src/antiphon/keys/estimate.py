"""How many tokens a request will take, before anybody knows."""

_BYTES = 4
"""Of a body, for each token."""
_MOST_SEEN = 32_000
"""Tokens that a body stands for at most: what is longer is mostly pictures."""
_FIRST = 2048
_FIRST_PART = 8
"""What is reserved before any usage is known, and the part of the limit that it is at most."""


class Estimate:
    """Of one key: what can be seen of a request, and what its answers took beyond that. It follows them up
    at once and down slowly, so it is rather too high: what is not used is given back."""

    def __init__(self, limit: int) -> None:
        self._unseen = float(max(1, min(_FIRST, limit // _FIRST_PART)))

    def seen(self, size: int) -> int:
        """`size`: bytes of a body."""
        return min(size // _BYTES, _MOST_SEEN)

    def of(self, seen: int, output: int | None) -> int:
        """`output`: how many tokens the answer may have; None: as many as it likes."""
        unseen = round(self._unseen)
        return max(1, seen + (unseen if output is None else min(output, unseen)))

    def learn(self, seen: int, tokens: int) -> None:
        more = max(0, tokens - seen) - self._unseen
        self._unseen += more / 2 if more > 0 else more / 8
