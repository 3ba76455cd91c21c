"""What it costs to read an answer, for each type of backend: from bytes to deltas."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from antiphon.backends.anthropic.stream import MessagesReader
from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.splice import Splicer
from antiphon.backends.sse import Events
from antiphon.model import Delta
from bench.routing.rounds import Figure, compared

_WORDS = (" the", " model", " says", " so", " and", " then", " it", " adds", " one", " word")
_DELTAS = 1000
_TIMES = 5
_READS = (1, 50)


class _Reader(Protocol):
    fault: Exception | None

    def read_from(self, events: Events, data: bytes) -> list[Delta]: ...


def measured() -> dict[str, Figure]:
    """By type and by deltas in each read, in microseconds."""
    cases = {
        f"{name}, {size}": partial(_read, make, _chunked(events, size))
        for name, (make, events) in _types().items()
        for size in _READS
    }
    return asyncio.run(compared(cases))


def _types() -> dict[str, tuple[Callable[[], Any], list[bytes]]]:
    return {
        "chat_completions": (lambda: ChatStreamParser(splicer=Splicer()), _each(_chat)),
        "chat_completions, one by one": (ChatStreamParser, _each(_chat)),
        "responses": (ResponsesReader, _each(_responses)),
        "anthropic": (MessagesReader, _each(_anthropic)),
    }


async def _read(make: Callable[[], _Reader], reads: Sequence[bytes]) -> int:
    for _ in range(_TIMES):
        reader, events = make(), Events()
        for data in reads:
            reader.read_from(events, data)
        if reader.fault is not None:
            raise reader.fault
    return _TIMES * _DELTAS


def _chunked(events: Sequence[bytes], size: int) -> list[bytes]:
    return [b"".join(events[at : at + size]) for at in range(0, len(events), size)]


def _each(event: Callable[[str, int], bytes]) -> list[bytes]:
    return [event(_WORDS[number % len(_WORDS)], number) for number in range(_DELTAS)]


def _chat(text: str, _: int) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    about = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return _event("", {**about, "model": "qwen3", "choices": [choice]})


def _responses(text: str, number: int) -> bytes:
    kind = "response.output_text.delta"
    place = {"item_id": "msg_0123456789abcdef", "output_index": 0, "content_index": 0}
    return _event(
        kind,
        {
            "type": kind,
            "sequence_number": number,
            **place,
            "delta": text,
            "logprobs": [],
            "obfuscation": "aB3",
        },
    )


def _anthropic(text: str, _: int) -> bytes:
    kind = "content_block_delta"
    return _event(kind, {"type": kind, "index": 0, "delta": {"type": "text_delta", "text": text}})


def _event(kind: str, members: dict[str, Any]) -> bytes:
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(members, separators=(',', ':'))}\n\n".encode()
