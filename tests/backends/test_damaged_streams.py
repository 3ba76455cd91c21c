"""Streams of Messages and Responses servers with damage anywhere: members that are none, events that come
again, in another order or not at all, and bytes that are cut. What comes of it is an answer or a fault."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import messages_script, responses_script
from tests.joined import joined

from antiphon.backends.anthropic.stream import MessagesReader
from antiphon.backends.event_reader import EventReader
from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.sse import Events
from antiphon.model import CallArguments, CallStarted, Delta, Finished
from antiphon.protocol.errors import ApiError

NAMES = frozenset({"add"})
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**63, 10**400, "", "x", "\ud83d", "9", [], {}, [None], {"a": {}}),
    *([[]], [{}], {"type": "text"}, {"type": None}, {"text": ["x"]}, "x" * 10_000),
]


class Api(NamedTuple):
    """How an API says something, event by event, and who reads it."""

    events: list[dict[str, Any]]
    make: Callable[[], EventReader[Any]]


def _decoded(raw: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(each.partition(b"data: ")[2]) for each in raw]


MESSAGES = Api(
    _decoded(
        messages_script.stream(
            messages_script.thinking("I think.", "c2ln", size=3),
            messages_script.redacted("ZGF0YQ=="),
            messages_script.text("Hello there", size=4),
            messages_script.tool("add", '{"a": 1, "b": 2}', "toolu_1", size=5),
            messages_script.tool("add", "", "toolu_2"),
            reason="tool_use",
            usage={"cache_creation": {"ephemeral_5m_input_tokens": 1}, "service_tier": "standard"},
        )
    ),
    lambda: MessagesReader(NAMES),
)
RESPONSES = Api(
    responses_script.stream(
        responses_script.sealed("gAAAA", "First.", "Then."),
        responses_script.thought("Hm"),
        responses_script.text("Hello there", 4),
        responses_script.refusal("No."),
        responses_script.searched("x"),
        responses_script.call("add", '{"a": 1, "b": 2}', "call_1", 5),
        responses_script.call("add", "{}", "call_2"),
        service_tier="default",
    ),
    lambda: ResponsesReader(NAMES, top=2, most=50),
)
APIS = {"messages": MESSAGES, "responses": RESPONSES}


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all members of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, each in inner for found in ((*way, name), *places(each, (*way, name)))]


def damaged(event: dict[str, Any], way: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """The event with something else in one of its places."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    inside: Any = copy
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = odd
    return copy


def written(events: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)


def read(api: Api, body: bytes, cuts: Sequence[int] = ()) -> list[Any] | None:
    """What it says; None: it is a fault."""
    reader, events = api.make(), Events()
    said: list[Delta] = []
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    try:
        for start, end in pairwise(edges):
            said += reader.read(events.feed(body[start:end]))
            if reader.fault is not None:
                return None
            if reader.ended:
                break
        if not reader.ended:
            said += reader.cut(events.rest())
    except ApiError:
        return None
    check(said)
    return joined(said)


def check(said: Sequence[Delta]) -> None:
    """An answer has one end, and its calls begin before their arguments come, each once."""
    assert [isinstance(each, Finished) for each in said].count(True) == 1
    assert isinstance(said[-1], Finished)
    open_calls: list[int] = []
    for each in said:
        if isinstance(each, CallStarted):
            assert each.index not in open_calls
            open_calls.append(each.index)
        elif isinstance(each, CallArguments):
            assert each.index in open_calls


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_one_odd_member_anywhere_is_an_answer_or_a_fault(api: Api) -> None:
    for at, event in enumerate(api.events):
        for way in places(event):
            for odd in ODD:
                events = [*api.events[:at], damaged(event, way, odd), *api.events[at + 1 :]]
                read(api, written(events))


@settings(max_examples=300, deadline=None)
@given(api=st.sampled_from(list(APIS.values())), data=st.data())
def test_events_in_any_order_however_often_and_cut_anywhere_are_an_answer_or_a_fault(
    api: Api, data: st.DataObject
) -> None:
    order = data.draw(st.lists(st.integers(0, len(api.events) - 1), max_size=60))
    events = [api.events[at] for at in order]
    for _ in range(data.draw(st.integers(0, 4)) if events else 0):
        at = data.draw(st.integers(0, len(events) - 1))
        way = data.draw(st.sampled_from(places(events[at])))
        events[at] = damaged(events[at], way, data.draw(st.sampled_from(ODD)))
    body = written(events)
    body = body[: data.draw(st.integers(0, len(body)))]

    once = read(api, body)
    assert read(api, body, data.draw(st.lists(st.integers(1, 8000), max_size=30))) == once


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize(("odd", "shown"), [(b"\x00", "\x00"), (b"\xff", "\ufffd"), (b"\t\n", "\t\n")])
def test_bytes_that_json_does_not_have_cost_no_answer(api: Api, odd: bytes, shown: str) -> None:
    whole = json.dumps(api.events[-1]).encode()
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in api.events[:-1])
    said = read(
        api, body.replace(b"Hell", b"He" + odd.replace(b"\n", b"") + b"ll") + b"data: " + whole + b"\n\n"
    )
    assert said is not None
    assert any(isinstance(each, str) and shown.rstrip("\n") in each for each in said)
