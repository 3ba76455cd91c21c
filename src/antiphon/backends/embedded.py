"""Models that run here: how each is spoken to, and what it can, by what its file says."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.dialects import LLAMA_CPP, Dialect
from antiphon.backends.payload import capabilities
from antiphon.model import Capabilities
from antiphon.weights.gguf import Gguf

CONTEXT_WINDOW: Final = 8192
"""Tokens of each answer's context, unless more is asked for: memory is taken for all of them at the start."""
_EFFORTS: Final = ("enable_thinking", "reasoning_effort")
"""Variables by which templates switch reasoning."""


class Embedded(Struct, frozen=True):
    """A model that runs here."""

    dialect: Dialect
    window: int = CONTEXT_WINDOW
    """Tokens of its context."""
    max_output_tokens: int | None = None
    """Of an answer of which no request says how long it may be; None: as many as the model likes."""

    @property
    def can(self) -> Capabilities:
        return replace(capabilities(self.dialect), context_window=self.window)

    def within(self, window: int) -> "Embedded":
        """With so many tokens of context."""
        return replace(self, window=window)


def described(file: Gguf) -> Embedded:
    """By its template: a function that a template does not write down never reaches the model."""
    dialect = replace(
        LLAMA_CPP,
        tools="tools" in file.template,
        effort=LLAMA_CPP.effort if any(word in file.template for word in _EFFORTS) else "",
        images=False,
        audio=False,
    )
    return Embedded(dialect, default_window(file))


def default_window(file: Gguf) -> int:
    """Tokens of context when nobody says how many."""
    return min(file.context or CONTEXT_WINDOW, CONTEXT_WINDOW)


# Its template is plain ChatML: it takes any order of roles, and knows neither functions nor reasoning.
SMOLLM2: Final = Embedded(
    dialect=replace(
        LLAMA_CPP,
        late_system="system",
        alternate=False,
        needs_user=False,
        refill=False,
        tools=False,
        parallel="never",
        effort="",
        think_tags=False,
        images=False,
        audio=False,
    ),
    max_output_tokens=1024,
)
