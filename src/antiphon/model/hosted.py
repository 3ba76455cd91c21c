"""Turns for models whose servers do not run the tools that another one runs itself."""

from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec.structs import replace

from antiphon.model.turn import Function, HostedPart, Message, Part, Turn

Strange = Callable[[HostedPart], bool]


def lacks_tools(turn: Turn, hosted: Collection[str]) -> bool:
    """Whether the turn offers a tool that neither the model's server nor this one runs. `hosted`: those that
    the former does."""
    tools = (each.hosted for each in turn.functions if turn.choice != "none" and each.hosted is not None)
    return any(tool.kind not in hosted and not tool.here for tool in tools)


def given_to(turn: Turn, backend: str | None, hosted: Collection[str]) -> Turn:
    """The turn for a model of a backend: tools that its server does not run are run here, and what another's
    did it reads in words."""
    functions = tuple(_given(turn.functions, hosted))
    turn = turn if functions == turn.functions else replace(turn, functions=functions)
    return in_words(turn, lambda part: part.backend != backend)


def in_words(turn: Turn, strange: Strange) -> Turn:
    """The turn, with words for what some tools of servers did."""
    if not any(_is_strange(part, strange) for message in turn.messages for part in message.parts):
        return turn
    messages = tuple(each for message in turn.messages for each in _in_words(message, strange))
    return replace(turn, messages=messages)


def _given(functions: Sequence[Function], hosted: Collection[str]) -> Iterator[Function]:
    for function in functions:
        if function.hosted is None or function.hosted.kind in hosted:
            yield function
        elif function.hosted.here:
            yield replace(function, hosted=None)


def _is_strange(part: Part, strange: Strange) -> bool:
    return isinstance(part, HostedPart) and strange(part)


def _in_words(message: Message, strange: Strange) -> Iterator[Message]:
    """The message, with what it has of such tools in messages of their own, where it stood."""
    rest, said = replace(message, parts=()), list[Part]()
    for part in message.parts:
        if not (isinstance(part, HostedPart) and strange(part)):
            said.append(part)
            continue
        if said or rest.reasoning or rest.opaque:
            yield replace(rest, parts=tuple(said), calls=())
            rest, said = replace(rest, reasoning="", opaque=None), []
        yield from part.reads
    if said or rest.calls or rest.reasoning or rest.opaque:
        yield replace(rest, parts=tuple(said))
