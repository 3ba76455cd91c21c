"""Prompts in a real browser: made, changed into versions, tried, deleted."""

import json
from pathlib import Path

from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import HOSTILE, check_tame
from tests.dashboard.signing import signed_in, two_projects
from tests.scripted import Answer, Upstream


@BROWSER
def test_a_prompt_is_made_changed_tried_and_deleted(tab: Tab, server: Running, upstream: Upstream) -> None:
    upstream.script(Answer("Sunny."))
    tab.goto(f"{server.url}/dashboard/prompts")
    if tab.locator("details[open]").count() == 0:
        tab.get_by_text("A new prompt").click()
    tab.get_by_label("Name").fill("Of the weather")
    tab.get_by_label("Instructions").fill("Tell of {{city}}.")
    tab.get_by_role("button", name="Make it").click()
    expect(tab.locator("h1")).to_have_text("Of the weather")
    tab.get_by_label("Instructions").fill("Tell of {{city}} in {{words}} words.")
    tab.get_by_label("Messages").fill("[{")
    tab.get_by_role("button", name="Save").click()
    expect(tab.locator("#said")).to_contain_text("input is no JSON")
    tab.get_by_label("Messages").fill('[{"role": "user", "content": "Now, please."}]')
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_role("link", name="version 2 (default)")).to_be_visible()
    tab.get_by_role("link", name="version 1", exact=True).click()
    expect(tab.get_by_label("Instructions")).to_have_value("Tell of {{city}}.")
    tab.get_by_role("button", name="Make it the default").click()
    expect(tab.get_by_role("link", name="version 1 (default)")).to_be_visible()
    tab.get_by_role("link", name="version 2").click()
    expect(tab.get_by_label("Instructions")).to_have_value("Tell of {{city}} in {{words}} words.")
    address = tab.url.partition("?")[0]
    tab.get_by_role("link", name="Try").click()
    expect(tab.get_by_label("Variables")).to_have_value('{"city":"","words":""}')
    tab.get_by_label("Model").fill("m")
    tab.get_by_label("Variables").fill('{"city": "Rome", "words": "two"}')
    tab.get_by_role("button", name="Send").click()
    expect(tab.locator("#answer pre")).to_have_text("Sunny.")

    sent = json.dumps(upstream.last.body["messages"])
    assert "Tell of Rome in two words." in sent
    assert "Now, please." in sent
    tab.goto(address)
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="Delete").click()
    expect(tab).to_have_url(f"{server.url}/dashboard/prompts")
    assert "Of the weather" not in tab.locator("main").inner_text()


@BROWSER
def test_what_is_in_prompts_is_text(tab: Tab, server: Running, client: OpenAI) -> None:
    content = f"</textarea>{HOSTILE} {{{{city}}}}"
    body = {"name": HOSTILE, "instructions": content, "input": [{"role": "user", "content": content}]}
    made = client.post("/prompts", body=body, cast_to=dict[str, object])
    tab.goto(f"{server.url}/dashboard/prompts")
    check_tame(tab, HOSTILE)
    tab.goto(f"{server.url}/dashboard/prompts/{made['id']}")
    check_tame(tab, HOSTILE)
    assert tab.get_by_label("Instructions").input_value() == content


def test_prompts_of_a_project_are_its_own(upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server, signed_in(server, "one") as pages:
        token = pages.get("/dashboard").text.partition('csrf-token" content="')[2].partition('"')[0]
        headers = {"x-csrf-token": token}
        body = {"name": "mine", "instructions": "i"}
        made = pages.post("/dashboard/v1/prompts", json=body, headers=headers).json()
        path = f"/dashboard/prompts/{made['id']}"
        assert pages.get(f"{path}.json").json()["prompt"] == made
        assert pages.get(f"{path}?version=7").status_code == 404
        with signed_in(server, "two") as others:
            assert others.get("/dashboard/prompts.json").json()["prompts"] == []
            assert others.get(path).status_code == 404
