"""What a context holds of a program's calls, as the program gets it when it is played again."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from antiphon.engine.prepare.approvals import decided
from antiphon.engine.prepare.inner_calls import episodes
from antiphon.engine.prepare.interrupted import without_interrupted
from antiphon.engine.prepare.turn_builder import TurnBuilder
from antiphon.model import AudioPart, FilePart, ImagePart, Message, Part, TextPart
from antiphon.model.json_text import read_json
from antiphon.protocol.client_items import CustomToolCallOutput, FunctionCallOutput
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    McpApprovalRequest,
    McpApprovalResponse,
    Program,
)
from antiphon.protocol.item import Item
from antiphon.scripting.program import MOST_CALLS, Recorded
from antiphon.tools.names import safe_name

_ID_DIGITS = 32


Request = tuple[str, Any]
"""The name of a call, and its arguments."""


class Record(NamedTuple):
    """The calls of a program."""

    calls: list[Recorded]
    """Those that were answered."""
    unanswered: Collection[str]
    """The ids of those that the client has not answered yet."""
    asked: Sequence[Request]
    """Those that this response has asked consent for."""


def call_id_of(program: str, index: int) -> str:
    """The call_id of a call, by the program's call_id and the call's number: so it is found again, whoever
    keeps the items."""
    digits = sha256(f"{index} {program}".encode()).hexdigest()
    return f"call_{digits[:_ID_DIGITS]}"


def record_of(
    program: Program,
    before: Sequence[Item],
    own: Sequence[Item],
    turns: TurnBuilder,
    refused: Mapping[str, str],
) -> Record:
    """What the items hold of its calls, those `before` the response and its `own`, and which were `refused`,
    in words, by their ids. Raises InvalidRequest for an answer that cannot be read."""
    items = (*before, *own)
    found = [each for each in episodes(items) if each.program.call_id == program.call_id]
    inner = decided(without_interrupted(found[-1].items)) if found else ()
    messages = turns.transcript.read(inner)
    calls = {call.id: call for message in messages for call in message.calls}
    answers = {message.call_id: message for message in messages if message.role == "tool"}
    failed, indexes = set(_failed(inner)), _indexes(program.call_id)
    answered = [
        _recorded(indexes.get(call_id), call.name, call.arguments, answers[call_id], call_id in failed, turns)
        for call_id, call in calls.items()
        if call_id in answers
    ]
    words = [Recorded(indexes.get(call_id), "", None, None, why) for call_id, why in refused.items()]
    inside = found[-1].items if found else ()
    requests = [item for item in own if isinstance(item, McpApprovalRequest) and item in inside]
    asked = [_request(request) for request in requests]
    return Record([*answered, *words], calls.keys() - answers.keys(), asked)


def _request(item: McpApprovalRequest) -> Request:
    return safe_name(item.name, item.server_label), read_json(item.arguments)


@lru_cache(maxsize=64)
def _indexes(program: str) -> Mapping[str, int]:
    """The numbers of a program's calls, by their ids."""
    return {call_id_of(program, index): index for index in range(MOST_CALLS)}


def _recorded(
    index: int | None, name: str, arguments: str, answer: Message, failed: bool, turns: TurnBuilder
) -> Recorded:
    value = _value(answer.parts, turns.toolbox.returns_json(name))
    fault = (value if isinstance(value, str) else "Error: the call failed") if failed else None
    return Recorded(index, name, read_json(arguments), None if failed else value, fault)


def _value(parts: Sequence[Part], is_json: bool) -> Any:
    """What a program gets of an answer: a text, or its parts when it is not text alone."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if len(texts) < len(parts):
        return [_part(part) for part in parts]
    text = "".join(texts)
    return read_json(text, text) if is_json else text


def _part(part: Part) -> dict[str, str]:
    if isinstance(part, ImagePart):
        return {"type": "input_image", "image_url": part.url, "detail": part.detail}
    if isinstance(part, FilePart):
        return {"type": "input_file", "file_data": part.data, "filename": part.filename}
    if isinstance(part, AudioPart):
        return {"type": "input_audio", "data": part.data, "format": part.format}
    return {"type": "input_text", "text": part.text if isinstance(part, TextPart) else ""}


def _failed(items: Iterable[Item]) -> Iterator[str]:
    """The ids of calls that failed. What a client answers is an answer, whatever its status."""
    for item in items:
        if isinstance(item, McpApprovalResponse):
            yield item.approval_request_id
        elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
            continue
        elif isinstance(item, CodeInterpreterCall) and item.outputs is None:
            yield str(item.id)  # the client kept it without them
        elif getattr(item, "error", None) is not None or getattr(item, "status", None) in _BROKEN:
            yield str(getattr(item, "call_id", None) or item.id)


_BROKEN = ("failed", "incomplete")
