"""Neutral messages as the input of the Responses API: the whole history, item by item."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from antiphon.backends.placed import given, placed
from antiphon.backends.responses.hosted_tools import given_back
from antiphon.backends.responses.stream import REASONING
from antiphon.backends.responses.traits import Traits
from antiphon.backends.wire_turns import Ordered, in_words
from antiphon.model import AudioPart, Call, FilePart, HostedPart, ImagePart, Message, Part, TextPart
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import JsonObject


def instructions(messages: Iterable[Message]) -> str:
    """The messages that lead."""
    return "\n\n".join(message.text for message in messages if message.text)


def items(said: Ordered, traits: Traits) -> list[JsonObject]:
    """The conversation."""
    found: list[JsonObject] = []
    for at, message in enumerate(said.said):
        if message.role == "assistant":
            found += _assistant(message, traits, goes_on=said.goes_on(at))
        elif message.role == "tool":
            found += _result(message, traits)
        else:
            system = message.role != "user" and traits.instructed
            role = "developer" if system else "user"
            content = list(_parts(message.parts, traits))
            found.append({"type": "message", "role": role, "content": content})
    return found


def _assistant(message: Message, traits: Traits, *, goes_on: bool) -> list[JsonObject]:
    texts = list(_said(message))
    calls = [_call(call) for call in message.calls]
    thoughts = given(message.opaque.message.get(REASONING)) if message.opaque else []
    if not thoughts and message.reasoning and goes_on:
        thoughts = [_thought(message.reasoning, traits)]
    return placed(thoughts, texts, calls)


def _said(message: Message) -> Iterator[JsonObject]:
    """What it says, with what the server's own tools did where they did it."""
    for is_tool, parts in groupby(message.parts, lambda part: isinstance(part, HostedPart)):
        if is_tool:
            yield from (given_back(part.item) for part in parts if isinstance(part, HostedPart))
        elif text := "".join(part.text for part in parts if isinstance(part, TextPart)):
            yield _spoken(text)


def _spoken(text: str) -> JsonObject:
    return {"type": "message", "role": "assistant", "content": text}


def _thought(reasoning: str, traits: Traits) -> JsonObject:
    """Reasoning that nobody sealed: for a server that shows its own as it is; in words for any other."""
    if not traits.shows:
        return _spoken(in_words(reasoning))
    content = [{"type": "reasoning_text", "text": reasoning}]
    return {"type": "reasoning", "id": "rs_0", "summary": [], "content": content}


def _call(call: Call) -> JsonObject:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _result(message: Message, traits: Traits) -> Iterator[JsonObject]:
    """A result. What it has beside text follows as the user's, where results are known to be text alone."""
    plain = all(isinstance(part, TextPart) for part in message.parts)
    output: str | list[JsonObject] = message.text or ("" if plain else "The result follows.")
    if not plain and traits.instructed:
        output = list(_parts(message.parts, traits))
    yield {"type": "function_call_output", "call_id": message.call_id, "output": output}
    if not plain and not traits.instructed:
        media = [part for part in message.parts if not isinstance(part, TextPart)]
        yield {"type": "message", "role": "user", "content": list(_parts(media, traits))}


# ---- parts ------------------------------------------------------------------------------------------


def _parts(parts: Iterable[Part], traits: Traits) -> Iterator[JsonObject]:
    for part in parts:
        kept = None if isinstance(part, AudioPart | HostedPart) else part.breakpoint
        if kept is None or not traits.instructed:
            yield _part(part)
        else:
            ttl = {"ttl": kept} if kept else {}
            yield {**_part(part), "prompt_cache_breakpoint": {"mode": "explicit", **ttl}}


def _part(part: Part) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "input_text", "text": text}
        case ImagePart(url, detail):
            return {"type": "input_image", "image_url": url, "detail": detail}
        case FilePart(data, filename):
            return {"type": "input_file", "file_data": data, "filename": filename}
        case AudioPart():
            raise InvalidRequest("The model's server takes no sound.")
        case HostedPart():
            raise ValueError("it stands in what the model says alone")
