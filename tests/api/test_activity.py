"""What became of each response: one row, whether it was stored, streamed, in the background, or failed."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from openai import APIError, OpenAI
from tests.api.asking import ADD
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Gate, Upstream, Usage, refusal

from antiphon.store.activity import ActivityQuery, ActivityRow
from antiphon.store.sqlite.database import open_sqlite

HELLO = Answer("Hello", usage=Usage(prompt=9, completion=4, cached=2, reasoning=1))


def activity(data_dir: Path) -> Sequence[ActivityRow]:
    """What a server wrote, the newest first."""

    async def read() -> Sequence[ActivityRow]:
        store = await open_sqlite(data_dir / "antiphon.db")
        try:
            page = await store.activity.page(ActivityQuery())
        finally:
            await store.close()
        return [entry.row for entry in page.rows]

    return asyncio.run(read())


def test_a_response_leaves_one_row_that_says_what_it_took(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(HELLO, Answer(calls=[Called("add", '{"a": 1, "b": 2}')] * 2))
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        conversation = client.conversations.create()
        first = client.responses.create(model="m", input="hi", conversation=conversation.id)
        second = client.responses.create(model="other", input="hi", tools=[ADD])

    called, spoke = activity(tmp_path)

    assert (spoke.response_id, spoke.project, spoke.model) == (first.id, "default", "m")
    assert (spoke.backend, spoke.status, spoke.error_code) == ("upstream", "completed", None)
    assert (spoke.input_tokens, spoke.cached_tokens) == (9, 2)
    assert (spoke.output_tokens, spoke.reasoning_tokens) == (4, 1)
    assert (spoke.conversation_id, spoke.tools) == (conversation.id, [])
    assert (spoke.stored, spoke.background) == (True, False)
    assert spoke.created_at == int(first.created_at) <= spoke.ended_at
    assert spoke.first_milliseconds is not None
    assert 0 <= spoke.first_milliseconds <= spoke.milliseconds
    assert (called.response_id, called.model, called.tools) == (second.id, "other", ["function_call"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_not_stored_leaves_a_row_and_no_content(
    upstream: Upstream, tmp_path: Path, stream: bool
) -> None:
    upstream.script(HELLO)
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        answer = client.responses.create(model="m", input="a secret", store=False, stream=stream)
        if stream:
            list(answer)

    (row,) = activity(tmp_path)

    assert (row.status, row.stored, row.output_tokens) == ("completed", False, 4)
    for file in tmp_path.glob("antiphon.db*"):
        assert b"a secret" not in file.read_bytes()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer("Hello", finish="length"), "incomplete", "max_output_tokens"),
        (refusal(429, "Too many requests."), "failed", "rate_limit_exceeded"),
        (Answer("Hello there", size=5, cut_after=1), "failed", "server_error"),
    ],
    ids=["cut short", "refused", "broken off"],
)
def test_how_a_response_ended_is_in_its_row(
    upstream: Upstream, tmp_path: Path, stream: bool, answer: Answer, status: str, code: str
) -> None:
    upstream.script(answer)
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        try:
            made = client.responses.create(model="m", input="hi", stream=stream)
            if stream:
                list(made)
        except APIError:
            assert status == "failed"

    (row,) = activity(tmp_path)

    assert (row.status, row.error_code, row.backend) == (status, code, "upstream")


def test_a_response_whose_client_went_away_is_cancelled(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(dataclasses.replace(HELLO, text="one two", size=4, gate=gate))
    body = {"model": "m", "input": "hi", "stream": True}
    with Running(config_for(upstream, tmp_path)) as running:
        with (
            httpx2.Client(base_url=running.url) as http,
            http.stream("POST", "/v1/responses", json=body) as answer,
        ):
            next(line for line in answer.iter_lines() if line == "event: response.output_text.delta")
        upstream.last.wait_gone()

    (row,) = activity(tmp_path)

    assert (row.status, row.stored) == ("cancelled", False)
    assert row.first_milliseconds is not None


def test_a_background_response_leaves_its_row_at_its_end(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=1)
    upstream.script(HELLO, refusal(400, "No."), dataclasses.replace(HELLO, gate=gate))
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        well, refused = (begin_and_end(client) for _ in range(2))
        cancelled = begin(client)
        gate.wait_reached()
        client.responses.cancel(cancelled.id)
        gate.open()

    rows = activity(tmp_path)

    assert [(row.response_id, row.status) for row in rows] == [
        (cancelled.id, "cancelled"),
        (refused, "failed"),
        (well, "completed"),
    ]
    assert {(row.background, row.stored, row.backend) for row in rows} == {(True, True, "upstream")}
    assert (rows[1].error_code, rows[2].output_tokens) == ("server_error", 4)


def begin_and_end(client: OpenAI) -> str:
    response = begin(client)
    ended(client, response.id)
    return response.id


def test_a_request_that_is_refused_is_no_response(upstream: Upstream, tmp_path: Path) -> None:
    with Running(config_for(upstream, tmp_path)) as running:
        answer = httpx2.post(f"{running.url}/v1/responses", json={"model": "m", "input": 5})
        assert answer.status_code == 400

    assert activity(tmp_path) == []
