"""What is seen growing: a response in the background, and the list."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.cable import Cable
from tests.scripted import Answer, Called, Gate, Upstream

from antiphon.dashboard import feed

WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate(after=4)
    yield gate
    gate.open()


def begun(client: OpenAI, upstream: Upstream, gate: Gate, *, stream: bool = True) -> str:
    """The id of a response that has said a part of what it says."""
    upstream.script(Answer("One **two** three four five six.", size=4, gate=gate))
    if stream:
        events = client.responses.create(model="m", input="Count.", background=True, stream=True)
        response_id = next(iter(events)).response.id  # type: ignore[union-attr]
        events.close()
    else:
        response_id = client.responses.create(model="m", input="Count.", background=True).id
    gate.wait_reached()
    return response_id


def frames(answer: httpx2.Response) -> Iterator[tuple[dict[str, str], Any]]:
    """The events of a stream: their fields, and their data."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            yield fields, json.loads(fields["data"]) if fields.get("data") else None
            fields = {}


@BROWSER
@pytest.mark.parametrize("streamed", [False, True])
def test_a_response_is_seen_growing_and_then_whole(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream, gate: Gate, streamed: bool
) -> None:
    made = begun(client, upstream, gate, stream=streamed)
    tab.goto(f"{server.url}/dashboard/responses/{made}")
    growing = tab.locator("#growing .growing")

    expect(growing).to_contain_text("One **tw")
    expect(growing).not_to_contain_text("six")
    expect(tab.locator("#status")).to_have_text("in_progress")
    gate.open()

    expect(tab.locator(".item strong")).to_have_text("two")
    expect(tab.locator("#status")).to_have_text("completed")
    expect(tab.locator("#growing")).to_have_count(0)
    expect(tab.locator(".item")).to_have_count(2)


@BROWSER
def test_a_reader_whose_connection_broke_off_goes_on_where_he_was(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream, gate: Gate
) -> None:
    made = begun(client, upstream, gate)
    with Cable(server.url) as cable:
        tab.goto(f"{cable.url}/dashboard/responses/{made}")
        expect(tab.locator(".growing")).to_contain_text("One **tw")

        with tab.expect_request("**/live?*", timeout=20_000):
            cable.cut()
        gate.open()

        expect(tab.locator(".item strong")).to_have_text("two", timeout=20_000)
        assert tab.locator(".item").count() == 2


