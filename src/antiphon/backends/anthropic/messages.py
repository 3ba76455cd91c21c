"""Neutral messages as the messages of the Messages API: blocks, in turns of user and assistant."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby

import msgspec

from antiphon.backends.anthropic.caching import MARK, mark
from antiphon.backends.anthropic.stream import THINKING
from antiphon.backends.messages import CONTINUE
from antiphon.backends.placed import given, placed
from antiphon.backends.wire_turns import Ordered, in_words
from antiphon.model import AudioPart, Call, FilePart, HostedPart, ImagePart, Message, Part, TextPart
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import JsonObject

_ID = re.compile(r"[A-Za-z0-9_-]+\Z")
_DATA = re.compile(r"data:([^;,]+);base64,(.*)\Z", re.S)
_NO_RESULT = "This call has no result."


def system(messages: Iterable[Message]) -> list[JsonObject]:
    """The messages that lead, as blocks."""
    return [block for message in messages for block in _blocks(message.parts)]


def messages(said: Ordered, *, signed: bool) -> list[JsonObject]:
    """The conversation. `signed`: thoughts are not taken back without their signatures."""
    wire: list[JsonObject] = []
    asked: list[str] = []
    for role, group in groupby(enumerate(said.said), lambda each: _role(each[1])):
        blocks: list[JsonObject] = []
        for at, message in group:
            if role == "assistant":
                blocks += _assistant(message, signed=signed, goes_on=said.goes_on(at))
            else:
                blocks += [_result(message)] if message.role == "tool" else _blocks(message.parts)
        if role == "user":
            blocks = _results_first(blocks, asked)
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if blocks:
            wire.append({"role": role, "content": blocks})
    return _from_user(wire)


def _role(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _from_user(wire: list[JsonObject]) -> list[JsonObject]:
    """It is the user who begins. Messages without content are left out: neighbours may have become equal."""
    found: list[JsonObject] = []
    for message in wire:
        if found and found[-1]["role"] == message["role"]:
            found[-1]["content"] += message["content"]
        else:
            found.append(message)
    if not found or found[0]["role"] != "user":
        found.insert(0, {"role": "user", "content": [{"type": "text", "text": CONTINUE}]})
    return found


def _results_first(blocks: list[JsonObject], asked: Sequence[str]) -> list[JsonObject]:
    """All results of the calls before come first; a call without one is refused for the rest of the chain."""
    results = {block["tool_use_id"]: block for block in blocks if block["type"] == "tool_result"}
    missing = [
        {"type": "tool_result", "tool_use_id": each, "content": _NO_RESULT, "is_error": True}
        for each in asked
        if each not in results
    ]
    return [*results.values(), *missing, *(block for block in blocks if block["type"] != "tool_result")]


def _assistant(message: Message, *, signed: bool, goes_on: bool) -> list[JsonObject]:
    text = message.text
    texts = [{"type": "text", "text": text}] if text.strip() else []
    calls = [_call(call) for call in message.calls]
    thoughts = given(message.opaque.message.get(THINKING)) if message.opaque else []
    if not thoughts and message.reasoning and goes_on:
        thoughts = [_unsigned(message.reasoning, signed=signed)]
    return placed(thoughts, texts, calls)


def _unsigned(reasoning: str, *, signed: bool) -> JsonObject:
    if signed:
        return {"type": "text", "text": in_words(reasoning)}
    return {"type": "thinking", "thinking": reasoning, "signature": ""}


def _call(call: Call) -> JsonObject:
    given = msgspec.json.decode(call.arguments)
    return {"type": "tool_use", "id": _wire_id(call.id), "name": call.name, "input": given}


def _result(message: Message) -> JsonObject:
    result: JsonObject = {"type": "tool_result", "tool_use_id": _wire_id(message.call_id)}
    blocks = list(_blocks(message.parts))
    marks = [block.pop(MARK) for block in blocks if MARK in block]
    if all(block["type"] == "text" for block in blocks):
        result["content"] = "".join(block["text"] for block in blocks)
    else:
        result["content"] = blocks
    return result | ({MARK: marks[-1]} if marks else {})


def _wire_id(call_id: str) -> str:
    """Ids have letters, digits, `_` and `-`: any other has one that stands for it."""
    return call_id if _ID.match(call_id) else f"toolu_{sha256(call_id.encode()).hexdigest()[:24]}"


# ---- parts ------------------------------------------------------------------------------------------


def _blocks(parts: Iterable[Part]) -> Iterator[JsonObject]:
    """Parts as blocks. Text that is nothing but white space is refused, so it is left out."""
    for part in parts:
        if isinstance(part, TextPart) and not part.text.strip():
            continue
        block = _block(part)
        kept = None if isinstance(part, AudioPart | HostedPart) else part.breakpoint
        yield block if kept is None else {**block, MARK: mark(kept)}


def _block(part: Part) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url):
            return {"type": "image", "source": _source(url) or {"type": "url", "url": url}}
        case FilePart(data, filename):
            source = _source(data)
            if source is None or source["media_type"] != "application/pdf":
                raise InvalidRequest(f"The model reads no files but PDF, and '{filename}' is none.")
            return {"type": "document", "source": source, "title": filename}
        case AudioPart():
            raise InvalidRequest("The model's server takes no sound.")
        case HostedPart():
            raise ValueError("it goes to the server alone that ran the tool")


def _source(url: str) -> JsonObject | None:
    """What a `data:` URL holds."""
    found = _DATA.match(url)
    return {"type": "base64", "media_type": found[1], "data": found[2]} if found else None
