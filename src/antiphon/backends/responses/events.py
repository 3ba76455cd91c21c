"""The events of a Responses stream, or a response in one piece: the members that we read.

Servers other than OpenAI's leave members out: indexes, ids, whole events. Source: surface.md section 5.
"""

from typing import Any

import msgspec
from msgspec import Struct

from antiphon.backends.tokens import Token


class CacheWrites(Struct, frozen=True, gc=False):
    ttl_30m_tokens: int | None = None
    ttl_12h_tokens: int | None = None


class InputDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: CacheWrites | None = None


class OutputDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class Usage(Struct, frozen=True, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Part(Struct, frozen=True, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: list[Token] | None = None
    annotations: Any = None


class Item(Struct, frozen=True, gc=False):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | dict[str, Any] | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class Incomplete(Struct, frozen=True, gc=False):
    reason: str | None = None


class Response(Struct, frozen=True, gc=False):
    status: str | None = None
    output: list[Item] | None = None
    usage: Usage | None = None
    error: Any = None
    incomplete_details: Incomplete | None = None
    tool_usage: Any = None
    service_tier: str | None = None


class Event(Struct, frozen=True, gc=False):
    """Any event, or a response in one piece, whose members stand where those of an event do."""

    type: str = ""
    delta: str | None = None
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None
    annotation: Any = None
    logprobs: list[Token] | None = None
    item: Item | None = None
    arguments: str | dict[str, Any] | None = None
    response: Response | None = None
    error: Any = None
    output: list[Item] | None = None
    status: str | None = None
    usage: Usage | None = None
    incomplete_details: Incomplete | None = None
    tool_usage: Any = None
    service_tier: str | None = None


decode = msgspec.json.Decoder(Event).decode
HALVES = frozenset({"delta", "text", "arguments"})
"""Members in which a character may be cut in half."""
