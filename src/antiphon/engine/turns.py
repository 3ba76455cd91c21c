"""From one turn of the model to the next."""

from collections.abc import Collection

from msgspec.structs import replace

from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import Function, NamedFunction, Turn

REPAIRS = 3
"""How often in a row the model is asked again for a call that was not valid."""
TURNS = 100
"""How many turns of the model a response may take."""


def following(turn: Turn, writer: TurnWriter, functions: tuple[Function, ...]) -> Turn:
    """The turn that follows: the model reads what it wrote, and what became of its calls. A call that was
    forced has been made then, unless it has to be made again."""
    messages = (*turn.messages, writer.spoken(), *writer.answers)
    after = replace(turn, messages=messages, functions=functions)
    return after if writer.faults else freed(after)


def offered(turn: Turn) -> Collection[str]:
    """The functions that the model may call."""
    if isinstance(turn.choice, NamedFunction):
        return (turn.choice.name,)
    if turn.choice == "none" or not turn.functions:
        return ()
    return frozenset(function.name for function in turn.functions)


def freed(turn: Turn) -> Turn:
    """A turn in which nothing must be called any more."""
    return turn if turn.choice == "none" else replace(turn, choice="auto")
