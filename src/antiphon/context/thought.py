"""What the model thought and did not show: sealed into the `encrypted_content` of a reasoning item.

It is the reasoning's text, and what the model's server wants back as it came (`model.opaque`). The latter
goes to nobody but the model that gave it: another could not read it, and might refuse it.
"""

import msgspec
from msgspec import Struct

from antiphon.context.seal import Seal
from antiphon.model import Opaque

_TEXT = "reasoning"
_WHOLE = "reasoning with signatures"
"""What it is sealed as: the first is a text alone."""

Source = tuple[str, str]
"""A backend, by its name, and the model."""


class Thought(Struct, frozen=True):
    """It is stored, and clients keep it: names are for good."""

    text: str = ""
    opaque: Opaque = Opaque()
    source: Source = ("", "")

    def opaque_for(self, source: Source) -> Opaque | None:
        """What goes back to this model."""
        return self.opaque if self.opaque and source == self.source else None


def seal(by: Seal, project: str, thought: Thought) -> str:
    """A thought that only this installation reads, for this project."""
    if not thought.opaque:
        return by.seal(project, _TEXT, thought.text)
    return by.seal(project, _WHOLE, msgspec.json.encode(thought).decode())


def unseal(by: Seal, project: str, sealed: str) -> Thought | None:
    """None: it was not sealed here, for this project."""
    text = by.open(project, _TEXT, sealed)
    if text is not None:
        return Thought(text)
    whole = by.open(project, _WHOLE, sealed)
    return None if whole is None else msgspec.json.decode(whole, type=Thought)
