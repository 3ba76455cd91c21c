"""`antiphon logs`: responses, a line each, and what one of them was sent; beside a server that runs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.commands import Run, one_sentence, run
from tests.conftest import Running, checked_client, config_for
from tests.kept_at import new_store
from tests.scripted import Answer, Upstream, refusal

from antiphon.config import Config

__all__ = ["run"]


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Config:
    return replace(config_for(upstream, tmp_path / "data"), store=new_store(request.param))


@pytest.fixture
def client(config: Config) -> Iterator[OpenAI]:
    """Of a server that goes on running."""
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def logged(run: Run, config: Config, *words: str) -> str:
    done = run("logs", *words, ANTIPHON_STORE_URL=config.store_url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settled(run: Run, config: Config, response_id: str) -> str:
    """What is said of a response when its recording was written."""
    end = time.monotonic() + 120
    while "sent:" not in (said := logged(run, config, response_id)):
        assert time.monotonic() < end, said
    return said


def test_responses_are_listed_the_newest_last_and_can_be_narrowed(
    run: Run, config: Config, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"), Answer("Hello"))
    first = client.responses.create(model="m", input="Hi")
    second = client.responses.create(model="other", input="Hi")
    settled(run, config, second.id)

    titles, *lines = logged(run, config).splitlines()
    assert titles.split()[:4] == ["time", "status", "took", "first"]
    assert [line.split()[-1] for line in lines] == [first.id, second.id]
    assert [row["response_id"] for row in rows(run, config, "--model", "other")] == [second.id]
    assert [row["response_id"] for row in rows(run, config, "--limit", "1")] == [second.id]
    assert len(rows(run, config, "--since", "1h", "--status", "completed", "--backend", "upstream")) == 2
    assert rows(run, config, "--project", "nobody") == []
    later = datetime.fromtimestamp(time.time() + 3600).isoformat()
    assert rows(run, config, "--since", later) == []


def rows(run: Run, config: Config, *words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in logged(run, config, "--json", *words).splitlines()]


def test_what_a_response_was_sent_is_shown_with_what_came_back(
    run: Run, config: Config, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(refusal(503, "Loading\x1b[2J", retry_after="0"), Answer("Hello"))
    response = client.responses.create(model="m", input="What is this?")

    said = settled(run, config, response.id)

    assert f"#1, turn 1: POST {upstream.base_url}/chat/completions (upstream)" in said
    assert "HTTP 503" in said
    assert "#2, turn 1" in said
    assert '      "content": "What is this?"' in said
    assert "timeline, from the first request on:" in said
    assert response.output[0].id in said
    assert "\x1b" not in said
    first, second = rows(run, config, response.id)
    assert (first["status"], second["status"]) == (503, 200)
    assert json.loads(str(second["request"])) == upstream.last.body
    assert "Hello" in str(second["answer"])


def test_what_ends_later_is_followed(run: Run, config: Config, client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    before = client.responses.create(model="m", input="Hi")
    settled(run, config, before.id)
    words = [sys.executable, "-m", "antiphon", "logs", "--follow", "--json", "--data-dir", config.data_dir]
    variables = {"ANTIPHON_STORE_URL": config.store_url, "PATH": "/usr/bin:/bin"}

    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=variables) as following:
        assert following.stdout is not None
        try:
            assert json.loads(following.stdout.readline())["response_id"] == before.id
            made = [client.responses.create(model="m", input="Hi").id for _ in range(3)]
            assert [json.loads(following.stdout.readline())["response_id"] for _ in made] == made
        finally:
            following.terminate()


def test_a_response_that_there_is_not_and_a_time_that_is_none_are_one_sentence(run: Run) -> None:
    assert "There is no response 'resp_1'" in one_sentence(run("logs", "resp_1"))
    assert "--since 'soon' is no time" in one_sentence(run("logs", "--since", "soon"))
