"""Where in a text a call begins, or may begin: the heads of `syntaxes`, looked for."""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, Literal

from msgspec import Struct

from antiphon.backends.marks import Marks
from antiphon.backends.offer import Offer
from antiphon.backends.syntaxes import ALONE, ANYWHERE, IDENTIFIER, NAME, SPACE, Head, Here, Syntax

WHITE: Final = " \t\r\n"

_Entry = tuple[Head, Syntax]


class Begun(Struct, frozen=True):
    """A call whose head is whole."""

    syntax: Syntax
    name: str
    """As the model wrote it; empty when the head has none."""
    body: int
    """Where the body begins."""


class Unsure(Enum):
    """The text ends before it is known whether a call begins."""

    YET = auto()


Found = Begun | Literal[Unsure.YET] | None


def begun(entries: Iterable[_Entry], text: str, at: int, offer: Offer) -> Found:
    """The call that begins at this place, if it may be one of a function on offer."""
    unsure = False
    for head, syntax in entries:
        found = _read(head, text, at, offer)
        if found is Unsure.YET:
            unsure = True
        elif found is not None:
            return Begun(syntax, *found)
    return Unsure.YET if unsure else None


def _read(head: Head, text: str, at: int, offer: Offer) -> tuple[str, int] | Literal[Unsure.YET] | None:
    """The name in a head, and where its body begins; None as soon as it is not one of a function on offer."""
    name, body, end = "", -1, len(text)
    for step in head:
        if isinstance(step, str):
            if not text.startswith(step, at):
                return Unsure.YET if step.startswith(text[at:]) else None
            at += len(step)
        elif isinstance(step, Here):
            body = at
        else:
            found = step.match(text, at)
            if found is None or found.end() == end:
                return Unsure.YET if at == end or found is not None else None
            at = found.end()
            if step is NAME or step is IDENTIFIER:
                name = found[0]
                if offer.find(name) is None:
                    return None
    return name, body


# ---- in the middle of a text ------------------------------------------------------------------------


def _by_opening(syntaxes: Sequence[Syntax]) -> dict[str, list[_Entry]]:
    """What follows in all heads, with and without what may be wrapped around them, by the mark that they
    begin with."""
    found: dict[str, list[_Entry]] = {}
    for syntax in syntaxes:
        for head in syntax.heads:
            for whole in (head, *((wrap, SPACE, *head) for wrap in syntax.wraps)):
                found.setdefault(str(whole[0]), []).append((whole[1:], syntax))
    return found


_ENTRIES: Final = _by_opening(ANYWHERE)
FIRST_MARKS: Final = tuple(_ENTRIES)
"""What a call may begin with."""
OPENINGS: Final = Marks(FIRST_MARKS)


def begun_with(mark: str, text: str, at: int, offer: Offer) -> Found:
    """The call that begins with a mark at this place."""
    return begun(_ENTRIES[mark], text, at + len(mark), offer)


# ---- at the beginning of a text ---------------------------------------------------------------------

_ALONE: Final[Sequence[_Entry]] = [((SPACE, *head), syntax) for syntax in ALONE for head in syntax.heads]


def begun_alone(text: str, offer: Offer) -> Found:
    """The call that a text consists of, so far."""
    return begun(_ALONE, text, 0, offer)


def begun_again(syntax: Syntax, text: str, offer: Offer) -> Found:
    """Another call behind one of this syntax."""
    return begun([((SPACE, *head), syntax) for head in syntax.more], text, 0, offer)
