"""What code prints, as a model reads it: whole, or its beginning and its end."""

LONGEST = 30_000
"""Characters, for a model whose window is not known."""
_SHARE = 1
"""Characters for each token of the window: about a quarter of it."""


def shortened(text: str, window: int | None = None) -> str:
    """`window`: tokens that the model reads."""
    most = LONGEST if window is None else min(LONGEST, window * _SHARE)
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters are left out here]\n{text[-half:]}"
