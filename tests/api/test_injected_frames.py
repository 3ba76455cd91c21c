"""Frames that inject outputs take no more room than others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import whole
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Upstream

from antiphon.config import Limits, Server

Json = dict[str, Any]
LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
MOST = 2_000
"""So little arrives in one piece: of what comes in pieces each counts, and too many end the connection."""


@pytest.fixture
def small(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A client of a server that takes and holds little."""
    config = config_for(upstream, tmp_path, Server(verify=True, max_body_bytes=MOST))
    with (
        Running(replace(config, limits=Limits(held_bytes=MOST + 1_000))) as running,
        checked_client(running.url) as client,
    ):
        yield client


def output_of(call: Json, text: str) -> Any:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": text}


def begin(connection: Any, upstream: Upstream) -> tuple[str, list[Json]]:
    """A response whose agent calls the client twice: its id, and the calls."""
    upstream.on(lambda body: body["messages"][-1]["role"] == "tool", Answer("I see."))
    upstream.default = Answer(calls=[Called("look", "{}"), Called("look", "{}")])
    connection.response.create(model="m", input="Go.", multi_agent={"enabled": True}, tools=[LOOK])
    told = [whole(connection.recv())]
    while sum(each["type"] == "response.output_item.done" for each in told) < 2:
        told.append(whole(connection.recv()))
    calls = [each["item"] for each in told if each["type"] == "response.output_item.done"]
    return told[0]["response"]["id"], calls


def until(connection: Any, kind: str) -> Json:
    told: Json = {"type": None}
    while told["type"] not in (kind, "error", "response.completed"):
        told = whole(connection.recv())
    assert told["type"] == kind
    return told


def test_a_frame_that_is_too_large_injects_nothing(small: OpenAI, upstream: Upstream) -> None:
    with small.beta.responses.connect() as connection:
        response_id, calls = begin(connection, upstream)
        large = output_of(calls[0], "x" * MOST)
        connection.response.inject(response_id=response_id, input=[large])
        told = until(connection, "error")
        assert (told["status"], told["error"]["code"]) == (413, "request_too_large")
        connection.response.inject(response_id=response_id, input=[output_of(call, "red") for call in calls])
        assert until(connection, "response.completed")["response"]["output"][-1]["type"] == "message"


def test_what_was_injected_is_held_until_its_response_has_ended(small: OpenAI, upstream: Upstream) -> None:
    with small.beta.responses.connect() as connection:
        for _ in range(2):  # what the first one held is free for the second
            response_id, calls = begin(connection, upstream)
            first, second = (output_of(call, "x" * 1_400) for call in calls)
            connection.response.inject(response_id=response_id, input=[first])
            until(connection, "response.inject.created")
            connection.response.inject(response_id=response_id, input=[second])
            assert until(connection, "error")["error"]["code"] == "server_overloaded"
            connection.response.inject(response_id=response_id, input=[output_of(calls[1], "red")])
            until(connection, "response.completed")
