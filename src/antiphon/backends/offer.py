"""The functions that a turn offers, and which of them a model means."""

import re
from collections.abc import Iterable, Sequence

from antiphon.model import Function, JsonSchema, NamedFunction, Turn

_ORNAMENT = "<|"
"""What some templates leave behind a name begins with this."""
_NUMBER = re.compile(r":\d+\Z")
"""Kimi numbers the calls of an answer: `functions.get_weather:0`."""


def offered(turn: Turn) -> Sequence[Function]:
    """The functions that the answer may call."""
    if turn.choice == "none":
        return ()
    if isinstance(turn.choice, NamedFunction):
        name = turn.choice.name
        return [function for function in turn.functions if function.name == name]
    # A grammar leaves no room for a call, and "auto" does not demand one.
    held = not isinstance(turn.format, str | JsonSchema)
    return () if held and turn.choice == "auto" else turn.functions


def has_hosted(turn: Turn) -> bool:
    """Whether the answer may use a tool that the model's server runs itself."""
    return any(function.hosted is not None for function in offered(turn))


def meant(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that is meant: itself, or the only one left without a template's ornaments."""
    if name in names:
        return name
    plain = _NUMBER.sub("", name.partition(_ORNAMENT)[0].strip())
    found = [each for each in names if plain == each or plain.endswith((f".{each}", f":{each}"))]
    return found[0] if len(found) == 1 else None


class Offer:
    """Functions by the names that a model gives them."""

    __slots__ = ("_functions",)

    def __init__(self, functions: Iterable[Function]) -> None:
        self._functions = {function.name: function for function in functions}

    def find(self, name: str) -> Function | None:
        """The function that is meant, if it is on offer."""
        known = meant(name, self._functions)
        return None if known is None else self._functions[known]
