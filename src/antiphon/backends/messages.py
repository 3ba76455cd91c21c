"""Neutral messages as the messages of Chat Completions.

Servers put what they get through a chat template, and templates are particular: about who may speak,
where, and how often in a row. Each step below mends one such thing; which steps a server needs is said
by its dialect.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from antiphon.backends.dialects import Dialect
from antiphon.model import (
    AudioPart,
    Call,
    FilePart,
    HostedPart,
    ImagePart,
    Message,
    Opaque,
    Part,
    Said,
    TextPart,
    Turn,
)
from antiphon.model.json_text import is_object
from antiphon.model.turn import leading
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import JsonObject, encode

CONTINUE = "Continue."
_SHORT_ID = 9
_role, _beside_words = attrgetter("role"), attrgetter("calls", "call_id", "reasoning", "opaque")
_taken_by_all = re.compile("(?:system )?(?:user assistant )*user").fullmatch
"""Roles that every dialect takes as they are."""


def render_turn(turn: Turn, dialect: Dialect) -> list[JsonObject | msgspec.Raw]:
    """The messages of a turn as this dialect wants them. What was said by turns every dialect takes as it is:
    it is written once, and put in its place as it is."""
    messages, said = turn.messages, turn.said
    if said is None:
        return [*render(messages, dialect)]
    start = leading(messages)
    end = start + len(said.messages)
    goes_on = end < len(messages) and messages[end].role == "user"
    if not goes_on or messages[start:end] != said.messages:
        return [*render(messages, dialect)]
    rest = render((*messages[:start], *messages[end:]), dialect)
    place = next(i for i, message in enumerate(rest) if message["role"] == "user")
    return [*rest[:place], *_written(said), *rest[place:]]


def _written(said: Said) -> Sequence[msgspec.Raw]:
    """What was said, message by message. Threads may do it at the same time: with the same outcome."""
    written = said.written
    if len(written) < len(said.messages):
        more = [{"role": m.role, "content": m.text} for m in said.messages[len(written) :]]
        said.written = written = (*written, *map(msgspec.Raw, map(encode, more)))
    return written


def render(messages: Iterable[Message], dialect: Dialect) -> list[JsonObject]:
    """The messages as this dialect wants them. Most are words alone, without calls and thoughts to be put in
    their place."""
    said = list(messages)
    roles = list(map(_role, said))
    spoken = "tool" not in roles and not any(chain.from_iterable(map(_beside_words, said)))
    if spoken and _taken_by_all(" ".join(roles)):
        return [_wire(message, dialect, {}, {}) for message in said]
    if not spoken:
        said = _reasoning(said, dialect)
    said = _roles(said, dialect)
    said = _systems(said, dialect)
    if not spoken:
        said = results_after_calls(said)
        if dialect.parses_arguments:
            said = readable(said)
        said = _images_of_results(said)
    said = _joined(said, dialect)
    said = _with_user(said, dialect)
    if spoken:
        return [_wire(message, dialect, {}, {}) for message in said]
    if dialect.short_call_ids:
        said = [_with_short_ids(message) for message in said]
    names = {call.id: call.name for message in said for call in message.calls}
    ids = _ids(said)
    return [_wire(message, dialect, names, ids) for message in said]


# ---- steps ------------------------------------------------------------------------------------------


def _reasoning(messages: list[Message], dialect: Dialect) -> list[Message]:
    """What goes back of the model's reasoning: all of it, or that of the tool loop that goes on."""
    if dialect.reasoning_sent and dialect.reasoning_of == "all":
        return messages
    newest = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    return [
        m
        if not m.reasoning or (dialect.reasoning_sent and m.calls and i > newest)
        else replace(m, reasoning="")
        for i, m in enumerate(messages)
    ]


def _roles(messages: list[Message], dialect: Dialect) -> list[Message]:
    if dialect.developer:
        return messages
    return [replace(m, role="system") if m.role == "developer" else m for m in messages]


