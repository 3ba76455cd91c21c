"""Who says whether a text or an image may pass."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from antiphon.model.turn import ImagePart, TextPart
from antiphon.protocol.moderation import Verdict

Content = tuple[TextPart | ImagePart, ...]
"""What is judged together."""


class Judged(Struct, frozen=True):
    """What was found, and by whom."""

    model: str
    verdicts: Sequence[Verdict]
    """One for each content, in their order."""


class Judge(Protocol):
    """Something that judges. `name`: the model, as it is known here."""

    name: str

    @property
    def sees(self) -> bool:
        """Whether it can judge images."""
        ...

    async def judge(self, contents: Sequence[Content]) -> Judged:
        """Raises ApiError when it cannot."""
        ...

    async def close(self) -> None: ...
