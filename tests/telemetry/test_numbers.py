"""What /metrics tells of tool calls, upstreams, errors and queues."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import APIStatusError, OpenAI
from tests.api.test_health import read
from tests.conftest import Running, checked_client, config_for
from tests.docs.reading import ROOT
from tests.scripted import Answer, Called, Upstream
from tests.tools.mcp_servers import Toolset, served

from antiphon import config
from antiphon.telemetry import metrics, worker_files


def grown(http: httpx2.Client, before: dict[str, float]) -> dict[str, float]:
    """What has changed since."""
    return {name: value - before.get(name, 0) for name, value in read(http).items()}


def test_tool_calls_are_counted_by_type_and_outcome_with_how_long_they_took(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(
        Answer(calls=[Called("wiki__add", '{"a": 1, "b": 2}'), Called("wiki__fail")]), Answer("Three.")
    )
    reachable = replace(config_for(upstream, tmp_path), outbound=config.Outbound(allow_private=True))
    tools = Toolset()
    with (
        served(tools.server()) as mcp,
        Running(reachable) as running,
        httpx2.Client(base_url=running.url) as http,
        checked_client(running.url) as client,
    ):
        before = read(http)
        client.responses.create(
            model="m",
            input="Add.",
            tools=[
                {
                    "type": "mcp",
                    "server_label": "wiki",
                    "server_url": f"{mcp.url}/mcp",
                    "require_approval": "never",
                }
            ],
        )
        after = grown(http, before)

    assert after['antiphon_tool_calls_total{outcome="completed",type="mcp_call"}'] == 1
    assert after['antiphon_tool_calls_total{outcome="failed",type="mcp_call"}'] == 1
    assert after['antiphon_tool_call_seconds_count{type="mcp_call"}'] == 2


def test_upstreams_are_counted_by_what_came_and_responses_by_who_answered(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    before = read(http)

    client.responses.create(model="m", input="Hi")

    after, server = grown(http, before), f'server="{upstream.base_url}"'
    assert after[f'antiphon_upstream_requests_total{{{server},status="200"}}'] == 1
    assert after['antiphon_backend_responses_total{backend="upstream",status="completed"}'] == 1
    assert after["antiphon_response_seconds_count"] == after["antiphon_first_output_seconds_count"] == 1
    assert read(http)[f"antiphon_upstream_up{{{server}}}"] == 1


def test_an_upstream_that_is_away_is_down_and_its_responses_are_errors(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    away = config.Config(
        data_dir=str(tmp_path),
        backends={"away": config.BackendSettings(base_url=nowhere, default=True, dialect="generic")},
    )
    with (
        Running(away) as running,
        httpx2.Client(base_url=running.url) as http,
        checked_client(running.url) as client,
    ):
        before = read(http)
        with pytest.raises(APIStatusError):
            client.responses.create(model="m", input="Hi")
        after = grown(http, before)

        assert after[f'antiphon_upstream_requests_total{{server="{nowhere}",status="unreachable"}}'] >= 1
        assert after['antiphon_errors_total{code="server_error"}'] == 1
        assert read(http)[f'antiphon_upstream_up{{server="{nowhere}"}}'] == 0


def test_what_waits_in_the_background_is_shown_with_its_age(upstream: Upstream, tmp_path: Path) -> None:
    """A server leaves background work to others: here there are none."""
    accepts = replace(config_for(upstream, tmp_path), server=config.Server(role="server"))
    with Running(accepts) as running, httpx2.Client(base_url=running.url) as http:
        for _ in range(3):
            http.post("/v1/responses", json={"model": "m", "input": "Hi", "background": True})

        told = read(http)

        assert told['antiphon_queue_length{queue="background"}'] == 3
        assert told['antiphon_queue_age_seconds{queue="background"}'] >= 0
        assert told["antiphon_background_runs"] == 0


@pytest.mark.parametrize("shared", [False, True], ids=["one process", "workers"])
def test_tokens_are_there_before_the_first_response(shared: bool, tmp_path: Path) -> None:
    """What grows from nothing to its first value has no rate."""
    program = """
from prometheus_client import generate_latest
from antiphon.telemetry import metrics, worker_files
shared = worker_files.is_shared()
print(generate_latest(worker_files.of_all_workers() if shared else metrics.registry).decode())
"""
    variables = {**os.environ, **({worker_files.FOLDER: str(tmp_path)} if shared else {})}
    told = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
    ).stdout
    for kind in ("input", "output"):
        assert f'antiphon_tokens_total{{kind="{kind}"}} 0.0' in told


def test_a_page_lists_every_number_with_its_kind_and_its_labels(http: httpx2.Client) -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(antiphon_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    documented = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    told = dict(re.findall(r"^# TYPE (antiphon_\w+) (\w+)$", http.get("/metrics").text, re.MULTILINE))
    kinds = {name: kind for name, kind in told.items() if not name.endswith("_created")}

    assert {(name, kind) for name, kind, _ in documented} - {("antiphon_stored_bytes", "gauge")} == set(
        kinds.items()
    )
    own = {each.name: each for each in metrics.registry.collect()}
    for name, _, labels in documented:
        family = own.get(name.removesuffix("_total"))
        for sample in family.samples if family is not None else ():
            assert set(sample.labels) - {"le"} == set(labels), name