def _systems(messages: list[Message], dialect: Dialect) -> list[Message]:
    count = leading(messages)
    head, body = messages[:count], messages[count:]
    if dialect.late_system == "user":
        body = [replace(m, role="user") if m.role in ("system", "developer") else m for m in body]
    if dialect.needs_user and not any(m.role == "user" for m in body):
        # Instructions alone: the last of them is what the model has to answer.
        head, body = head[:-1], [*(replace(m, role="user") for m in head[-1:]), *body]
    if dialect.merge_leading and len(head) > 1:
        text = "\n\n".join(m.text for m in head)
        head = [Message("system", (TextPart(text),))]
    return head + body


def results_after_calls(messages: list[Message]) -> list[Message]:
    """Each result right after the message with its call; one without a call becomes the user's words."""
    messages = _one_answer(messages)
    waiting: dict[str, deque[int]] = {}
    for at, message in enumerate(messages):
        if message.role == "tool":
            waiting.setdefault(message.call_id, deque()).append(at)
    if not waiting:
        return messages
    placed: set[int] = set()
    found: list[Message] = []
    for at, message in enumerate(messages):
        if message.role != "tool":
            found.append(message)
            for result in _results(message.calls, waiting, at):
                placed.add(result)
                found.append(messages[result])
        elif at not in placed:
            found.append(_orphan(message))
    return found


def _results(calls: Iterable[Call], waiting: dict[str, deque[int]], at: int) -> Iterator[int]:
    """Where the results of the calls stand. Ids may come again in a later turn: each takes the next."""
    for call in calls:
        places = waiting.get(call.id, deque())
        while places and places[0] < at:
            places.popleft()
        if places:
            yield places.popleft()


def _one_answer(messages: Sequence[Message]) -> list[Message]:
    """Text and calls that the model wrote in a row are one message, as it said them."""
    found: list[Message] = []
    for message in messages:
        last = found[-1] if found else None
        if last and last.role == message.role == "assistant" and (last.calls or message.calls):
            found[-1] = _join(last, message)
        else:
            found.append(message)
    return found


def _orphan(result: Message) -> Message:
    label = TextPart(f"Result of the function call {result.call_id}:\n")
    return Message("user", (label, *result.parts))


def readable(messages: list[Message]) -> list[Message]:
    """Arguments that are no JSON object would be refused with each turn to come. What the model got wrong
    stands in the call's result instead."""
    found: list[Message] = []
    broken: dict[str, str] = {}
    for message in messages:
        if message.calls:
            broken = {call.id: call.arguments for call in message.calls if not is_object(call.arguments)}
            calls = (replace(call, arguments="{}") if call.id in broken else call for call in message.calls)
            message = replace(message, calls=tuple(calls)) if broken else message
        elif message.role == "tool" and broken.get(message.call_id, "").strip():
            words = f"The arguments of this call were no JSON object: {broken.pop(message.call_id)}\n\n"
            message = replace(message, parts=(TextPart(words), *message.parts))
        found.append(message)
    return found


def _images_of_results(messages: list[Message]) -> list[Message]:
    """A tool message holds text only: what else a result has follows as the user's."""
    found: list[Message] = []
    media: list[Part] = []
    for message in messages:
        if media and message.role != "tool":
            found.append(Message("user", tuple(media)))
            media = []
        if message.role == "tool" and not all(isinstance(part, TextPart) for part in message.parts):
            media.append(TextPart(f"From the result of the function call {message.call_id}:"))
            media += [part for part in message.parts if not isinstance(part, TextPart)]
            text = message.text or "The result follows in the next message."
            message = replace(message, parts=(TextPart(text),))
        found.append(message)
    return [*found, Message("user", tuple(media))] if media else found


