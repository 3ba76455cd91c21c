"""The list of responses, and one response, also in a real browser."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from playwright.sync_api import Page as Tab
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.scripted import Answer, Upstream, refusal

HOSTILE = '<script>document.title="run"</script><img src=x onerror="document.title=\'run\'">'
LINK = "[a](javascript:document.title='run') <a href=\"javascript:document.title='run'\">b</a>"


def listed(pages: httpx2.Client, **filters: Any) -> list[Any]:
    found: list[Any] = pages.get("/dashboard/responses.json", params=filters).json()["responses"]
    return found


@pytest.fixture
def answered(upstream: Upstream) -> None:
    upstream.default = Answer("**Bold** and `code`.")


@pytest.mark.usefixtures("answered")
def test_responses_are_found_by_each_filter(client: OpenAI, pages: httpx2.Client) -> None:
    made = client.responses.create(model="m-filtered", input="Of a needle-in-hay.")
    client.responses.create(model="m-other", input="Of nothing.")

    assert [row["response_id"] for row in listed(pages, model="m-filtered")] == [made.id]
    assert [row["response_id"] for row in listed(pages, text="NEEDLE-in-hay")] == [made.id]
    assert listed(pages, model="m-filtered", status="failed") == []
    assert listed(pages, model="m-filtered", tool="function_call") == []
    assert listed(pages, model="m-filtered", since="2100-01-01T00:00") == []
    assert len(listed(pages, model="m-filtered", until="2100-01-01T00:00")) == 1


def test_a_failed_response_is_listed(client: OpenAI, pages: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(refusal(400, "No."), Answer("Yes."))
    pages.post("/v1/responses", json={"model": "m-failing", "input": "Hi"})
    client.responses.create(model="m-failing", input="Hi")  # what is kept takes along what was noted

    (row,) = listed(pages, model="m-failing", status="failed")
    assert row["error_code"]


@pytest.mark.usefixtures("answered")
def test_the_list_goes_on_behind_its_cursor(client: OpenAI, pages: httpx2.Client) -> None:
    ids = [client.responses.create(model="m-many", input="Hi").id for _ in range(51)]
    first = pages.get("/dashboard/responses.json?model=m-many").json()
    second = pages.get(first["next"].replace("responses?", "responses.json?", 1)).json()

    found = [row["response_id"] for row in (*first["responses"], *second["responses"])]
    assert found == ids[::-1]
    assert pages.get("/dashboard/responses?after=x").status_code == 400
    assert pages.get("/dashboard/responses?since=x").status_code == 400


def test_a_response_that_is_not_there_is_an_error_page(pages: httpx2.Client) -> None:
    assert pages.get("/dashboard/responses/resp_none").status_code == 404


@BROWSER
@pytest.mark.usefixtures("answered")
def test_one_response_is_opened_from_the_list(tab: Tab, client: OpenAI, server: Running) -> None:
    made = client.responses.create(model="m-shown", input="Hi there.")
    tab.goto(f"{server.url}/dashboard")
    tab.get_by_label("Model").fill("m-shown")
    tab.get_by_label("Model").press("Enter")
    tab.wait_for_url("**model=m-shown**")
    tab.get_by_text(made.id).click()

    assert tab.locator(".item.own").inner_text().endswith("Hi there.")
    assert tab.locator(".text strong").inner_text() == "Bold"


@BROWSER
def test_nothing_that_is_shown_runs(tab: Tab, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer(f"{HOSTILE}\n\n{LINK}\n\n```{HOSTILE}\n{HOSTILE}\n```")
    body = {
        "model": f"m{HOSTILE}",
        "input": [
            {"role": "user", "content": f"{HOSTILE} {LINK}"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": f'{{"a": "{LINK[:20]}"}}'},
            {"type": "function_call_output", "call_id": "c1", "output": HOSTILE},
        ],
        "instructions": HOSTILE,
        "metadata": {"m": HOSTILE},
        "tools": [{"type": "function", "name": "f", "description": HOSTILE, "parameters": {}}],
    }
    with Running(config_for(upstream, tmp_path)) as server:
        made = httpx2.post(f"{server.url}/v1/responses", json=body, timeout=30).json()
        for path in ("", f"/responses/{made['id']}", "/responses?text=%3Cscript%3E&model=%22%3E%3Cscript%3E"):
            tab.goto(f"{server.url}/dashboard{path}")
            assert "Antiphon" in tab.title()
            assert tab.locator("main script, main img, main [onerror], a[href^='javascript']").count() == 0
        tab.goto(f"{server.url}/dashboard/responses/{made['id']}")
        assert HOSTILE in tab.locator(".item.own").inner_text()
        tab.set_viewport_size({"width": 390, "height": 800})
        tab.screenshot(path=tmp_path / "phone.png")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_of_what_was_not_stored_only_what_was_sent_can_be_looked_at(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello")
    made = client.responses.create(model="m-not-kept", input="Hi", store=False)

    assert any(listed(pages, model="m-not-kept") for _ in range(2000)), "its row is written within a second"
    html = pages.get("/dashboard/responses?model=m-not-kept").text
    assert f'"/dashboard/responses/{made.id}/turns"' in html
    assert f'"/dashboard/responses/{made.id}"' not in html
