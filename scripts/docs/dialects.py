"""The dialects of Chat Completions that are known, for docs/configuration.md."""

from antiphon.backends.dialects import DIALECTS


def names(_: str) -> str:
    """All of them, in the order of the code."""
    return f"Known dialects: {', '.join(f'`{name}`' for name in DIALECTS)}."
