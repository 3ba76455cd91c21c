"""Models of which the configuration says more than who answers to their name."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.around import Around
from antiphon.model import Backend, Capabilities


class NamedModel(Struct, frozen=True, kw_only=True):
    """What is said of a model."""

    name: str
    """Under which it is asked for."""
    aliases: Sequence[str] = ()
    """Other names or patterns for it."""
    fallbacks: Sequence[str] = ()
    """Models or backends that answer in its place."""
    instructions: str | None = None
    """Instructions that come before all others."""
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    capabilities: Mapping[str, Any] = {}
    """Members of `Capabilities` in place of what its backend says."""


class Rated(Around):
    """A backend with models that can other things than it says: `known`, by its own names."""

    def __init__(self, inner: Backend, known: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(inner)
        self._known = known

    def capabilities(self, model: str) -> Capabilities:
        can = self.inner.capabilities(model)
        return replace(can, **self._known[model]) if model in self._known else can
