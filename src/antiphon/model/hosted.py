"""Turns for models whose servers do not run the tools that another one runs itself."""

from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import replace

from antiphon.model.turn import Function, HostedPart, Message, Part, Turn


def lacks_tools(turn: Turn, hosted: Collection[str]) -> bool:
    """Whether the turn offers a tool that neither the model's server nor this one runs. `hosted`: those that
    the former does."""
    strange = (each.hosted for each in turn.functions if turn.choice != "none" and each.hosted is not None)
    return any(tool.kind not in hosted and not tool.here for tool in strange)


def given_to(turn: Turn, backend: str | None, hosted: Collection[str]) -> Turn:
    """The turn for a model of a backend: tools that its server does not run are run here, and what another's
    ran it reads in words."""
    functions = tuple(_given(turn.functions, hosted))
    messages = turn.messages
    if any(_is_strange(part, backend) for message in messages for part in message.parts):
        messages = tuple(each for message in messages for each in _in_words(message, backend))
    if messages is turn.messages and functions == turn.functions:
        return turn
    return replace(turn, functions=functions, messages=messages)


def _given(functions: Sequence[Function], hosted: Collection[str]) -> Iterator[Function]:
    for function in functions:
        if function.hosted is None or function.hosted.kind in hosted:
            yield function
        elif function.hosted.here:
            yield replace(function, hosted=None)


def _is_strange(part: Part, backend: str | None) -> bool:
    return isinstance(part, HostedPart) and part.backend != backend


def _in_words(message: Message, backend: str | None) -> Iterator[Message]:
    """The message, with what strangers did in messages of their own, where it stood."""
    rest, said = replace(message, parts=()), list[Part]()
    for part in message.parts:
        if isinstance(part, HostedPart) and part.backend != backend:
            if said or rest.reasoning or rest.opaque:
                yield replace(rest, parts=tuple(said), calls=())
                rest, said = replace(rest, reasoning="", opaque=None), []
            yield from part.reads
        else:
            said.append(part)
    if said or rest.calls or rest.reasoning or rest.opaque:
        yield replace(rest, parts=tuple(said))
