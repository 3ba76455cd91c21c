"""What the model was really sent, and what it answered, from the first page on."""

import json
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER, tab_of
from tests.scripted import Answer, Called, Upstream, refusal

from antiphon.config import Dashboard
from antiphon.dashboard import turns
from antiphon.dashboard.turns import SHOWN

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {}},
}


@BROWSER
def test_what_was_sent_is_two_clicks_away(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    upstream.default = Answer("Of rivers.")
    asked = client.responses.create(model="m-sent", input="Tell me.", instructions="Be brief.", stream=True)
    made = list(asked)[-1].response  # type: ignore[union-attr]
    tab.goto(f"{server.url}/dashboard")

    tab.get_by_text(made.id).click()
    tab.get_by_role("link", name="Model turns").click()

    sent = json.loads(tab.locator("pre").first.inner_text())
    assert sent == upstream.last.body
    assert sent["messages"][0]["content"] == "Be brief."
    answered = tab.locator("pre").nth(1)
    expect(answered).to_contain_text('data: {"')
    expect(answered).to_contain_text("Of rivers.")
    expect(answered).to_contain_text("[DONE]")
    expect(tab.locator(".exchange")).to_contain_text("HTTP 200")
    assert tab.locator("pre .nt").count() > 3, "JSON has no colours"


@BROWSER
def test_a_body_is_copied_as_it_was_sent(
    browser: Browser, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    upstream.default = Answer("Yes")
    made = client.responses.create(model="m", input="Copy <this>.")
    allowed = ["clipboard-read", "clipboard-write"]
    with tab_of(browser, permissions=allowed) as tab:
        tab.goto(f"{server.url}/dashboard/responses/{made.id}/turns")
        tab.get_by_role("button", name="Copy").first.click()
        expect(tab.get_by_role("button", name="Copied")).to_be_visible()

        copied = tab.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied) == upstream.last.body
    assert "\n" not in copied


def test_every_attempt_and_every_turn_is_there(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(refusal(503, "Busy."), Answer(calls=[Called("add")]))
    made = client.responses.create(
        model="m",
        input="Add.",
        tools=[ADD],
        background=True,  # type: ignore[list-item]
    )
    while client.responses.retrieve(made.id).status not in ("completed", "failed"):
        pass
    place = f"/dashboard/responses/{made.id}/turns"
    found = pages.get(f"{place}.json").json()["recordings"]

    assert [each["status"] for each in found] == [503, 200]
    assert "Busy." in found[0]["answer"]
    assert json.loads(found[1]["request"])["tools"][0]["function"]["name"] == "add"
    html = pages.get(place).text
    assert "HTTP 503" in html
    key = found[1]["key"]
    raw = pages.get(f"{place}/{key}/request")
    assert raw.json() == upstream.last.body
    assert raw.headers["content-type"].startswith("text/plain")
    assert raw.headers["content-security-policy"].startswith("sandbox;")
    for nothing in (f"{key + 1}/request", "0/request", f"{key}/url", "x/request"):
        assert pages.get(f"{place}/{nothing}").status_code == 404


def test_a_response_that_failed_at_once_has_its_turns_though_it_was_not_stored(
    pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(refusal(400, "No such thing."))
    pages.post("/v1/responses", json={"model": "m-refused", "input": "Hi"})
    rows: list[dict[str, str]] = []
    while not rows:
        rows = pages.get("/dashboard/responses.json?model=m-refused").json()["responses"]
    (row,) = rows
    place = f"/dashboard/responses/{row['response_id']}/turns"
    assert place in pages.get("/dashboard/responses?model=m-refused").text
    while pages.get(place).status_code == 404:
        pass
    html = pages.get(place).text
    assert "No such thing." in html
    assert "HTTP 400" in html
    assert pages.get(place.removesuffix("/turns")).status_code == 404


def test_a_long_body_is_cut_in_the_page_and_not_behind_it(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Yes")
    made = client.responses.create(model="m", input="needle " * SHOWN)
    place = f"/dashboard/responses/{made.id}/turns"

    html = pages.get(place).text
    assert len(html) < 1.3 * SHOWN
    assert "characters more" in html
    (one,) = pages.get(f"{place}.json").json()["recordings"]
    assert pages.get(f"{place}/{one['key']}/request").json() == upstream.last.body


def test_bodies_that_are_too_much_for_a_page_have_links(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WITH_BODIES", 100)
    upstream.script(refusal(503, "Busy."), Answer("Yes"))
    made = client.responses.create(model="m", input="Hi there.", background=True)
    while client.responses.retrieve(made.id).status != "completed":
        pass
    place = f"/dashboard/responses/{made.id}/turns"
    first, second = pages.get(f"{place}.json").json()["recordings"]
    assert first["request"]
    assert second["request"] is None
    link = f"{place}/{second['key']}/request"
    assert f'href="{link}"' in pages.get(place).text
    assert pages.get(link).json()["messages"] == [{"role": "user", "content": "Hi there."}]


def test_where_nothing_is_recorded_the_page_says_why(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Yes")
    config = replace(config_for(upstream, tmp_path), dashboard=Dashboard(record="off"))
    with Running(config) as server, httpx2.Client(base_url=server.url, timeout=30) as client:
        made = client.post("/v1/responses", json={"model": "m", "input": "Hi"}).json()
        assert "Nothing is recorded of it." in client.get(f"/dashboard/responses/{made['id']}/turns").text


@pytest.mark.parametrize("page", ["timeline", "turns"])
def test_what_is_not_known_at_all_is_not_found(pages: httpx2.Client, page: str) -> None:
    assert pages.get(f"/dashboard/responses/resp_none/{page}.json").status_code == 404
