"""Spans over OTLP: a response with its turns and calls, as part of what its request names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, BadRequestError, OpenAI
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.scripted import Answer, Called, Gate, Upstream, refusal
from tests.telemetry.collector import Collector
from tests.telemetry.traced import CALLER, OTHER, TRACE, WITHIN, Traced, traced, tracing
from tests.tools.mcp_servers import Toolset, served
from websockets.sync.client import connect

from antiphon.protocol.wire import encode


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def wiki(url: str, **more: Any) -> Any:
    server = {"type": "mcp", "server_label": "wiki", "server_url": f"{url}/mcp", "require_approval": "never"}
    return [server | more]


def test_a_response_is_a_span_with_its_turns_and_its_calls(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    calls = [Called("wiki__add", '{"a": 1, "b": 2}'), Called("wiki__fail")]
    upstream.script(Answer(calls=calls), Answer("Three."))
    with (
        served(Toolset().server()) as mcp,
        tracing(collector, upstream, tmp_path) as client,
    ):
        response = client.responses.create(model="m", input="Add.", tools=wiki(mcp.url))

    assert sorted(collector.names()) == [
        "chat m",
        "chat m",
        "execute_tool wiki__add",
        "execute_tool wiki__fail",
        "invoke_agent",
    ]
    whole = collector.wait_span("invoke_agent")
    assert (whole.kind, whole.parent_id, whole.failed) == ("server", "", False)
    assert len(collector.children(whole)) == 4
    usage = response.usage
    assert usage is not None
    assert (
        whole.attributes.items()
        >= {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.response.id": response.id,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "antiphon.project": "default",
            "antiphon.backend": "upstream",
            "antiphon.status": "completed",
        }.items()
    )

    turn = collector.wait_span("chat m")
    assert (turn.kind, turn.failed) == ("client", False)
    assert (
        turn.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m",
            "gen_ai.response.finish_reasons": ["tool_call"],
        }.items()
    )
    assert 2 * turn.attributes["gen_ai.usage.input_tokens"] == usage.input_tokens

    made = collector.wait_span("execute_tool wiki__add")
    assert (made.kind, made.failed) == ("internal", False)
    assert (
        made.attributes.items()
        >= {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "wiki__add",
            "gen_ai.tool.type": "extension",
            "antiphon.item.type": "mcp_call",
        }.items()
    )
    failed = collector.wait_span("execute_tool wiki__fail")
    assert failed.failed
    assert failed.attributes["error.type"] == "failed"
    assert all(whole.began <= each.began <= each.ended <= whole.ended for each in collector.spans)


def test_what_is_done_for_a_request_is_part_of_what_it_names_also_at_servers_that_are_asked(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer(calls=[Called("wiki__add", '{"a": 1, "b": 2}')]), Answer("Three."))
    tools = Toolset()
    with served(tools.server()) as mcp, tracing(collector, upstream, tmp_path) as client:
        client.responses.create(model="m", input="Add.", tools=wiki(mcp.url), extra_headers=WITHIN)

    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert collector.wait_span("invoke_agent").parent_id == CALLER
    turns = [span.traceparent + "-01" for span in collector.spans if span.name == "chat m"]
    assert [request.headers["traceparent"] for request in upstream.requests] == turns
    assert upstream.last.headers["tracestate"] == "vendor=kept"
    call = collector.wait_span("execute_tool wiki__add")
    assert tools.headers[0]["traceparent"] == f"{call.traceparent}-01"
    assert tools.meta[0]["traceparent"] == f"{call.traceparent}-01"


def test_requests_that_name_nothing_are_not_part_of_each_other(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = Answer("Hello")
    with tracing(collector, upstream, tmp_path) as client:
        client.responses.create(model="m", input="Hi")
        client.responses.create(model="m", input="Hi", extra_headers={"traceparent": "nonsense"})

    assert len({span.trace_id for span in collector.spans}) == 2
    assert [span.parent_id for span in collector.spans if span.name == "invoke_agent"] == ["", ""]


def test_what_its_caller_does_not_record_is_not_told_either(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with tracing(collector, upstream, tmp_path) as client:
        within = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        client.responses.create(model="m", input="Hi", extra_headers=within)

    assert collector.spans == []
    assert upstream.last.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert upstream.last.headers["traceparent"].endswith("-00")


def test_streams_and_sockets_are_followed_as_well(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = Answer("Hello")
    with Traced(traced(collector, upstream, tmp_path)) as running:
        with checked_client(running.url) as client:
            stream = client.responses.create(model="m", input="Hi", stream=True, extra_headers=WITHIN)
            assert [event.type for event in stream][-1] == "response.completed"
        address = running.url.replace("http", "ws") + "/v1/responses"
        with connect(address, additional_headers=WITHIN) as socket:
            socket.send(encode({"type": "response.create", "model": "m", "input": "Hi"}).decode())
            while "response.completed" not in str(socket.recv()):
                pass
            other = {"ws_request_header_traceparent": f"00-{OTHER}-{CALLER}-01"}
            frame = {"type": "response.create", "model": "m", "input": "Hi", "client_metadata": other}
            socket.send(encode(frame).decode())
            while "response.completed" not in str(socket.recv()):
                pass

    whole = [span for span in collector.spans if span.name == "invoke_agent"]
    assert [span.trace_id for span in whole] == [TRACE, TRACE, OTHER]
    assert {span.parent_id for span in whole} == {CALLER}
    assert [len(collector.children(span)) for span in whole] == [1, 1, 1]


def test_a_response_in_the_background_is_part_of_its_request(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with tracing(collector, upstream, tmp_path) as client:
        begun = client.responses.create(model="m", input="Hi", background=True, extra_headers=WITHIN)
        assert ended(client, begun.id).status == "completed"

    whole = collector.wait_span("invoke_agent")
    assert (whole.trace_id, whole.parent_id) == (TRACE, CALLER)
    assert whole.attributes["antiphon.background"] is True
    assert [span.name for span in collector.children(whole)] == ["chat m"]
    assert upstream.last.headers["traceparent"] == f"{collector.wait_span('chat m').traceparent}-01"


def test_failures_are_told_with_what_kind_they_are(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = refusal(500, "out of order")
    with tracing(collector, upstream, tmp_path) as client:
        with pytest.raises(APIStatusError):
            client.responses.create(model="m", input="Hi")
        upstream.default = Answer("Hello")
        with pytest.raises(BadRequestError):
            client.responses.create(model="m", input="Hi", previous_response_id="resp_none")

    turn = collector.wait_span("chat m")
    assert (turn.failed, turn.attributes["error.type"]) == (True, "UpstreamError")
    failed, refused = (span for span in collector.spans if span.name == "invoke_agent")
    assert (failed.failed, refused.failed) == (True, True)
    assert failed.attributes["error.type"] == "server_error"
    assert refused.attributes["error.type"] == "InvalidRequest"


def test_what_nobody_waits_for_any_more_is_told_as_cancelled(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello", gate=Gate()))
    with tracing(collector, upstream, tmp_path) as client:
        with client.responses.create(model="m", input="Hi", stream=True) as stream:
            next(iter(stream))
        upstream.last.wait_gone()

    assert sorted(collector.names()) == ["chat m", "invoke_agent"]
    assert {span.attributes["error.type"] for span in collector.spans} == {"cancelled"}
    assert collector.wait_span("invoke_agent").attributes["antiphon.status"] == "cancelled"


def test_names_that_clients_choose_make_no_span_large(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with tracing(collector, upstream, tmp_path) as client:
        client.responses.create(model="é" * 300_000, input="Hi")

    whole = collector.wait_span("invoke_agent")
    (turn,) = collector.children(whole)
    assert len(turn.name) == 256
    assert len(turn.attributes["gen_ai.request.model"]) == 65_536
    series = [metric for _, metric in collector.metrics if metric.name.startswith("gen_ai")]
    assert series
    assert max(metric.ByteSize() for metric in series) < 10_000


def test_a_compaction_is_a_turn(collector: Collector, upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("A summary."), Answer("A summary."))
    with tracing(collector, upstream, tmp_path) as client:
        trigger: Any = [{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]
        client.responses.create(model="m", input=trigger)
        client.responses.compact(model="m", input="Hi", extra_headers=WITHIN)

    whole = collector.wait_span("invoke_agent")
    within, alone = (span for span in collector.spans if span.name == "chat m")
    assert within.parent_id == whole.span_id
    assert (alone.trace_id, alone.parent_id) == (TRACE, CALLER)
    assert within.attributes["gen_ai.usage.input_tokens"] > 0


def test_requests_that_are_passed_through_carry_on_what_they_are_part_of(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with Traced(traced(collector, upstream, tmp_path)) as running:
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        url = f"{running.url}/v1/chat/completions"
        httpx2.post(url, json=asked, headers=WITHIN).raise_for_status()

    assert upstream.last.headers["traceparent"] == WITHIN["traceparent"]
    assert upstream.last.headers["tracestate"] == WITHIN["tracestate"]


def test_nothing_that_was_said_and_no_secret_is_told(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer(calls=[Called("wiki__add", '{"a": 17171, "b": 2}')]), Answer("The sum: 17173."))
    with served(Toolset().server()) as mcp, tracing(collector, upstream, tmp_path) as client:
        tools = wiki(mcp.url, authorization="tok-hidden", headers={"X-Key": "key-hidden"})
        client.responses.create(model="m", input="Add 17171 and two.", instructions="Whisper.", tools=tools)

    told = str([span.attributes for span in collector.spans])
    assert "wiki__add" in told
    for hidden in ("hidden", "sk-test", "1717", "Whisper", "sum"):
        assert hidden not in told


def test_without_a_collector_nothing_is_passed_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    client.responses.create(model="m", input="Hi", extra_headers=WITHIN)

    assert "traceparent" not in upstream.last.headers
