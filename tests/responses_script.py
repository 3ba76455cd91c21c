"""Answers of a scripted upstream in the form of the Responses API.

The events are those of OpenAI's reference; `sparse` leaves out what other servers leave out.
"""

import json
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings, Config
from antiphon.config.settings import Sandbox, Server

Json = dict[str, Any]
Said = Callable[[int], list[Json]]
"""An item of the answer, by its index: its events. The last one has it whole."""
USAGE: Json = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 12,
}


def text(said: str, size: int = 0) -> Said:
    def events(at: int) -> list[Json]:
        place = {"item_id": f"msg_{at}", "output_index": at, "content_index": 0}
        part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{at}", "type": "message", "role": "assistant", "status": "completed"}
        deltas = [
            {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
            for piece in _pieces(said, size)
        ]
        return [
            _added(at, {**item, "status": "in_progress", "content": []}),
            {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
            *deltas,
            {"type": "response.output_text.done", **place, "text": said, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": part},
            _done(at, {**item, "content": [part]}),
        ]

    return events


def refusal(said: str) -> Said:
    def events(at: int) -> list[Json]:
        place = {"item_id": f"msg_{at}", "output_index": at, "content_index": 0}
        item = {"id": f"msg_{at}", "type": "message", "role": "assistant", "status": "completed"}
        return [
            _added(at, {**item, "content": []}),
            {"type": "response.refusal.delta", **place, "delta": said},
            {"type": "response.refusal.done", **place, "refusal": said},
            _done(at, {**item, "content": [{"type": "refusal", "refusal": said}]}),
        ]

    return events


def call(name: str, arguments: str, call_id: str, size: int = 0) -> Said:
    def events(at: int) -> list[Json]:
        place = {"item_id": f"fc_{at}", "output_index": at}
        item = {"id": f"fc_{at}", "type": "function_call", "call_id": call_id, "name": name}
        deltas = [
            {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            for piece in _pieces(arguments, size)
        ]
        return [
            _added(at, {**item, "status": "in_progress", "arguments": ""}),
            *deltas,
            {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
            _done(at, {**item, "status": "completed", "arguments": arguments}),
        ]

    return events


def sealed(encrypted: str, *summary: str) -> Said:
    """Reasoning as OpenAI gives it: a summary in parts, and what nobody else can read."""

    def events(at: int) -> list[Json]:
        found = [_added(at, {"id": f"rs_{at}", "type": "reasoning", "summary": []})]
        for number, part in enumerate(summary):
            place = {"item_id": f"rs_{at}", "output_index": at, "summary_index": number}
            whole = {"type": "summary_text", "text": part}
            found += [
                {"type": "response.reasoning_summary_part.added", **place, "part": {**whole, "text": ""}},
                {"type": "response.reasoning_summary_text.delta", **place, "delta": part},
                {"type": "response.reasoning_summary_text.done", **place, "text": part},
                {"type": "response.reasoning_summary_part.done", **place, "part": whole},
            ]
        return [*found, _done(at, reasoning_item(at, encrypted, *summary))]

    return events


def reasoning_item(at: int, encrypted: str, *summary: str) -> Json:
    parts = [{"type": "summary_text", "text": part} for part in summary]
    return {"id": f"rs_{at}", "type": "reasoning", "summary": parts, "encrypted_content": encrypted}


def thought(said: str) -> Said:
    """Reasoning as open models give it."""

    def events(at: int) -> list[Json]:
        place = {"item_id": f"rs_{at}", "output_index": at, "content_index": 0}
        item = {"id": f"rs_{at}", "type": "reasoning", "summary": []}
        content = [{"type": "reasoning_text", "text": said}]
        return [
            _added(at, {**item, "content": []}),
            {"type": "response.reasoning_text.delta", **place, "delta": said},
            {"type": "response.reasoning_text.done", **place, "text": said},
            _done(at, {**item, "content": content}),
        ]

    return events


def searched(query: str) -> Said:
    """A tool that the server runs itself."""

    def events(at: int) -> list[Json]:
        place = {"item_id": f"ws_{at}", "output_index": at}
        item = {"id": f"ws_{at}", "type": "web_search_call", "status": "completed"}
        return [
            _added(at, {**item, "status": "in_progress"}),
            {"type": "response.web_search_call.searching", **place},
            {"type": "response.web_search_call.completed", **place},
            _done(at, {**item, "action": {"type": "search", "query": query}}),
        ]

    return events


def stream(*said: Said, status: str = "completed", **members: Any) -> list[Json]:
    """The events of a response."""
    items = [each(at) for at, each in enumerate(said)]
    output = [events[-1]["item"] for events in items]
    response = {"id": "resp_67c9fdcecf488190bdd9a0409de3a1ec", "object": "response", "model": "gpt-6"}
    began = {**response, "status": "in_progress", "error": None, "output": [], "usage": None}
    ended = {**response, "status": status, "error": None, "output": output, "usage": USAGE, **members}
    events = [
        {"type": "response.created", "response": began},
        {"type": "response.in_progress", "response": began},
        *(event for each in items for event in each),
        {"type": f"response.{status}", "response": ended},
    ]
    numbers = count()
    return [{**event, "sequence_number": next(numbers)} for event in events]


def written(events: Iterable[Json]) -> list[bytes]:
    return [f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def answer(*said: Said, **members: Any) -> Answer:
    """An answer for `Upstream.script`."""
    return Answer(raw=written(stream(*said, **members)))


def config(upstream: Upstream, data_dir: str, **settings: Any) -> Config:
    """Antiphon in front of it."""
    backend = BackendSettings(type="responses", base_url=upstream.base_url, default=True, **settings)
    return Config(
        data_dir=data_dir,
        server=Server(verify=True),
        backends={"open": backend},
        sandbox=Sandbox(driver="none"),
    )


def _added(at: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def _done(at: int, item: Json) -> Json:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def _pieces(said: str, size: int) -> list[str]:
    size = size or len(said) or 1
    return [said[at : at + size] for at in range(0, len(said), size)]
