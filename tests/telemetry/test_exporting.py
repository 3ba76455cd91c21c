"""How spans get to a collector, and what becomes of them when they do not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.api.test_background import ended
from tests.conftest import Running, checked_client, config_for
from tests.killed import Killed
from tests.scripted import Answer, Called, Upstream
from tests.telemetry.collector import PATIENCE, Collector
from tests.telemetry.test_traces import wiki
from tests.telemetry.traced import CALLER, TRACE, WITHIN, traced, tracing
from tests.test_doctor import doctor
from tests.tools.mcp_servers import Toolset, served

from antiphon.config import ConfigError, Telemetry, load
from antiphon.telemetry.otlp import END_SECONDS

OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def test_a_run_that_another_process_ends_is_one_span_with_the_turns_of_both(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer(calls=[Called("wiki__wait")]), Answer("Never mind."))
    settings = OFTEN | {
        "ANTIPHON_TELEMETRY_OTLP_ENDPOINT": collector.url,
        "ANTIPHON_OUTBOUND_ALLOW_PRIVATE": "true",
    }
    tools = Toolset()
    with served(tools.server()) as mcp, Killed(tmp_path, upstream, settings=settings) as server:
        with checked_client(server.url) as client:
            begun = client.responses.create(
                model="m", input="Hi", background=True, tools=wiki(mcp.url), extra_headers=WITHIN
            )
        assert tools.begun.wait(20)
        first = collector.wait_span("chat m")
        server.kill()
        server.start()
        with checked_client(server.url) as client:
            assert ended(client, begun.id).status == "completed"
        whole = collector.wait_span("invoke_agent")
        server.stop()

    assert (whole.trace_id, whole.parent_id) == (TRACE, CALLER)
    turns = [span for span in collector.children(whole) if span.name == "chat m"]
    assert len(turns) == 2
    assert turns[0] == first
    assert whole.began <= first.began
    assert turns[0].resource["service.instance.id"] != turns[1].resource["service.instance.id"]
    assert collector.names().count("invoke_agent") == 1


def test_a_run_that_is_part_of_nothing_is_one_span_too(
    collector: Collector, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("Hello"))
    with tracing(collector, upstream, tmp_path) as client:
        assert ended(client, client.responses.create(model="m", input="Hi", background=True).id)

    whole = collector.wait_span("invoke_agent")
    assert whole.parent_id == ""
    assert [span.name for span in collector.children(whole)] == ["chat m"]


def test_workers_are_told_apart(collector: Collector, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    settings = {"ANTIPHON_TELEMETRY_OTLP_ENDPOINT": collector.url, "ANTIPHON_SERVER_WORKERS": "2"} | OFTEN

    def instances(here: Collector) -> set[str]:
        return {span.resource["service.instance.id"] for span in here.spans}

    with Killed(tmp_path, upstream, settings=settings) as server:
        end = time.monotonic() + PATIENCE
        while len(instances(collector)) < 2:  # the kernel deals connections out, once both are there
            assert time.monotonic() < end
            asked = {"model": "m", "input": "Hi"}
            httpx2.post(f"{server.url}/v1/responses", json=asked).raise_for_status()
        server.stop()

    assert len(instances(collector)) == 2
    assert {span.resource["service.name"] for span in collector.spans} == {"antiphon"}


def test_variables_of_opentelemetry_hold(
    collector: Collector, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("Hello")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front")
    with tracing(collector, upstream, tmp_path, Telemetry()) as client:
        client.responses.create(model="m", input="Hi")

    resource = collector.wait_span("invoke_agent").resource
    assert resource["service.name"] == "front"
    assert resource["deployment.environment.name"] == "test"
    assert collector.headers[0]["authorization"] == "Basic abc"
    assert set(collector.requests) == {"/v1/traces", "/v1/metrics"}

    told = len(collector.spans)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with tracing(collector, upstream, tmp_path) as client:
        client.responses.create(model="m", input="Hi", extra_headers=WITHIN)
    assert len(collector.spans) == told
    assert upstream.last.headers["traceparent"].endswith("-00")

    asked = len(collector.requests)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with tracing(collector, upstream, tmp_path) as client:
        client.responses.create(model="m", input="Hi")
    assert len(collector.requests) == asked


def test_a_collector_that_takes_nothing_is_told_of_once(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("Hello")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with (
        Collector(status=404) as collector,
        capture_logs() as logs,
        tracing(collector, upstream, tmp_path) as client,
    ):
        for times in range(1, 4):
            client.responses.create(model="m", input="Hi")
            collector.wait(lambda here, times=times: len(here.requests) >= times)
        collector.status = 200
        client.responses.create(model="m", input="Hi")
        collector.wait_span("invoke_agent")

    told = [line for line in logs if line["event"].startswith("traces")]
    assert [line["event"] for line in told] == [
        "traces cannot be exported, and are dropped",
        "traces are exported again",
    ]
    assert "404" in told[0]["reason"]


def test_a_collector_that_hangs_keeps_no_server_from_stopping(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("Hello")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with Collector(hangs=True) as collector:
        running = Running(traced(collector, upstream, tmp_path))
        with running, checked_client(running.url) as client:
            client.responses.create(model="m", input="Hi")
            collector.wait(lambda here: here.requests)
            client.responses.create(model="m", input="Hi")
            begun = time.monotonic()
            running.stop()  # it fails within twenty seconds, and the library waits for thirty
    assert time.monotonic() - begun > END_SECONDS / 2


def test_a_process_ends_beside_a_collector_that_hangs(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    with Collector(hangs=True) as collector:
        settings = {"ANTIPHON_TELEMETRY_OTLP_ENDPOINT": collector.url} | OFTEN
        with Killed(tmp_path, upstream, settings=settings) as server:
            asked = {"model": "m", "input": "Hi"}
            httpx2.post(f"{server.url}/v1/responses", json=asked).raise_for_status()
            collector.wait(lambda here: here.requests)
            server.stop()


def test_nothing_of_opentelemetry_is_imported_where_nothing_is_exported(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from antiphon.api.app import create_app
from antiphon.config import Config
create_app(Config(data_dir=sys.argv[1]))
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=kept, check=True, timeout=60)


def test_without_the_extra_the_server_answers_and_says_what_is_missing(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = Answer("Hello")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    config = replace(config_for(upstream, tmp_path), telemetry=Telemetry(otlp_endpoint="http://127.0.0.1:9"))
    with capture_logs() as logs, Running(config) as running, checked_client(running.url) as client:
        assert client.responses.create(model="m", input="Hi").output_text == "Hello"

    assert [line["reason"] for line in logs if line["event"] == "nothing is exported"] == [
        "Traces and metrics need `pip install 'antiphon[telemetry]'`."
    ]


def test_doctor_says_whether_the_collector_takes_anything(collector: Collector, tmp_path: Path) -> None:
    def said(url: str, **environ: str) -> str:
        return doctor(tmp_path, toml=f'[telemetry]\notlp_endpoint = "{url}"\n', **environ).stdout

    assert f"ok      telemetry: the collector at {collector.url} takes traces" in said(collector.url)
    collector.status = 415
    assert "takes nothing: Failed to export spans batch code: 415" in said(collector.url)
    assert "takes nothing: [Errno 111] Connection refused" in said("http://127.0.0.1:9")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry.exporter.otlp.proto'] = None\n"
    )
    assert "antiphon[telemetry]" in said(collector.url, PYTHONPATH=str(tmp_path))
    assert "ok      telemetry: traces and metrics are not exported" in doctor(tmp_path).stdout


def test_an_endpoint_is_a_url(tmp_path: Path) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text('[telemetry]\notlp_endpoint = "collector:4318"\n')
    with pytest.raises(ConfigError, match=r"otlp_endpoint of \[telemetry\] .* must begin with http://"):
        load(file, {})
