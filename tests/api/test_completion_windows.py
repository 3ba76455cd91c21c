"""Background responses that may wait: they begin when the server has little to do for others."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from openai.types.responses import Response
from tests.api.asking import Json, refused
from tests.api.test_background import WORDS, begin, ended, held
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Gate, Upstream

from antiphon.config import Limits

WINDOW = "background_options.completion_window"


def options(window: str, **more: str) -> dict[str, Any]:
    return {"background_options": {"completion_window": window, **more}}


class Busy:
    """A client that waits for an answer while the block runs."""

    def __init__(self, client: OpenAI, upstream: Upstream) -> None:
        self._gate = Gate()
        self._upstream = upstream
        self._thread = Thread(target=lambda: client.responses.create(model="m", input="busy", stream=False))

    def __enter__(self) -> None:
        self._upstream.on(lambda body: "busy" in str(body["messages"]), held(self._gate))
        self._thread.start()
        self._upstream.wait_requests(1)

    def __exit__(self, *_: object) -> None:
        self._gate.open()
        self._thread.join()


@covers("param.background_options", "param.background_options.completion_window")
@pytest.mark.parametrize("window", ["2h", "8h"])
def test_a_response_with_a_window_begins_when_nobody_else_waits(
    client: OpenAI, upstream: Upstream, window: str
) -> None:
    upstream.default = WORDS
    with Busy(client, upstream):
        patient = begin(client, **options(window))
        urgent = ended(client, begin(client).id)
        assert urgent.status == "completed"
        assert client.responses.retrieve(patient.id).status == "queued"

    assert ended(client, patient.id).output_text == WORDS.text


def test_soonest_waits_for_nobody(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = WORDS
    with Busy(client, upstream):
        assert ended(client, begin(client, **options("soonest")).id).status == "completed"


def test_a_response_that_waits_can_be_cancelled(client: OpenAI, upstream: Upstream) -> None:
    with Busy(client, upstream):
        patient = begin(client, **options("8h"))
        assert client.responses.cancel(patient.id).status == "cancelled"


def test_the_configuration_says_what_little_is(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = WORDS
    config = replace(config_for(upstream, tmp_path), limits=Limits(background_quiet=1))
    with Running(config) as running, checked_client(running.url) as client, Busy(client, upstream):
        assert ended(client, begin(client, **options("2h")).id).status == "completed"


@pytest.mark.parametrize(
    "members",
    [
        {"background": False},
        {},
        {"background": True, "stream": True},
        {"background": True, "service_tier": "flex"},
    ],
)
def test_a_window_needs_a_response_that_nobody_waits_for(client: OpenAI, members: Json) -> None:
    with refused(400, "invalid_value", WINDOW):
        client.responses.create(model="m", input="hi", **options("2h"), **members)


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"completion_window": "24h"}, "invalid_value", WINDOW),
        ({"continuation_id": "x" * 513}, "string_above_max_length", "background_options.continuation_id"),
    ],
)
def test_options_that_are_none_are_refused(client: OpenAI, given: Any, code: str, param: str) -> None:
    with refused(400, code, param):
        client.responses.create(model="m", input="hi", background=True, background_options=given)


@covers("param.background_options.continuation_id")
def test_a_continuation_without_a_window_is_warned_of(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = WORDS
    raw = client.responses.with_raw_response.create(
        model="m", input="hi", background_options={"continuation_id": "c"}
    )
    assert isinstance(raw.parse(), Response)
    assert "background_options.continuation_id" in raw.headers["x-antiphon-warnings"]
