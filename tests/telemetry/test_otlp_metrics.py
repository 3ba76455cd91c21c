"""Metrics over OTLP: what /metrics counts, and what the conventions for generative AI ask for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIStatusError
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Answer, Called, Upstream, refusal
from tests.telemetry.collector import Collector, plain
from tests.telemetry.test_traces import wiki
from tests.telemetry.traced import WITHIN, Traced, traced, tracing
from tests.tools.mcp_servers import Toolset, served


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def last(collector: Collector, name: str) -> Metric:
    """As it was told of last: when the server stopped."""
    found = [metric for _, metric in collector.metrics if metric.name == name]
    assert found, f"there is no {name} among {sorted({metric.name for _, metric in collector.metrics})}"
    return found[-1]


def histogram(collector: Collector, name: str, **wanted: Any) -> HistogramDataPoint:
    """The only one with these attributes, whose dots are written as `__`."""
    asked = {name.replace("__", "."): value for name, value in wanted.items()}.items()
    (found,) = (
        point
        for point in last(collector, name).histogram.data_points
        if asked <= plain(point.attributes).items()
    )
    return found


def test_turns_responses_and_calls_are_measured_as_the_conventions_have_it(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer(calls=[Called("wiki__add", '{"a": 1, "b": 2}')]), Answer("Three."))
    with served(Toolset().server()) as mcp, tracing(collector, upstream, tmp_path) as client:
        response = client.responses.create(model="m", input="Add.", tools=wiki(mcp.url), extra_headers=WITHIN)

    usage = response.usage
    assert usage is not None
    turn = {
        "gen_ai__operation__name": "chat",
        "gen_ai__request__model": "m",
        "gen_ai__provider__name": "openai",
    }
    read = histogram(collector, "gen_ai.client.token.usage", gen_ai__token__type="input", **turn)
    written = histogram(collector, "gen_ai.client.token.usage", gen_ai__token__type="output", **turn)
    assert (read.count, read.sum) == (2, usage.input_tokens)
    assert (written.count, written.sum) == (2, usage.output_tokens)
    assert list(read.explicit_bounds)[:3] == [1, 4, 16]
    took = histogram(collector, "gen_ai.client.operation.duration", **turn)
    assert took.count == 2
    chats = [span for span in collector.spans if span.name == "chat m"]
    assert took.sum == pytest.approx(sum(span.ended - span.began for span in chats) / 1e9, rel=1e-3, abs=1e-5)
    assert histogram(collector, "gen_ai.client.operation.time_to_first_chunk", **turn).count == 2

    whole = {"gen_ai__operation__name": "invoke_agent", "gen_ai__request__model": "m"}
    assert histogram(collector, "gen_ai.server.request.duration", **whole).count == 1
    assert histogram(collector, "gen_ai.server.time_to_first_token", **whole).count == 1
    called = histogram(collector, "gen_ai.execute_tool.duration", gen_ai__tool__name="wiki__add")
    assert called.count == 1
    (exemplar,) = called.exemplars
    assert exemplar.trace_id.hex() == collector.wait_span("execute_tool wiki__add").trace_id


def test_failures_are_measured_apart(collector: Collector, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = refusal(500, "out of order")
    with tracing(collector, upstream, tmp_path) as client, pytest.raises(APIStatusError):
        client.responses.create(model="m", input="Hi")

    failed = histogram(collector, "gen_ai.client.operation.duration", error__type="UpstreamError")
    assert failed.count == 1
    assert not [metric for _, metric in collector.metrics if metric.name == "gen_ai.client.token.usage"]


def test_what_metrics_counts_is_told_as_well_from_nought_for_each_process(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = Answer("Hello")
    with tracing(collector, upstream, tmp_path) as client:
        for _ in range(3):
            client.responses.create(model="m", input="Hi")

    (ended,) = last(collector, "antiphon_responses").sum.data_points
    assert (plain(ended.attributes), ended.as_double) == ({"status": "completed"}, 3)
    assert last(collector, "antiphon_responses").sum.is_monotonic
    (seconds,) = last(collector, "antiphon_response_seconds").histogram.data_points
    assert (seconds.count, sum(seconds.bucket_counts)) == (3, 3)
    assert len(seconds.bucket_counts) == len(seconds.explicit_bounds) + 1
    assert not seconds.HasField("min")
    assert last(collector, "antiphon_response_seconds").unit == "s"
    assert last(collector, "antiphon_open_connections").gauge.data_points
    assert {resource["service.name"] for resource, _ in collector.metrics} == {"antiphon"}


def test_the_numbers_of_workers_add_up(collector: Collector, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    settings = {
        "ANTIPHON_TELEMETRY_OTLP_ENDPOINT": collector.url,
        "ANTIPHON_SERVER_WORKERS": "2",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
    with Killed(tmp_path, upstream, settings=settings) as server:
        for _ in range(20):
            asked = {"model": "m", "input": "Hi"}
            httpx2.post(f"{server.url}/v1/responses", json=asked).raise_for_status()
        collector.wait(lambda here: responses(here) == 20)
        server.stop()

    assert responses(collector) == 20


def responses(collector: Collector) -> float:
    """How many all workers have told of."""
    by_worker = {
        resource["service.instance.id"]: sum(point.as_double for point in metric.sum.data_points)
        for resource, metric in collector.metrics
        if metric.name == "antiphon_responses"
    }
    return sum(by_worker.values())


def test_a_signal_that_is_not_wanted_is_not_sent(
    collector: Collector, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("Hello")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    with Traced(traced(collector, upstream, tmp_path)) as running, checked_client(running.url) as client:
        client.responses.create(model="m", input="Hi")
    assert set(collector.requests) == {"/v1/traces"}

    monkeypatch.delenv("OTEL_METRICS_EXPORTER")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    collector.requests.clear()
    with Traced(traced(collector, upstream, tmp_path)) as running, checked_client(running.url) as client:
        client.responses.create(model="m", input="Hi", extra_headers=WITHIN)
    assert set(collector.requests) == {"/v1/metrics"}
    assert upstream.last.headers["traceparent"].startswith(WITHIN["traceparent"][:35])
