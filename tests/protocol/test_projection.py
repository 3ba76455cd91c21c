"""What `include` shows and hides, of each item that has something to hide."""

import json
from typing import Any, get_args

import msgspec
import pytest
from tests.papers import picture_url
from tests.protocol.test_items import EXAMPLES

from antiphon.protocol import events
from antiphon.protocol.items import decode_stored
from antiphon.protocol.projection import ROWS, Projection, projection
from antiphon.protocol.request import Include
from antiphon.protocol.wire import encode

Json = dict[str, Any]

URL = picture_url()
LOGPROBS = [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}]
TEXT: Json = {"type": "output_text", "annotations": [], "text": "a"}

# The value, an item that has what it shows, and the same without.
HIDDEN: list[tuple[Include, Json, Json]] = [
    (
        "file_search_call.results",
        {"type": "file_search_call", "queries": ["a"], "results": [{"text": "t"}]},
        {"type": "file_search_call", "queries": ["a"], "results": None},
    ),
    (
        "web_search_call.action.sources",
        {"type": "web_search_call", "action": {"type": "search", "sources": [{"type": "url", "url": "u"}]}},
        {"type": "web_search_call", "action": {"type": "search"}},
    ),
    (
        "message.input_image.image_url",
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": URL}]},
        {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
    ),
    (
        "computer_call_output.output.image_url",
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "x", "image_url": URL}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "x"}},
    ),
    (
        "code_interpreter_call.outputs",
        {"type": "code_interpreter_call", "outputs": [{"type": "logs", "logs": "2"}]},
        {"type": "code_interpreter_call", "outputs": None},
    ),
    (
        "reasoning.encrypted_content",
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"},
        {"type": "reasoning", "summary": []},
    ),
    (
        "message.output_text.logprobs",
        {"type": "message", "role": "assistant", "content": [TEXT | {"logprobs": LOGPROBS}]},
        {"type": "message", "role": "assistant", "content": [TEXT | {"logprobs": []}]},
    ),
    (
        "web_search_call.results",
        {"type": "web_search_call", "results": [{"url": "u"}]},
        {"type": "web_search_call"},
    ),
]
by_value = pytest.mark.parametrize(("value", "whole", "bare"), HIDDEN, ids=[row[0] for row in HIDDEN])


def shown(shows: Projection, item: Json) -> Json:
    found: Json = json.loads(shows.stored_item(encode(item)))
    return found


def event_shown(shows: Projection, event: Json) -> Json:
    (line,) = shows.stored_events([encode(event)])
    found: Json = json.loads(line)
    return found


def test_every_value_of_include_has_a_row() -> None:
    assert set(ROWS) == set(get_args(Include)) == {value for value, _, _ in HIDDEN}


@by_value
def test_what_is_included_is_shown_and_what_is_not_is_hidden(value: Include, whole: Json, bare: Json) -> None:
    others = set(ROWS) - {value}

    assert shown(projection(None), whole) == shown(projection(others), whole) == bare
    assert shown(projection([value]), whole) == shown(projection(ROWS), whole) == whole
    assert shown(projection(None), bare) == bare


@by_value
def test_a_stored_stream_is_shown_alike(value: Include, whole: Json, bare: Json) -> None:
    done = {"type": "response.output_item.done", "output_index": 0, "item": whole}
    ended = {"type": "response.completed", "response": {"id": "resp_1", "output": [whole]}}

    assert event_shown(projection(None), done)["item"] == bare
    assert event_shown(projection(None), ended)["response"]["output"] == [bare]
    assert event_shown(projection([value]), done) == done
    assert event_shown(projection([value]), ended) == ended


def test_the_deltas_of_a_stored_stream_have_logprobs_when_they_are_included() -> None:
    delta = {"type": "response.output_text.delta", "delta": "a", "logprobs": LOGPROBS}

    assert event_shown(projection(None), delta)["logprobs"] == []
    assert event_shown(projection(["message.output_text.logprobs"]), delta) == delta


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_item_that_is_written_is_shown_as_the_stored_one(kind: str) -> None:
    stored = decode_stored(encode({"type": kind, **EXAMPLES[kind][1]})).stored(lambda kind: f"{kind}_1")
    done = events.ItemDone(output_index=0, item=stored)

    for shows in (projection(None), projection(ROWS), projection(["file_search_call.results"])):
        (event,) = shows.events([done])
        assert encode(event) == shows.stored_events([encode(done)])[0]
        assert encode(shows.item(stored)) == shows.stored_item(encode(stored))
        assert encode(shows.item(stored)) == encode(msgspec.json.decode(encode(shows.item(stored))))


def test_what_has_nothing_to_hide_is_passed_on_as_it_is() -> None:
    line = encode({"type": "response.output_text.delta", "delta": "results outputs", "logprobs": []})
    item = decode_stored(b'{"type":"message","role":"assistant","content":"Hi"}')

    assert projection(None).stored_item(line) is line
    assert projection(None, frozenset({"message"})).item(item) is not item
    assert projection(None, frozenset({"mcp_call"})).item(item) is item
    assert not projection(None, frozenset({"mcp_call"}))
    assert not projection(ROWS)
    assert projection(None) is projection([])
