"""What the wire tests ask with, and how they name what is different in every answer."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
import pytest
from openai import APIStatusError

Json = dict[str, Any]

JSON_TYPE = {"content-type": "application/json"}

ADD: Json = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": False,
}
STRICT_ADD: Json = ADD | {"strict": True}
CITY: Json = {
    "type": "json_schema",
    "name": "city",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
}
CLOCK: Json = {"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}


class Like:
    """Equal to any text that the pattern matches as a whole."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self._pattern, other, re.DOTALL) is not None

    def __hash__(self) -> int:
        return hash(self._pattern)

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"


class Now:
    """Equal to this very moment in whole seconds, give or take a minute. The SDK makes floats of them."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and other == int(other) and abs(other - time.time()) < 60

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "Now()"


def some_id(prefix: str, digits: int = 50) -> Like:
    """An id of ours with this prefix."""
    return Like(f"{prefix}_[0-9a-f]{{{digits}}}")


def usage(given: int = 7, written: int = 5, cached: int = 0, reasoned: int = 0) -> Json:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": given + written,
    }


def message(text: str, **members: Any) -> Json:
    """A message of the assistant, as it stands in `output`."""
    part = {"type": "output_text", "annotations": [], "text": text, "logprobs": []}
    base = {"id": some_id("msg"), "type": "message", "role": "assistant", "content": [part]}
    return base | {"status": "completed"} | members


def called(name: str, arguments: str, call_id: object, **members: Any) -> Json:
    """A function call, as it stands in `output`."""
    base = {"id": some_id("fc"), "type": "function_call", "call_id": call_id, "name": name}
    return base | {"arguments": arguments, "status": "completed"} | members


def user(text: str, **members: Any) -> Json:
    """A message of the user, in the form in which it is kept."""
    base = {"id": some_id("msg"), "type": "message", "role": "user", "status": "completed"}
    return base | {"content": [{"type": "input_text", "text": text}]} | members


def response(*output: Json, **members: Any) -> Json:
    """The answer to a minimal request: every member that is always shown, with its default."""
    return {
        "id": some_id("resp"),
        "object": "response",
        "created_at": Now(),
        "status": "completed",
        "background": False,
        "completed_at": Now(),
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "m",
        "moderation": None,
        "output": list(output),
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(),
        "user": None,
    } | members


def whole(thing: Any) -> Any:
    """An object of the SDK as the JSON that it came as."""
    return thing.to_dict(mode="json")


def wholes(things: Iterable[Any]) -> list[Json]:
    return [whole(thing) for thing in things]


@dataclass
class Refusal:
    """A refused request; known once the block is left."""

    headers: httpx2.Headers = field(default_factory=httpx2.Headers)
    message: str = ""


@contextlib.contextmanager
def refused(
    status: int, code: str | None = None, param: str | None = None, kind: str = "invalid_request_error"
) -> Iterator[Refusal]:
    """The official client's request in the block is refused exactly so."""
    refusal = Refusal()
    with pytest.raises(APIStatusError) as caught:
        yield refusal
    body = caught.value.body
    assert isinstance(body, dict)
    refusal.headers, refusal.message = caught.value.response.headers, body["message"]
    wanted = {"message": Like(".+"), "type": kind, "param": param, "code": code}
    assert (caught.value.status_code, body) == (status, wanted)


def fault(answer: httpx2.Response) -> tuple[int, Any, Any, Any]:
    """Status, type, code and param of a refusal over plain HTTP."""
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"], error["param"]


def events_of(body: bytes) -> list[Json]:
    """The events of a stream as it went over the wire."""
    frames = body.removesuffix(b"\n\n").split(b"\n\n")
    return [msgspec.json.decode(frame.partition(b"\ndata: ")[2]) for frame in frames]


@contextlib.contextmanager
def hanging_up(url: str, path: str, request: Json) -> Iterator[None]:
    """A client that sends its request, and goes away at the end of the block."""
    place = httpx2.URL(url)
    body = json.dumps(request).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc.decode()}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place.host, place.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield
