"""What was said and called, for spans that may have it: JSON, in the form of OpenTelemetry's conventions.

It is bounded, whatever a context holds: long texts are cut, the oldest messages are left out, and files are
named by their kind alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from antiphon.model import Function, Message, Part, TextPart, Turn
from antiphon.model.turn import leading
from antiphon.protocol.wire import encode
from antiphon.telemetry.tracing import Attributes

TEXT: Final = 4_096
"""Characters of a text."""
MOST: Final = 32_768
"""Bytes of an attribute, where it is a list."""
PARTS: Final = 32
"""Of a message."""
_REASONS: Final = {"calls": "tool_call", None: "error"}


def exchanged(turn: Turn, answer: Message, finished: str | None) -> Attributes:
    """What a model read in a turn, and what it said."""
    count = leading(turn.messages)
    instructions, rest = turn.messages[:count], turn.messages[count:]
    said = {**_message(answer), "finish_reason": reason(finished)}
    found = {
        "gen_ai.system_instructions": _listed(_text(each.text) for each in instructions),
        "gen_ai.input.messages": _listed(map(_message, reversed(rest)), newest_first=True),
        "gen_ai.tool.definitions": _listed(map(_function, turn.functions)),
        "gen_ai.output.messages": _listed([said]),
    }
    return {name: value for name, value in found.items() if value != "[]"}


def called(arguments: str, result: Sequence[Part]) -> Attributes:
    """What a tool was called with, and what the model reads of it."""
    return {
        "gen_ai.tool.call.arguments": _cut(arguments),
        "gen_ai.tool.call.result": _cut("".join(part.text for part in result if isinstance(part, TextPart))),
    }


def reason(finished: str | None) -> str:
    """Why a turn ended, as the conventions call it."""
    return _REASONS.get(finished) or str(finished)


def _listed(entries: Iterable[Any], *, newest_first: bool = False) -> str:
    """As many as there is room for, in their order."""
    taken: list[bytes] = []
    left = MOST
    for entry in map(encode, entries):
        left -= len(entry) + 1
        if left < 0:
            break
        taken.append(entry)
    return f"[{b','.join(reversed(taken) if newest_first else taken).decode()}]"


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": list(islice(_parts(message), PARTS))}


def _parts(message: Message) -> Iterator[dict[str, Any]]:
    if message.reasoning:
        yield {"type": "reasoning", "content": _cut(message.reasoning)}
    if message.role == "tool":
        yield {"type": "tool_call_response", "id": message.call_id, "response": _cut(message.text)}
    else:
        for part in message.parts:
            yield _text(part.text) if isinstance(part, TextPart) else {"type": _kind(part)}
    for call in message.calls:
        yield {"type": "tool_call", "id": call.id, "name": call.name, "arguments": _cut(call.arguments)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": _cut(text)}


def _kind(part: Part) -> str:
    """`image`, `audio` or `file`."""
    return str(part.__struct_config__.tag)


def _function(function: Function) -> dict[str, Any]:
    return {"type": "function", "name": function.name, "description": _cut(function.description)}


def _cut(text: str) -> str:
    """Half a character, as some servers send it, becomes a whole one: JSON cannot carry it."""
    cut = text if len(text) <= TEXT else f"{text[:TEXT]}…"
    return cut if cut.isascii() else cut.encode(errors="replace").decode()
