"""What a model reads of what is long: the beginning and the end of a text, the first of many names."""

from collections.abc import Sequence

LONGEST = 30_000
"""Characters, for a model whose window is not known."""
_SHARE = 1
"""Characters for each token of the window: about a quarter of it."""


def first_of(names: Sequence[str], most: int) -> str:
    """Names in a row, at most so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shortened(text: str, window: int | None = None) -> str:
    """`window`: tokens that the model reads."""
    most = LONGEST if window is None else min(LONGEST, window * _SHARE)
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out here]\n{text[-half:]}"