@BROWSER
def test_what_is_streamed_to_a_client_is_seen_growing_too(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    gate = Gate(after=8)
    upstream.script(Answer("One **two** three four five six.", reasoning="Hm, so.", size=4, gate=gate))
    with client.responses.create(model="m-front", input="Count.", stream=True) as events:
        made = next(iter(events)).response.id  # type: ignore[union-attr]
        gate.wait_reached()
        tab.goto(f"{server.url}/dashboard?model=m-front")
        expect(tab.locator("tr", has_text=made).locator(".status")).to_have_text("in_progress")
        tab.locator("a.id").click()

        expect(tab.locator(".item.own")).to_contain_text("Count.")
        expect(tab.locator(".growing").last).to_contain_text("One **tw")
        gate.open()

        expect(tab.locator(".item strong")).to_have_text("two")
        for _ in events:
            pass
    expect(tab.locator("#status")).to_have_text("completed")
    expect(tab.locator("#growing")).to_have_count(0)
    expect(tab.get_by_role("link", name="Ask again")).to_be_visible()


def test_a_reader_is_told_what_a_streamed_response_is_so_far(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream, gate: Gate
) -> None:
    upstream.script(Answer("One **two** three.", reasoning="Hm, so.", size=4, gate=gate))
    with client.responses.create(model="m", input="Count.", stream=True) as events:
        made = next(iter(events)).response.id  # type: ignore[union-attr]
        gate.wait_reached()
        with pages.stream("GET", f"/dashboard/responses/{made}/live") as answer:
            told = frames(answer)
            first = next(told)[1]
            gate.open()
            for _ in events:
                pass
            rest = [change for fields, data in told if fields["event"] == "grow" for change in data]

    assert [change["type"] for change in first[:3]] == ["anew", "status", "added"]
    said = "".join(change.get("text", "") for change in (*first, *rest))
    assert said.replace("Hm, so.", "") == "One **two** three."
    assert rest[-1] == {"type": "status", "status": "completed"}


def test_what_will_not_be_kept_is_not_seen(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream, gate: Gate
) -> None:
    upstream.script(Answer("One **two** three.", size=4, gate=gate))
    with client.responses.create(model="m", input="Count.", stream=True, store=False) as events:
        made = next(iter(events)).response.id  # type: ignore[union-attr]
        gate.wait_reached()
        for path in ("", "/live", ".json"):
            assert pages.get(f"/dashboard/responses/{made}{path}").status_code == 404
        assert made not in pages.get("/dashboard").text
        gate.open()


@BROWSER
def test_the_list_is_seen_growing(tab: Tab, client: OpenAI, server: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Yes")
    tab.goto(f"{server.url}/dashboard?model=m-live")
    expect(tab.locator(".empty")).to_be_visible()

    first = client.responses.create(model="m-live", input="Hi")

    expect(tab.get_by_text(first.id)).to_be_visible()
    second = client.responses.create(model="m-live", input="Hi")
    expect(tab.locator("tbody .id")).to_have_text([second.id, first.id])


@BROWSER
def test_what_runs_is_listed_until_it_ends(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream, gate: Gate
) -> None:
    tab.goto(f"{server.url}/dashboard?model=m-runs")
    upstream.script(Answer("Yes, and no.", size=1, gate=gate))
    made = client.responses.create(model="m-runs", input="Hi", background=True)
    expect(tab.locator("tr", has_text=made.id).locator(".status")).to_have_text("in_progress")
    gate.open()
    expect(tab.locator("tr", has_text=made.id).locator(".status")).to_have_text("completed")


def test_a_page_of_the_list_that_is_not_the_first_stays_as_it_is(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Yes")
    client.responses.create(model="m", input="Hi")
    (row, *_) = pages.get("/dashboard/responses.json").json()["responses"]
    assert "data-live" in pages.get("/dashboard/responses").text
    assert "data-live" not in pages.get("/dashboard/responses?after=1").text
    assert row["model"] == "m"


def test_the_growth_of_a_response_is_told_from_any_event_on(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Let me see.", calls=[Called("weather", '{"a": 1}')], reasoning="Hm.", size=3))
    made = client.responses.create(
        model="m",
        input="Hi",
        background=True,
        stream=True,
        tools=[WEATHER],  # type: ignore[list-item]
    )
    events = list(made)
    place = f"/dashboard/responses/{events[0].response.id}/live"  # type: ignore[union-attr]

    def told(**asked: Any) -> tuple[list[Any], list[str]]:
        with pages.stream("GET", place, **asked) as answer:
            found = list(frames(answer))
        changes = [change for fields, data in found if fields["event"] == "grow" for change in data]
        return changes, [fields["id"] for fields, _ in found if "id" in fields]

    changes, ids = told()
    assert ids[-1] == str(len(events) - 1)
    assert [change["type"] for change in changes if change["type"] != "phase"] == [
        *("status", "status", "status"),
        *("added", "text", "done"),
        *("added", "text", "done"),
        *("added", "text", "done"),
        "status",
    ]
    assert changes[-1] == {"type": "status", "status": "completed"}
    last = [changes[-1]]
    assert told(params={"after": len(events) - 2})[0] == last
    assert told(headers={"last-event-id": str(len(events) - 2)}, params={"after": "-1"})[0] == last
    assert told(params={"after": len(events) - 1}) == ([], [])
    assert told(params={"after": "x"})[0] == changes


def test_what_is_not_there_does_not_grow(pages: httpx2.Client) -> None:
    assert pages.get("/dashboard/responses/resp_none/live").status_code == 404


def test_so_many_readers_are_kept_up_to_date_and_no_more(
    pages: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "places", feed.Places(1))
    with pages.stream("GET", "/dashboard/responses/live") as first:
        assert first.status_code == 200
        refused = pages.get("/dashboard/responses/live")
        assert refused.status_code == 503
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "SECONDS", 0.0)
        assert any(pages.get("/dashboard/responses/live").status_code == 200 for _ in range(500))


def test_a_server_that_stops_lets_go_of_its_readers(upstream: Upstream, tmp_path: Path) -> None:
    with (
        Running(config_for(upstream, tmp_path)) as server,
        httpx2.stream("GET", f"{server.url}/dashboard/responses/live", timeout=30) as answer,
    ):
        told = answer.iter_lines()
        assert next(told) == ": nothing new"
        server.stop()
        assert list(told)[-1] == ""
