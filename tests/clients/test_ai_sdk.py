"""The Vercel AI SDK, in two major versions: ai_sdk.mjs."""

from pathlib import Path
from typing import Any

import pytest
from tests.clients.node import Node
from tests.conftest import Running, checked_client
from tests.scripted import Answer, Called, Upstream, refusal
from tests.tools.libraries import shelve

CALL = Called("weather", '{"city": "Bonn"}')


@pytest.fixture(params=["6", "7"])
def play(request: pytest.FixtureRequest, node: Node, server: Running, tmp_path: Path) -> Any:
    """Plays a scenario of ai_sdk.mjs with a version."""

    def play(scenario: str, *more: str) -> Any:
        return node.ask("ai_sdk.mjs", "@".join((scenario, request.param, *more)), server.url, tmp_path)

    return play


def said(upstream: Upstream) -> list[tuple[str, Any]]:
    """The last request's messages, without calls."""
    return [(m["role"], m["content"]) for m in upstream.last.body["messages"] if m.get("content")]


def test_text_is_generated(play: Any, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    assert play("text") == {"text": "Hello", "finishReason": "stop", "tokens": [7, 5]}
    assert said(upstream) == [("system", "Be brief."), ("user", "Hi")]


def test_tools_run_until_the_answer(play: Any, upstream: Upstream) -> None:
    upstream.script(Answer("Let me see.", reasoning="Hm.", calls=[CALL]), Answer("Rain."))
    assert play("tools") == {"text": "Rain.", "results": [{"city": "Bonn", "rain": True}]}
    assert said(upstream) == [
        ("user", "Bonn?"),
        ("assistant", "Let me see."),
        ("tool", '{"city":"Bonn","rain":true}'),
    ]


def test_an_object_is_generated(play: Any, upstream: Upstream) -> None:
    upstream.script(Answer('{"city": "Bonn", "rain": true}'))
    assert play("object") == {"city": "Bonn", "rain": True}
    assert upstream.last.body["response_format"]["type"] == "json_schema"


def test_text_is_streamed_after_tools_have_run(play: Any, upstream: Upstream) -> None:
    upstream.script(Answer(reasoning="Hm.", calls=[CALL], size=3), Answer("It rains in Bonn.", size=4))
    told = play("stream")
    assert told["pieces"] > 1
    assert (told["text"], told["failures"]) == ("It rains in Bonn.", [])


def test_an_object_is_streamed(play: Any, upstream: Upstream) -> None:
    upstream.script(Answer('{"city": "Bonn", "rain": true}', size=4))
    assert play("streamedObject") == {"output": {"city": "Bonn", "rain": True}, "grew": True}


def test_a_fault_is_reported_in_words(play: Any, upstream: Upstream) -> None:
    upstream.script(refusal(400, "That is too long.", "context_length_exceeded"))
    message = "Your input exceeds the context window of this model. Please adjust your input and try again."
    assert play("fault") == {"status": 400, "message": message}


def test_files_are_searched_and_cited(play: Any, upstream: Upstream, server: Running) -> None:
    search = Answer(calls=[Called("file_search", '{"queries": ["Why do boats float?"]}')], size=3)
    upstream.script(search, Answer("They are light 【1】.", size=3))
    with checked_client(server.url) as client:
        store = shelve(client, {"boats.md": "Boats float because they are light."})

    told = play("files", store)

    assert told["text"] == "They are light ."
    assert told["queries"] == ["Why do boats float?"]
    assert told["found"] == ["boats.md"]
    assert [(each["sourceType"], each["filename"]) for each in told["sources"]] == [("document", "boats.md")]
