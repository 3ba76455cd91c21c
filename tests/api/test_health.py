"""/healthz and /metrics: what those ask who look after the server."""

import httpx2
import pytest
from openai import OpenAI
from tests.scripted import Answer, Upstream, Usage


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_a_server_that_runs_is_healthy(http: httpx2.Client, path: str) -> None:
    told = http.get(path)

    assert (told.status_code, told.text) == (200, "ok\n")


def read(http: httpx2.Client) -> dict[str, float]:
    lines = http.get("/metrics").text.splitlines()
    split = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in split}


def test_metrics_count_responses_tokens_and_requests(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"), Answer("Hello", finish="length"))
    before = read(http)

    told = client.responses.create(model="m", input="Hi")
    list(client.responses.create(model="m", input="Hi", stream=True))
    client.responses.retrieve(told.id)
    client.responses.delete(told.id)
    after = read(http)

    grown = {name: value - before.get(name, 0) for name, value in after.items() if "_created" not in name}
    families = ("antiphon_responses_", "antiphon_tokens_", "antiphon_http_requests_")
    counted = {
        name: value
        for name, value in grown.items()
        if value and "/metrics" not in name and name.startswith(families)
    }
    one = "/v1/responses/{response_id}"
    # The transport of our tests reads each response back once more.
    assert counted == {
        'antiphon_responses_total{status="completed"}': 1,
        'antiphon_responses_total{status="incomplete"}': 1,
        'antiphon_tokens_total{kind="input"}': 14,
        'antiphon_tokens_total{kind="output"}': 10,
        'antiphon_http_requests_total{method="POST",route="/v1/responses",status="200"}': 2,
        f'antiphon_http_requests_total{{method="GET",route="{one}",status="200"}}': 3,
        f'antiphon_http_requests_total{{method="DELETE",route="{one}",status="200"}}': 1,
    }


def test_a_server_that_takes_tokens_back_takes_none_from_the_counters(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello", usage=Usage(-50, -7)), Answer("Hello", usage=Usage(3, 2)))
    before = read(http)

    for _ in range(2):
        list(client.responses.create(model="m", input="Hi", stream=True))
    assert [http.get("/metrics").status_code for _ in range(2)] == [200, 200]
    after = read(http)

    for kind, count in (("input", 3), ("output", 2)):
        name = f'antiphon_tokens_total{{kind="{kind}"}}'
        assert after[name] - before[name] == count


def test_metrics_name_no_path_that_a_client_made_up(http: httpx2.Client) -> None:
    http.get("/v1/made-up-path")

    text = http.get("/metrics").text

    assert "made-up-path" not in text
    assert 'route="unknown",status="404"' in text
