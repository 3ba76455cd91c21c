"""Citations of files over the wire: what the model marks is annotated, wherever and however it is read."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json, events_of, whole
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.libraries import FILES, shelve
from tests.tools.test_file_search import LOOK, QUESTION, RESULTS, heads, results
from tests.tools.using import ask, calls, read, stream

SAID = "They float 【1】. So do 【2†source】ducks【9】, 【1】【2】."
TEXT = "They float . So do ducks, ."
PLACES = [(1, 11), (2, 19), (1, 26), (2, 26)]
"""Which result is cited, and where."""


def said(answer: Json, which: int = -1) -> tuple[str, list[tuple[str, int]]]:
    """A message's text, and what it cites: the files' names, and where."""
    (part,) = answer["output"][which]["content"]
    cited = part["annotations"]
    assert all(each.keys() == {"type", "file_id", "filename", "index"} for each in cited)
    assert {each["type"] for each in cited} <= {"file_citation"}
    return part["text"], [(each["filename"], each["index"]) for each in cited]


def names(answer: Json, which: int = 0) -> list[str]:
    """The files that a search has found, in the order of their numbers."""
    return [result["filename"] for result in answer["output"][which]["results"]]


def wanted(found: Sequence[str]) -> tuple[str, list[tuple[str, int]]]:
    return TEXT, [(found[number - 1], place) for number, place in PLACES]


def check_order(events: Sequence[Json]) -> int:
    """Each citation comes right behind the delta that ends where it stands, or behind another one there. How
    many there are."""
    text, count = "", 0
    for before, event in itertools.pairwise(events):
        if before["type"] == "response.output_text.delta":
            text += before["delta"]
        if event["type"] == "response.output_text.annotation.added":
            assert before["type"].split(".")[-1] in ("delta", "added")
            assert (event["annotation"]["index"], event["annotation_index"]) == (len(text), count)
            count += 1
    return count


# ---- wherever it is read -------------------------------------------------------------------------------


@covers("annotation.file_citation", "event.response.output_text.annotation.added")
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_marks_are_cut_and_cited_where_they_stood(
    client: OpenAI, upstream: Upstream, tool: Json, size: int
) -> None:
    upstream.script(LOOK, Answer(SAID, size=size))

    events = stream(client, tool, include=[RESULTS])

    answer = events[-1]["response"]
    assert said(answer) == wanted(names(answer))
    assert check_order(events) == len(PLACES)


def test_a_plain_answer_has_them(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer(SAID))

    answer = ask(client, tool, include=[RESULTS])

    assert said(answer) == wanted(names(answer))
    stored = whole(client.responses.retrieve(answer["id"]))
    assert said(stored) == said(answer)


def test_a_connection_has_them(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer(SAID, size=2))

    with client.responses.connect() as connection:
        connection.response.create(model="m", input="Hi", tools=[tool], include=[RESULTS])  # type: ignore[list-item]
        events: list[Json] = []
        while not events or events[-1]["type"] != "response.completed":
            events.append(whole(next(iter(connection))))

    answer = events[-1]["response"]
    assert said(answer) == wanted(names(answer))
    assert check_order(events) == len(PLACES)


def test_a_background_response_has_them_from_wherever_its_stream_is_resumed(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer(SAID, size=2))
    first = stream(client, tool, background=True, include=[RESULTS])
    answer = first[-1]["response"]
    assert said(answer) == wanted(names(answer))
    assert check_order(first) == len(PLACES)

    for event in first[:-1]:
        place = event["sequence_number"]
        query = {
            "stream": "true",
            "starting_after": place,
            "include[]": RESULTS,
            "include_obfuscation": "false",
        }
        rest = http.get(f"/v1/responses/{answer['id']}", params=query)
        assert events_of(rest.content) == first[place + 1 :]


def test_a_number_that_stands_for_nothing_is_cut_and_cites_nothing(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer("They float【7】, all【0】 of them."))

    assert said(ask(client, tool)) == ("They float, all of them.", [])


def test_a_text_before_any_search_is_left_as_it_is(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(Answer("They float【1】."))

    assert said(ask(client, tool)) == ("They float【1】.", [])


def test_half_a_mark_at_the_end_is_text(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("They float【1", size=1))

    assert said(ask(client, tool)) == ("They float【1", [])


def test_a_mark_at_the_very_beginning_is_cited_there(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("【1】They float."))

    answer = ask(client, tool, include=[RESULTS])

    assert said(answer) == ("They float.", [(names(answer)[0], 0)])


def test_positions_count_characters(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("⛵ and ñandú【1】.", size=1))

    assert said(ask(client, tool))[1][0][1] == len("⛵ and ñandú")


# ---- numbers -------------------------------------------------------------------------------------------


def test_the_model_reads_its_own_marks_again_and_numbers_go_on(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    again = Answer("They float 【1】.", calls=[Called("file_search", json.dumps({"queries": [QUESTION]}))])
    upstream.script(LOOK, again, Answer("All of them 【3】."))

    answer = ask(client, tool, include=[RESULTS])

    assert [message["content"] for message in read(upstream) if message["role"] == "assistant"][-1] == (
        "They float 【1】."
    )
    assert [head.split(" ")[0] for head in heads(results(upstream))] == ["【3】", "【4】"]
    assert said(answer, 1) == ("They float .", [(names(answer, 0)[0], 11)])
    assert said(answer, 3) == ("All of them .", [(names(answer, 2)[0], 12)])


@pytest.mark.parametrize("kept", ["previous_response_id", "conversation", "input"])
def test_in_a_later_turn_old_results_are_cited_and_new_ones_have_new_numbers(
    client: OpenAI, upstream: Upstream, tool: Json, kept: str
) -> None:
    upstream.script(LOOK, Answer("They float 【1】."), LOOK, Answer("As I said 【1】【4】."))
    before: Json = {"conversation": client.conversations.create().id} if kept == "conversation" else {}
    first = ask(client, tool, include=[RESULTS], **before)
    follows: Json = {"previous_response_id": first["id"]} if kept == "previous_response_id" else before
    question: Any = {"role": "user", "content": "And?"}
    given = [{"role": "user", "content": "Hi"}, *first["output"], question] if kept == "input" else [question]

    second = ask(client, tool, given=given, include=[RESULTS], **follows)

    texts = [message["content"] for message in read(upstream) if message["role"] == "tool"]
    assert [head.split(" ")[0] for text in texts for head in heads(text)] == [
        "【1】",
        "【2】",
        "【3】",
        "【4】",
    ]
    assert said(second) == ("As I said .", [(names(first)[0], 10), (names(second)[1], 10)])


def test_without_the_tool_nothing_is_cut(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(LOOK, Answer("They float 【1】."), Answer("【1】 is a lenticular bracket."))
    first = ask(client, tool)

    second = ask(client, previous_response_id=first["id"])

    assert said(second) == ("【1】 is a lenticular bracket.", [])


def test_what_looks_like_a_mark_in_a_file_is_none(client: OpenAI, upstream: Upstream) -> None:
    store = shelve(client, {"notes.md": "Boats float on water 【2】 as 【1†source】 says, 【注意】."})
    upstream.script(LOOK, Answer("They float."))

    ask(client, {"type": "file_search", "vector_store_ids": [store]})

    assert "Boats float on water (2) as (1) says, 【注意】." in results(upstream)


# ---- it survives ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def life(upstream: Upstream, folder: Path) -> Iterator[OpenAI]:
    """A client of a server that stops with its runs where they are."""
    with Running(config_for(upstream, folder)) as running, checked_client(running.url) as client:
        yield client


@pytest.mark.parametrize("after", [0, 2, 5, 8, 12])
def test_a_run_that_was_cut_in_its_answer_cites_what_was_found_before(
    upstream: Upstream, tmp_path: Path, after: int
) -> None:
    gate = Gate(after)
    upstream.script(LOOK, Answer(SAID, size=3, gate=gate), Answer(SAID, size=3))
    with life(upstream, tmp_path) as client:
        tool = {"type": "file_search", "vector_store_ids": [shelve(client, FILES)]}
        response = begin(client, tools=[tool], include=[RESULTS])
        gate.wait_reached()
    with life(upstream, tmp_path) as client:
        done = whole(ended(client, response.id))

    assert [item["type"] for item in done["output"]].count("file_search_call") == 1
    assert said(done) == wanted(names_read(upstream))


def names_read(upstream: Upstream) -> list[str]:
    """What the model read, in the order of the numbers."""
    return [head.split(" ")[1] for head in heads(results(upstream))]


# ---- as it was recorded --------------------------------------------------------------------------------


RECORDED = Path(__file__).parent / "recorded"
"""What the real API sent: the ids and texts are replaced, and deltas put together."""


def recorded(name: str) -> list[Json]:
    """A recorded stream, without its reasoning."""
    events = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["events"]
    return [event for event in events if event.get("item", {}).get("type") != "reasoning"]


def form(value: Any) -> Any:
    """What two streams have in common: members and values, without ids, numbers and texts."""
    if isinstance(value, list):
        return [form(each) for each in value]
    if not isinstance(value, dict):
        return (
            value
            if value is None or isinstance(value, bool)
            else type(value).__name__.replace("float", "int")
        )
    fixed = ("type", "status", "role", "object", "ranker")
    return {
        name: held if name in fixed else form(held) for name, held in value.items() if name != "obfuscation"
    }


def of_response(event: Json, like: Json) -> Json:
    """The event with as much of its response as the recording has."""
    if "response" not in event:
        return event
    items = [item for item in like["response"].get("output", ()) if item["type"] != "reasoning"]
    like["response"].pop("usage", None)  # newer answers have more in it
    shown = {name: event["response"][name] for name in like["response"]}
    if "output" in like["response"]:
        like["response"]["output"] = items
    return event | {"response": shown}


@pytest.mark.parametrize(
    ("name", "queries", "include"),
    [
        ("file_search_plain", ["boats"], []),
        ("file_search_results", ["boats", "why boats float", "boats on water"], [RESULTS]),
    ],
)
def test_the_stream_is_the_recorded_one(
    client: OpenAI, upstream: Upstream, name: str, queries: list[str], include: list[str]
) -> None:
    one = shelve(client, {"boats.md": FILES["boats.md"]})
    tool = {"type": "file_search", "vector_store_ids": [one]}
    upstream.script(calls("file_search", json.dumps({"queries": queries})), Answer("Lorem 【1】."))

    events = stream(client, tool, include=include)

    theirs = recorded(name)
    assert [event["type"] for event in events] == [event["type"] for event in theirs]
    for ours, real in zip(events, theirs, strict=True):
        mine = of_response(ours, real)
        for event in (mine, real):
            for result in results_in(event):
                result.pop("vector_store_id", None)  # later than this recording
        assert form(mine) == form(real)
        assert mine.get("annotation", {}).get("index") == real.get("annotation", {}).get("index")


def results_in(event: Json) -> list[Json]:
    items = [event.get("item", {}), *event.get("response", {}).get("output", ())]
    return [result for item in items for result in item.get("results") or ()]
