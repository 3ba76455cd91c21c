"""A server that is killed while the model's server runs a tool: the turn is made again, and what was cut
short is not taken for done."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.hosted_script import code
from tests.killed import Killed
from tests.responses_script import answer, stream, text, written
from tests.scripted import Answer, Gate, Upstream

PYTHON = {"type": "code_interpreter", "container": {"type": "auto"}}


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    settings = {
        "ANTIPHON_BACKENDS_OWN_TYPE": "responses",
        "ANTIPHON_BACKENDS_OWN_BASE_URL": upstream.base_url,
        "ANTIPHON_BACKENDS_OWN_MODELS": "gpt",
        "ANTIPHON_BACKENDS_OWN_HOSTED": "code_interpreter",
    }
    with Killed(tmp_path, upstream, settings=settings) as killed:
        yield killed


def begin(client: OpenAI) -> str:
    tools = [PYTHON]
    return client.responses.create(model="gpt", input="Hi", tools=tools, background=True).id  # type: ignore[arg-type]


def test_a_turn_that_was_cut_short_is_made_again(server: Killed, upstream: Upstream) -> None:
    events = stream(code("print(1)", "1\n"), text("One"))
    at = next(at for at, event in enumerate(events) if event["type"].endswith("interpreting"))
    gate = Gate(after=at + 1)
    upstream.script(Answer(raw=written(events), gate=gate), answer(code("print(1)", "1\n"), text("One")))
    with checked_client(server.url) as client:
        response_id = begin(client)
        gate.wait_reached()
        server.kill()
        gate.open()
        server.start()
        response = ended(client, response_id)

    kinds = [(item.type, getattr(item, "status", None)) for item in response.output]
    assert response.status == "completed"
    assert kinds[-2:] == [("code_interpreter_call", "completed"), ("message", "completed")]
    assert all(kind == ("code_interpreter_call", "incomplete") for kind in kinds[:-2])
    given = json.dumps(upstream.last.body["input"])
    assert "code_interpreter_call" not in given  # what was cut short is told in words
