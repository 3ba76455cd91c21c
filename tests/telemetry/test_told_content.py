"""What was said, in spans: only where the operator wants it, and never more than fits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.conftest import checked_client
from tests.scripted import Answer, Called, Upstream
from tests.telemetry.collector import Collector, Span
from tests.telemetry.test_traces import wiki
from tests.telemetry.traced import Traced, traced, tracing
from tests.tools.mcp_servers import PIXEL, Toolset, served

from antiphon.config import Telemetry
from antiphon.config.settings import Project
from antiphon.engine.span_content import MOST, TEXT


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def all_of(collector: Collector) -> Telemetry:
    return Telemetry(otlp_endpoint=collector.url, content="all")


def read(span: Span, name: str) -> Any:
    return json.loads(span.attributes[f"gen_ai.{name}"])


def test_turns_and_calls_have_what_was_said(collector: Collector, upstream: Upstream, tmp_path: Path) -> None:
    arguments = '{"a": 1, "b": 2}'
    upstream.script(Answer(calls=[Called("wiki__add", arguments)]), Answer("It is three."))
    with (
        served(Toolset().server()) as mcp,
        tracing(collector, upstream, tmp_path, all_of(collector)) as client,
    ):
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
        asked: Any = [{"role": "user", "content": [{"type": "input_text", "text": "Add."}, picture]}]
        tools = wiki(mcp.url, authorization="tok-hidden")
        client.responses.create(model="m", instructions="Whisper.", input=asked, tools=tools)

    first, second = (span for span in collector.spans if span.name == "chat m")
    question = {"role": "user", "parts": [{"type": "text", "content": "Add."}, {"type": "image"}]}
    call = {"type": "tool_call", "id": "call_0", "name": "wiki__add", "arguments": arguments}
    assert read(first, "system_instructions") == [{"type": "text", "content": "Whisper."}]
    assert read(first, "input.messages") == [question]
    assert read(first, "output.messages") == [
        {"role": "assistant", "parts": [call], "finish_reason": "tool_call"}
    ]
    assert "wiki__add" in [function["name"] for function in read(first, "tool.definitions")]
    *_, spoken, result = read(second, "input.messages")
    assert spoken == {"role": "assistant", "parts": [call]}
    assert result == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "call_0", "response": "3"}],
    }
    assert read(second, "output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "It is three."}], "finish_reason": "stop"}
    ]
    made = collector.wait_span("execute_tool wiki__add")
    assert (read(made, "tool.call.arguments"), read(made, "tool.call.result")) == ({"a": 1, "b": 2}, 3)
    told = str([span.attributes for span in collector.spans])
    assert "hidden" not in told
    assert PIXEL not in told


def test_long_texts_are_cut_and_the_oldest_messages_left_out(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with tracing(collector, upstream, tmp_path, all_of(collector)) as client:
        asked: Any = [{"role": "user", "content": f"{number} " + "é" * 3_000} for number in range(50)]
        asked.append({"role": "user", "content": "x" * 10_000})
        client.responses.create(model="m", input=asked)

    span = collector.wait_span("chat m")
    assert len(span.attributes["gen_ai.input.messages"].encode()) <= MOST
    *older, newest = [message["parts"][0]["content"] for message in read(span, "input.messages")]
    assert newest == "x" * TEXT + "…"
    assert [text.split()[0] for text in older] == ["46", "47", "48", "49"]


@pytest.mark.parametrize("project", [Project(), Project(record=False)], ids=["unstored", "silent"])
def test_what_is_not_stored_is_not_told_either_nor_what_a_project_keeps_to_itself(
    collector: Collector, upstream: Upstream, tmp_path: Path, project: Project
) -> None:
    upstream.script(Answer(calls=[Called("wiki__add", '{"a": 17171, "b": 2}')]), Answer("The sum: 17173."))
    with (
        served(Toolset().server()) as mcp,
        Traced(
            replace(traced(collector, upstream, tmp_path, all_of(collector)), projects={"default": project})
        ) as running,
        checked_client(running.url) as client,
    ):
        client.responses.create(model="m", input="Add 17171.", store=not project.record, tools=wiki(mcp.url))

    assert len(collector.spans) == 4
    assert "1717" not in str([span.attributes for span in collector.spans])
