"""What a server says of the tools that it runs itself: read in any chunks and any order, with members left
out or odd, and written as items whatever came of it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import count, pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_responses_stream import LESS
from tests.hosted_script import PICTURE, cited, code, picture, web
from tests.joined import joined
from tests.responses_script import Json, Said, call, sealed, stream, text, thought, written

from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.sse import Events
from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import (
    AnnotationDelta,
    Delta,
    HostedCode,
    HostedEnded,
    HostedPicture,
    HostedStarted,
    HostedWorking,
    PicturesDelta,
)
from antiphon.protocol.content import UrlCitation
from antiphon.protocol.hosted_items import (
    ApiSource,
    CodeInterpreterCall,
    ImageGenerationCall,
    Logs,
    OpenPage,
    Search,
    UrlSource,
    WebSearchCall,
)
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening
from antiphon.protocol.tools import AutoContainer, CodeInterpreterTool, ImageGenerationTool, WebSearchTool
from antiphon.protocol.wire import encode
from antiphon.stream.fold import fold
from antiphon.stream.machine import Machine
from antiphon.tools.context import Hosting, ToolContext
from antiphon.tools.toolbox import Toolbox

KINDS = frozenset({"web_search", "code_interpreter", "image_generation"})
TOOLS = (WebSearchTool(), CodeInterpreterTool(container=AutoContainer()), ImageGenerationTool())


def reader(hosted: frozenset[str] = KINDS) -> ResponsesReader:
    return ResponsesReader(frozenset({"add"}), hosted=hosted)


def read(body: bytes, cuts: Sequence[int] = (), hosted: frozenset[str] = KINDS) -> list[Delta]:
    """What a stream says that comes in pieces. Raises ApiError."""
    reading, events = reader(hosted), Events()
    said: list[Delta] = []
    for start, end in pairwise(sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})):
        said += reading.read(events.feed(body[start:end]))
        if reading.fault is not None:
            raise reading.fault
        if reading.ended:
            return said
    return said + reading.cut(events.rest())


def told(events: Sequence[Json]) -> bytes:
    return b"".join(written(events))


def items(deltas: Sequence[Delta]) -> list[Any]:
    return [delta.item for delta in deltas if isinstance(delta, HostedEnded)]


SEARCH = WebSearchCall(
    status="completed",
    action=Search(query="x", queries=["x"], sources=[UrlSource(url="https://a.example/")]),
)
RAN = CodeInterpreterCall(
    status="completed", container_id="cntr_theirs", code="print(1)", outputs=[Logs(logs="1\n")]
)
MADE = ImageGenerationCall(
    status="completed",
    result=PICTURE,
    revised_prompt="a cat",
    size="1024x1024",
    quality="low",
    background="opaque",
    output_format="png",
)
ALL: list[Said] = [
    web("x", "https://a.example/"),
    code("print(1)", "1\n", size=3),
    picture("a cat"),
    cited("It is ", "one", "https://a.example/"),
]


def test_each_call_is_told_from_its_beginning_to_its_end() -> None:
    found = read(told(stream(*ALL)))

    kinds = [type(delta) for delta in found if "Hosted" in type(delta).__name__]
    assert kinds == [
        *(HostedStarted, HostedWorking, HostedEnded),
        *(HostedStarted, HostedCode, HostedCode, HostedCode, HostedWorking, HostedEnded),
        *(HostedStarted, HostedWorking, HostedPicture, HostedEnded),
    ]
    assert items(found) == [SEARCH, RAN, MADE]


def test_what_the_server_was_not_asked_to_run_is_left_out() -> None:
    found = read(told(stream(*ALL)), hosted=frozenset({"web_search"}))

    assert items(found) == [SEARCH]


@pytest.mark.parametrize("less", LESS.values(), ids=LESS)
def test_members_that_are_missing_are_not_missed(less: Callable[[list[Json]], list[Json]]) -> None:
    found = read(told(less(stream(*ALL))))

    if not items(found):  # no item came whole
        assert less in (LESS["no end of anything"], LESS["deltas and the end alone"])
    assert all(item in (SEARCH, RAN, MADE) for item in items(found))
    assert "".join(each for each in joined(found) if isinstance(each, str)) == "It is one."


@pytest.mark.parametrize("name", ["no ids", "no indexes", "no deltas", "other ids at the end"])
def test_every_item_is_told_once(name: str) -> None:
    assert items(read(told(LESS[name](stream(*ALL))))) == [SEARCH, RAN, MADE]


def at_once(without: Sequence[str] = ()) -> list[Json]:
    """Two runs of code, of which the one that began last ends first."""
    first, second = ([dict(event) for event in code(each, each, size=2)(at)] for at, each in enumerate("ab"))
    mixed = [first[0], second[0], *second[1:-1], *first[1:-1], second[-1], first[-1]]
    told = [{name: value for name, value in event.items() if name not in without} for event in mixed]
    return [*told, {"type": "response.completed", "response": {}}]


@pytest.mark.parametrize("without", [(), ("output_index",), ("item_id",)], ids=["all", "ids", "indexes"])
def test_calls_that_are_made_at_once_are_not_mixed_up(without: Sequence[str]) -> None:
    found = read(told(at_once(without)))

    begun = [delta.index for delta in found if isinstance(delta, HostedStarted)]
    wrote = {delta.index: delta.text for delta in found if isinstance(delta, HostedCode)}
    ended = {delta.index: delta.item for delta in found if isinstance(delta, HostedEnded)}
    assert begun == [0, 1]
    assert wrote == {0: "a", 1: "b"}
    assert [ended[at].code for at in begun] == ["a", "b"]
    assert len(items(found)) == 2


@pytest.mark.parametrize("left", ["item_id", "output_index"])
def test_an_event_of_a_call_that_is_over_is_not_that_of_another(left: str) -> None:
    over, late = code("a", "a")(0), code("b", "b")(1)
    (delta,) = (event for event in over if event["type"].endswith(".delta"))
    strays = [{name: delta[name] for name in ("type", "delta", left)}]

    found = read(told([*over, late[0], *strays, *late[1:], {"type": "response.completed", "response": {}}]))

    assert "".join(delta.text for delta in found if isinstance(delta, HostedCode)) == "ab"


def test_a_response_in_one_piece_says_the_same() -> None:
    whole = json.dumps(stream(*ALL)[-1]["response"]).encode()

    assert items(reader().whole(whole)) == [SEARCH, RAN, MADE]


def test_annotations_are_counted_from_where_their_message_begins() -> None:
    """Messages that follow each other are one of ours, with a blank line between them."""
    found = read(told(stream(text("First."), cited("It is ", "one", "https://a.example/"))))

    notes = [delta.annotation for delta in found if isinstance(delta, AnnotationDelta)]
    assert notes == [UrlCitation(url="https://a.example/", title="A page", start_index=14, end_index=17)]
    assert joined(found)[0] == "First.\n\nIt is one"


def test_annotations_that_stand_in_the_whole_text_alone_are_read() -> None:
    events = [
        event for event in stream(cited("a", "b", "https://a.example/")) if "annotation" not in event["type"]
    ]

    notes = [delta for delta in read(told(events)) if isinstance(delta, AnnotationDelta)]
    assert len(notes) == 1


def test_what_came_up_since_is_left_out_of_an_item() -> None:
    item = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "searching",
        "mood": "good",
        "action": {
            "type": "search",
            "query": 7,
            "queries": ["x", 8],
            "sources": [{"type": "api", "name": "oai-weather"}, {"url": "https://a.example/"}, "odd", {}],
            "intent": "curious",
        },
        "results": [{"type": "hologram"}, None],
    }
    event = {"type": "response.output_item.done", "output_index": 0, "item": item}

    (found,) = items(read(told([event, {"type": "response.completed", "response": {}}])))
    sources = [ApiSource(name="oai-weather"), UrlSource(url="https://a.example/")]
    assert found == WebSearchCall(
        status="completed", action=Search(query="x", queries=["x"], sources=sources)
    )


@pytest.mark.parametrize(
    "kind",
    ["web_search_call_mood.delta", "web_search_call.mood.delta", "web_search_calls.done", "web_search_call"],
)
def test_an_event_that_came_up_since_is_left_out(kind: str) -> None:
    first, *rest = stream(*ALL)
    strange = {"type": f"response.{kind}", "item_id": "ws_0", "output_index": 0, "delta": "x"}

    assert items(read(told([first, strange, *rest]))) == [SEARCH, RAN, MADE]


def test_an_action_of_an_unknown_kind_is_no_action() -> None:
    item = {"type": "web_search_call", "action": {"type": "dance"}}
    events: list[Json] = [
        {"type": "response.output_item.done", "item": item},
        {"type": "response.output_item.done", "item": {**item, "action": {"type": "open_page", "url": None}}},
        {"type": "response.completed", "response": {}},
    ]

    assert [found.action for found in items(read(told(events)))] == [None, OpenPage()]


def test_pictures_that_were_not_made_cost_nothing() -> None:
    none = {"image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}
    found = read(told(stream(text("Hi"), tool_usage=none)))

    assert not [delta for delta in found if isinstance(delta, PicturesDelta)]


# ---- any chunks, any order, any member --------------------------------------------------------------

SAID = st.lists(
    st.one_of(
        st.sampled_from(["", "aé😀", "x\n"]).map(lambda said: cited(said, "here", "https://a.example/")),
        st.just(web("x", "https://a.example/")),
        st.just(web("y", status="failed")),
        st.just(code("print(1)", "1\n", size=3)),
        st.just(picture("a cat", partials=2)),
        st.just(sealed("gAAAA", "So.")),
        st.just(sealed("gBBBB")),
        st.just(thought("Hm")),
        st.just(call("add", '{"a": 1}', "call_1", 3)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(SAID, st.lists(st.integers(1, 9000), max_size=30))
def test_any_chunks_of_any_answer_say_the_same(said: list[Any], cuts: list[int]) -> None:
    body = told(stream(*said))

    assert read(body, cuts) == read(body)


def output_of(deltas: Sequence[Delta]) -> list[Json]:
    """What they become: the log of it folds."""
    numbers = count()
    machine = Machine(
        opening(CreateResponse(model="m", input="hi"), "resp_1", 1),
        lambda kind: f"{kind}_{next(numbers):050}",
    )
    machine.create()
    machine.start()
    hosting = Hosting(kinds=KINDS, backend="open", sign=lambda content: "0" * 64)
    writer = TurnWriter(machine, Toolbox(TOOLS, ToolContext(hosting=hosting)), source=lambda: ("open", ""))
    writer.write(deltas)
    if writer.calls:
        asyncio.run(writer.run_calls(_nobody))
    else:
        writer.conclude()
    machine.complete(None, 2)
    output: list[Json] = fold([msgspec.json.decode(encode(event)) for event in machine.drain()])["output"]
    return output


async def _nobody() -> None:
    """Nobody reads along."""


@settings(max_examples=150, deadline=None)
@given(SAID, st.data())
def test_events_in_any_order_become_items_that_end(said: list[Any], data: st.DataObject) -> None:
    """Events are lost, come twice, and come at other times: what is written still folds."""
    events = stream(*[each for each in said if each(0)[-1]["item"]["type"] != "function_call"])
    middle = data.draw(st.lists(st.sampled_from(events[1:-1]), max_size=2 * len(events)))

    found = read(told([events[0], *middle, events[-1]]))
    for item in output_of(found):
        assert item.get("status") != "in_progress"


ODD: list[Any] = [None, 7, -1, 1.5, True, "odd", [], ["odd"], {}, {"odd": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where its members are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(*path, name) for name, _ in inside]
    return found + [place for name, held in inside for place in places(held, (*path, name))]


def with_odd(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    changed = json.loads(json.dumps(value))
    held = changed
    for name in path[:-1]:
        held = held[name]
    held[path[-1]] = odd
    return changed


HOSTED_EVENTS = [
    event for event in stream(*ALL[:3]) if "_call" in json.dumps(event.get("item", event["type"]))
]


@pytest.mark.parametrize("event", HOSTED_EVENTS, ids=[f"{at}" for at, _ in enumerate(HOSTED_EVENTS)])
def test_no_odd_member_kills_an_answer(event: Json) -> None:
    events = stream(*ALL)
    at = next(at for at, each in enumerate(events) if each == event or _alike(each, event))
    for path in places(events[at]):
        if path == ("type",):
            continue
        for odd in ODD:
            changed = [*events[:at], with_odd(events[at], path, odd), *events[at + 1 :]]
            output = output_of(read(told(changed)))
            assert output[-1]["content"][0]["text"].endswith("It is one."), (path, odd)


def _alike(one: Json, other: Json) -> bool:
    """The same event with another number."""
    return {**one, "sequence_number": 0} == {**other, "sequence_number": 0}
