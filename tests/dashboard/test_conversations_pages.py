"""Conversations: listed, read, and what belongs to them."""

from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, checked_client
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import HOSTILE, check_tame
from tests.dashboard.pictures import encoded, png
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Answer, Upstream


def said(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


@BROWSER
def test_a_conversation_is_opened_read_followed_to_its_responses_and_deleted(
    tab: Tab, server: Running, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("**Sunny.**"))
    made = client.conversations.create(metadata={"topic": f"weather {HOSTILE}"}, items=[said(HOSTILE)])
    response = client.responses.create(model="m", input="And in Rome?", conversation=made.id)
    tab.goto(f"{server.url}/dashboard/conversations")
    check_tame(tab, f"weather {HOSTILE}")
    tab.get_by_role("link", name=made.id).click()
    expect(tab.locator(".item")).to_have_count(3)
    check_tame(tab, HOSTILE, f"weather {HOSTILE}")
    expect(tab.locator(".item").nth(1)).to_contain_text("And in Rome?")
    expect(tab.locator(".item strong")).to_have_text("Sunny.")
    tab.get_by_role("link", name="Its responses").click()
    expect(tab.get_by_text(response.id)).to_be_visible()
    tab.go_back()
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.get_by_role("button", name="Delete").click()
    expect(tab).to_have_url(f"{server.url}/dashboard/conversations")

    assert made.id not in tab.locator("main").inner_text()


@BROWSER
def test_the_list_of_conversations_is_no_wider_than_the_window(
    tab: Tab, server: Running, client: OpenAI
) -> None:
    client.conversations.create(metadata={"topic": "x" * 512, "short": "a b"})
    tab.set_viewport_size({"width": 390, "height": 800})

    tab.goto(f"{server.url}/dashboard/conversations")

    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@BROWSER
def test_pictures_of_a_conversation_are_shown(tab: Tab, server: Running, client: OpenAI) -> None:
    part = {"type": "input_image", "image_url": f"data:image/png;base64,{encoded(png(120, 90))}"}
    made = client.conversations.create(items=[{"role": "user", "content": [part]}])  # type: ignore[list-item]
    tab.goto(f"{server.url}/dashboard/conversations/{made.id}")

    assert (
        tab.locator(".picture img").evaluate("(shown) => shown.decode().then(() => shown.naturalWidth)")
        == 120
    )
    assert len(httpx2.get(f"{server.url}/dashboard/conversations/{made.id}.json").content) < 1000


def test_the_list_and_the_items_go_on_behind_their_cursors(client: OpenAI, pages: httpx2.Client) -> None:
    made = [client.conversations.create().id for _ in range(51)]
    first = pages.get("/dashboard/conversations.json").json()
    second = pages.get(first["next"].replace("conversations?", "conversations.json?")).json()
    found = [each["id"] for each in (*first["conversations"], *second["conversations"])]
    assert set(found[:51]) == set(made)
    for n in range(3):
        client.conversations.items.create(made[0], items=[said(f"{n}-{m}") for m in range(20)])
    path = f"/dashboard/conversations/{made[0]}.json"
    newest = pages.get(path).json()
    oldest = pages.get(f"{path}?{newest['next'].partition('?')[2]}").json()
    texts = [item["content"][0]["text"] for item in (*oldest["items"], *newest["items"])]

    assert texts == [f"{n}-{m}" for n in range(3) for m in range(20)]
    assert oldest["next"] is None


def test_conversations_of_a_project_are_its_own(upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            made = client.conversations.create()
        with signed_in(server, "one") as pages:
            assert made.id in pages.get("/dashboard/conversations").text
        with signed_in(server, "two") as pages:
            assert pages.get("/dashboard/conversations.json").json()["conversations"] == []
            assert pages.get(f"/dashboard/conversations/{made.id}").status_code == 404
