"""Searches on the web as the real API emits them: each recorded event is ours too, in its form."""

import json
from collections.abc import Iterator

import pytest
from openai import OpenAI
from tests.api.asking import Json
from tests.conftest import Running, checked_client
from tests.scripted import Answer, Upstream
from tests.tools.coding.test_recorded_runs import merged
from tests.tools.test_file_citations import form, of_response, recorded
from tests.tools.using import calls, stream
from tests.tools.webs import configured, engine, searching, site
from tests.website import Website

__all__ = ["configured", "engine", "searching", "site"]

SOURCES = "web_search_call.action.sources"
LOOK = calls("web_search", '{"query": "why boats float"}')


@pytest.fixture
def client(searching: Running) -> Iterator[OpenAI]:
    with checked_client(searching.url) as client:
        yield client


def opening(**arguments: str) -> Answer:
    return calls("open_page", json.dumps(arguments))


def as_then(event: Json) -> Json:
    """An event without what differs between recordings: an action that is there from the beginning, its
    query in two forms, what is echoed of the tool, and the first empty text of a part."""
    items = [event.get("item", {}), *event.get("response", {}).get("output", ())]
    for item in items:
        if event["type"].endswith("added") and item.get("type") == "web_search_call":
            item.pop("action", None)
        action = item.get("action") or {}
        action.pop("queries", None)
        action["sources"] = action.get("sources", [])[:1]
        if not action["sources"]:
            del action["sources"]
    for tool in event.get("response", {}).get("tools", ()):
        for name in ("filters", "search_content_types", "return_token_budget"):
            tool.pop(name, None)
    return event


def compare(events: list[Json], name: str) -> None:
    said, theirs = list(merged(events)), list(merged(recorded(name)))
    assert [event["type"] for event in said] == [event["type"] for event in theirs]
    for mine, real in zip(said, theirs, strict=True):
        ours = of_response(mine, real)
        assert form(as_then(ours)) == form(as_then(real))
        for event in (ours, real):
            for cited in [event["annotation"]] if "annotation" in event else []:
                assert cited["start_index"] < cited["end_index"]


def test_one_search_is_emitted_as_it_was_recorded(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(LOOK, Answer("Lorem 【1】.ipsum 【2】dolor sit ", size=5))

    compare(stream(client, {"type": "web_search"}, store=False), "web_search_simple")


def test_searches_and_pages_are_emitted_as_they_were_recorded(
    client: OpenAI, upstream: Upstream, site: Website
) -> None:
    boats, ducks = f"{site.url}/boats", f"{site.url}/subject-1"
    again = calls("web_search", '{"query": "subject"}')
    found = [
        opening(url=boats, find="water"),
        opening(url=boats, find="float"),
        opening(url=ducks, find="know"),
    ]
    upstream.script(
        LOOK, again, opening(url=ducks), *found, Answer("Lorem 【1】 ipsum 【2】dolor sit ", size=5)
    )

    events = stream(client, {"type": "web_search"}, include=[SOURCES], given=f"Read {ducks}")

    compare(events, "web_search_agentic")
    done = [event["item"] for event in events if event["type"].endswith("item.done")]
    actions = [item["action"]["type"] for item in done[:6]]
    assert actions == ["search", "search", "open_page", *["find_in_page"] * 3]
