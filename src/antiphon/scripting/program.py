"""What is known of a program when it is played, and how far it comes."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from antiphon.guard.json_depth import is_deeper

MOST_CALLS = 1000
"""Calls of one program."""
MOST_PARTS = 10_000
"""Parts that one may write."""
LONGEST_FAULT = 10_000
"""Characters of what went wrong."""
LONGEST = 10_485_760
"""Characters that a program may write, and tell its tools (surface.md section 3)."""


class Recorded(Struct, frozen=True, array_like=True):
    """A call that was made before, and what came of it."""

    index: int | None
    """Which call of the program it is; None: the first with its name and arguments that nobody has taken."""
    name: str
    arguments: Any
    value: Any = None
    fault: str | None = None
    """With what its promise is rejected."""


class Script(Struct, frozen=True, array_like=True):
    """A program, and all that it depends on."""

    code: str
    tools: dict[str, str | None]
    """The names that it can call, each with the member that a text stands for, if one does."""
    seed: int
    now: int
    """Its own time, in milliseconds since the epoch."""
    recorded: list[Recorded] = []


class Called(Struct, frozen=True, array_like=True):
    """A call that waits for its answer."""

    index: int
    name: str
    arguments: str
    """JSON."""


class Written(Struct, frozen=True, array_like=True):
    """A part of what it wrote."""

    kind: str
    """`text`, or `image`."""
    content: str
    """The words, or the data URL."""
    detail: str = ""
    """Of an image."""


class Played(Struct, frozen=True, array_like=True):
    """How far a program came with what was recorded. Whoever reads it trusts none of it: the program may have
    got hold of all that is in its process."""

    calls: Annotated[list[Called], Meta(max_length=MOST_CALLS)]
    """Those that it waits for; without any it has ended."""
    parts: Annotated[list[Written], Meta(max_length=MOST_PARTS)]
    fault: str | None = None
    """What went wrong, if it has ended and something did."""
    seconds: float = 0.0
    """Of processor time that this took."""


def check(played: Played, script: Script) -> None:
    """Raises ValueError, with words for the model, for what a program cannot come to unless it got hold of
    what it runs in; and for arguments that could not be passed on."""
    indexes = {call.index for call in played.calls}
    if len(indexes) < len(played.calls) or not all(0 <= index < MOST_CALLS for index in indexes):
        raise ValueError(f"a program may make {MOST_CALLS} calls, each once")
    if len(played.parts) > MOST_PARTS or len(played.fault or "") > LONGEST_FAULT:
        raise ValueError(f"a program may write {MOST_PARTS} parts")
    told = sum(len(call.arguments) for call in played.calls)
    written = sum(len(part.content) + len(part.detail) for part in played.parts)
    if max(told, written) > LONGEST:
        raise ValueError("the program's output or the arguments of its calls are too large")
    for call in played.calls:
        _check_call(call, script)


def _check_call(call: Called, script: Script) -> None:
    if call.name not in script.tools:
        raise ValueError("the program called what is no tool")
    if is_deeper(call.arguments.encode()):
        raise ValueError(f"the arguments of tools.{call.name}() are nested too deeply")
    msgspec.json.decode(call.arguments, type=msgspec.Raw)
