"""When what happened, and what stands before and behind a response."""

from pathlib import Path
from typing import Any

import httpx2
from msgspec.structs import replace
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.scripted import Answer, Called, Upstream
from tests.tools.mcp_servers import Toolset, served

from antiphon.config import Outbound


def spans(pages: httpx2.Client, response_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pages.get(f"/dashboard/responses/{response_id}/timeline.json").json()[
        "spans"
    ]
    return found


def test_requests_items_and_runs_of_tools_have_their_times(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer(calls=[Called("wiki__add", '{"a": 1, "b": 2}')]), Answer("Three."))
    config = replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))
    with (
        Running(config) as server,
        served(Toolset().server()) as mcp,
        httpx2.Client(base_url=server.url) as pages,
    ):
        tool = {
            "type": "mcp",
            "server_label": "wiki",
            "server_url": f"{mcp.url}/mcp",
            "require_approval": "never",
        }
        made = pages.post("/v1/responses", json={"model": "m", "input": "Add.", "tools": [tool]}).json()
        found = spans(pages, made["id"])
        html = pages.get(f"/dashboard/responses/{made['id']}/timeline").text

    kinds = [span["kind"] for span in found]
    assert kinds[0] == "response"
    assert sorted(kinds) == ["item", "item", "item", "response", "tool", "upstream", "upstream"]
    (ran,) = (span for span in found if span["kind"] == "tool")
    assert (ran["name"], ran["note"]) == ("wiki__add", "completed")
    assert all(span["begin"] >= 0 and span["milliseconds"] is not None for span in found)
    whole = found[0]["milliseconds"]
    assert all(span["begin"] + span["milliseconds"] <= whole + 50 for span in found)
    assert html.count("<rect") == len(found)


def test_the_log_of_a_streamed_response_in_the_background_is_shown(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("One two three.", size=2))
    events = list(client.responses.create(model="m", input="Hi", background=True, stream=True))
    response_id = events[0].response.id  # type: ignore[union-attr]
    rows = pages.get(f"/dashboard/responses/{response_id}/timeline.json").json()["events"]

    assert [row["type"] for row in rows][:3] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert rows[-1]["last"] == len(events) - 1
    (deltas,) = (row for row in rows if row["type"].endswith(".delta"))
    assert deltas["last"] - deltas["first"] == 6


@BROWSER
def test_one_walks_along_the_chain(tab: Tab, client: OpenAI, server: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Yes")
    first = client.responses.create(model="m", input="1")
    second = client.responses.create(model="m", input="2", previous_response_id=first.id)
    client.responses.create(model="m", input="3", previous_response_id=first.id)
    tab.goto(f"{server.url}/dashboard/responses/{second.id}/timeline")

    tab.get_by_text("what it continues").click()
    expect(tab.locator("h1")).to_contain_text(first.id)
    expect(tab.get_by_text("what continues it")).to_have_count(2)
    tab.get_by_text("what continues it (1)").click()
    expect(tab.locator("h1")).to_contain_text(second.id)


def test_a_conversation_is_linked(client: OpenAI, pages: httpx2.Client, upstream: Upstream) -> None:
    upstream.default = Answer("Yes")
    talk = client.conversations.create()
    made = client.responses.create(model="m", input="1", conversation=talk.id)
    html = pages.get(f"/dashboard/responses/{made.id}/timeline").text

    assert f"conversation={talk.id}" in html
    (row,) = pages.get(f"/dashboard/responses.json?conversation={talk.id}").json()["responses"]
    assert row["response_id"] == made.id