def _joined(messages: list[Message], dialect: Dialect) -> list[Message]:
    if not dialect.alternate:
        return messages
    found: list[Message] = []
    for message in messages:
        last = found[-1] if found else None
        if last and last.role == message.role and message.role in ("user", "assistant") and not last.calls:
            found[-1] = _join(last, message)
        else:
            found.append(message)
    return found


def _join(first: Message, second: Message) -> Message:
    between = (TextPart("\n\n"),) if first.parts and second.parts else ()
    return replace(
        first,
        parts=first.parts + between + second.parts,
        calls=first.calls + second.calls,
        reasoning="\n\n".join(filter(None, (first.reasoning, second.reasoning))),
        opaque=first.opaque.plus(second.opaque)
        if first.opaque and second.opaque
        else first.opaque or second.opaque,
    )


def _with_user(messages: list[Message], dialect: Dialect) -> list[Message]:
    last = messages[-1] if messages else None
    if dialect.refill and last and last.role == "assistant":
        return [*messages, Message("user", (TextPart(CONTINUE),))]
    return messages


def _with_short_ids(message: Message) -> Message:
    calls = tuple(replace(call, id=_short_id(call.id)) for call in message.calls)
    return replace(message, calls=calls, call_id=_short_id(message.call_id) if message.call_id else "")


def _short_id(call_id: str) -> str:
    """Nine letters and digits that stand for an id."""
    if len(call_id) == _SHORT_ID and call_id.isascii() and call_id.isalnum():
        return call_id
    return sha256(call_id.encode()).hexdigest()[:_SHORT_ID]


def _ids(messages: Iterable[Message]) -> dict[str, str]:
    """Ids of the server's that were too long to show, by those that stand for them."""
    opaque = (message.opaque for message in messages if message.opaque is not None)
    return {ours: call["id"] for each in opaque for ours, call in each.calls.items() if "id" in call}


# ---- on the wire ------------------------------------------------------------------------------------


def _wire(message: Message, dialect: Dialect, names: dict[str, str], ids: dict[str, str]) -> JsonObject:
    if message.role == "assistant":
        return _assistant(message, dialect)
    if message.role == "tool":
        call_id = ids.get(message.call_id, message.call_id)
        message_json: JsonObject = {"role": "tool", "tool_call_id": call_id, "content": message.text}
        return message_json | ({"name": names[message.call_id]} if dialect.tool_names else {})
    if message.role == "user":
        return {"role": "user", "content": _content(message.parts, dialect)}
    return {"role": message.role, "content": message.text}


def _assistant(message: Message, dialect: Dialect) -> JsonObject:
    text = message.text
    message_json: JsonObject = {"role": "assistant", "content": text or (None if message.calls else "")}
    opaque = message.opaque or _NOTHING
    if message.reasoning and not opaque.has_reasoning():
        message_json[dialect.reasoning_sent] = message.reasoning
    if message.calls:
        calls = [_call(call) | opaque.calls.get(call.id, {}) for call in message.calls]
        if dialect.unsigned and not opaque:
            calls[0] |= dialect.unsigned
        message_json["tool_calls"] = calls
    return message_json | opaque.message


_NOTHING = Opaque()


def _call(call: Call) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _content(parts: tuple[Part, ...], dialect: Dialect) -> str | list[JsonObject]:
    if len(parts) == 1 and isinstance(part := parts[0], TextPart):
        return part.text
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if len(texts) == len(parts):
        return "".join(texts)
    return [_part(part, dialect) for part in parts]


def _part(part: Part, dialect: Dialect) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url, detail):
            if not (dialect.remote_images or url.startswith("data:")):
                raise InvalidRequest(
                    "The model's server does not fetch images by URL: send the image itself."
                )
            detailed = {} if detail == "auto" else {"detail": detail}
            return {"type": "image_url", "image_url": {"url": url} | detailed}
        case AudioPart(data, kind):
            return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
        case FilePart(data, filename):
            return {"type": "file", "file": {"file_data": data, "filename": filename}}
        case HostedPart():
            raise ValueError("it goes to the server alone that ran the tool")
