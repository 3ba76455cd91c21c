"""How the wire is written as types.

Every JSON object of the API is a `Wire`. Three habits say all there is to say about a member:

    name: str                       it must be there
    name: str | None = None         it may be left out or null; it is not written when it is None
    name: str | None = shown(None)  it may be left out or null; it is always written

A class in which a member that must be there stands behind one that may be left out says `kw_only=True`.
A member with a default that is not None is declared with `shown` too, so that it is always written.
Limits are written in the type (`Annotated[int, Meta(ge=16)]`), members stand in the order in which the
API checks them, and the values of a `Literal` in the order in which it lists them: `validate` reads
the same types to say what is wrong with a request that does not fit.
"""

from itertools import repeat
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

JsonObject = dict[str, Any]


class Wire(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A JSON object of the API: data, never part of a cycle, so that the garbage collector need not look."""


def shown(value: T) -> T:
    """A default that is written to the wire even though it is the default. It is given without a step of
    Python: a response has a dozen of them."""
    return msgspec.field(default_factory=repeat(value).__next__)


def shown_list() -> Any:
    """An empty list that is written to the wire; a new one for each object."""
    return msgspec.field(default_factory=_empty)


def _empty() -> list[Any]:
    """Not `list` itself: msgspec leaves out what equals the default of that factory."""
    return []


# Limits from the reference pages of /responses and /conversations.
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
CallId = Annotated[str, Meta(min_length=1, max_length=64)]

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
