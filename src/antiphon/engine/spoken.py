"""What the model has said in a turn, in the pieces in which it came."""

from collections.abc import Iterator
from itertools import groupby

from antiphon.context.transcript import BLANK_LINE
from antiphon.model import HostedPart, Part, TextPart


class Spoken(list[str | HostedPart]):
    """Texts, and what counts of the tools that the model's server has run."""

    def begin_text(self) -> None:
        """What comes now is another text than the one before."""
        if self and isinstance(self[-1], str):
            self.append(BLANK_LINE)

    def text_from(self, begin: int) -> str:
        """The text of the pieces from one on."""
        return "".join(piece for piece in self[begin:] if isinstance(piece, str))

    def parts(self) -> Iterator[Part]:
        """The same, as a message has it."""
        for kind, pieces in groupby(self, type):
            if kind is HostedPart:
                yield from (piece for piece in pieces if isinstance(piece, HostedPart))
            else:
                yield TextPart("".join(piece for piece in pieces if isinstance(piece, str)))
