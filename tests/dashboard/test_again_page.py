"""Asking again, with changes."""

import re
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.scripted import Answer, Gate, Upstream

from antiphon.config import KeySettings, Server, hash_key


@pytest.fixture
def made(client: OpenAI, upstream: Upstream) -> str:
    upstream.script(Answer("Green."))
    return client.responses.create(model="m", input="Which colour?", instructions="Be brief.").id


@BROWSER
def test_one_asks_again_with_changes_and_sees_the_answer_grow(
    tab: Tab, made: str, server: Running, upstream: Upstream
) -> None:
    gate = Gate(after=4)
    upstream.script(Answer("It is **blue** today.", size=3, gate=gate))
    tab.goto(f"{server.url}/dashboard/responses/{made}")
    tab.get_by_role("link", name="Ask again").click()
    tab.get_by_label("Model").fill("m-again")
    tab.get_by_label("Input").fill("And today?")
    other = tab.get_by_label("All else")
    other.fill(other.input_value().replace("Be brief.", "Be long."))
    tab.get_by_role("button", name="Ask again").click()

    expect(tab.locator(".growing")).to_contain_text("It is")
    assert made not in tab.url
    gate.open()
    expect(tab.locator(".item strong")).to_have_text("blue")
    sent = upstream.last.body
    assert sent["model"] == "m-again"
    assert [message["content"] for message in sent["messages"]] == ["Be long.", "And today?"]


def form(pages: httpx2.Client, made: str) -> dict[str, str]:
    html = pages.get(f"/dashboard/responses/{made}/again").text
    token, *_ = re.findall(r'name="csrf" value="(\w+)"', html)
    return {"csrf": token, "model": "m", "input": "Hi", "request": "{}"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": "{"}, "The request is no JSON"),
        ({"request": "[]"}, "The request is an object."),
        ({"request": '{"temperature": 9}'}, "temperature"),
        ({"request": '{"store": false}'}, "background"),
        ({"request": '{"input": [1]}', "input": ""}, "input"),
        ({"request": '{"previous_response_id": "resp_none"}'}, "resp_none"),
    ],
)
def test_what_is_refused_is_said_and_nothing_of_the_form_is_lost(
    made: str, pages: httpx2.Client, change: dict[str, str], said: str
) -> None:
    fields = form(pages, made) | {"model": "m-kept"} | change
    answer = pages.post(f"/dashboard/responses/{made}/again", data=fields)
    assert answer.status_code in (400, 404)
    (alert,) = re.findall(r'role="alert">(.*?)</p>', answer.text)
    assert said in alert
    assert 'value="m-kept"' in answer.text


def test_links_that_would_be_too_much_are_refused(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    from tests.dashboard.test_media import PICTURE, SHA256

    upstream.default = Answer("A cat.")
    content = [{"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    made = client.responses.create(model="m", input=[{"role": "user", "content": content}]).id  # type: ignore[list-item, misc]
    many = f"inline:{SHA256} " * 50_000
    answer = pages.post(f"/dashboard/responses/{made}/again", data=form(pages, made) | {"input": many})
    assert answer.status_code == 413
    assert "max_body_bytes" in answer.text
    named = client.responses.create(model="m", input=many).id
    assert pages.get(f"/dashboard/responses/{named}/code/curl").status_code == 413
    assert pages.get(f"/dashboard/responses/{named}/code").status_code == 200


def test_nobody_asks_in_the_name_of_a_visitor(made: str, pages: httpx2.Client) -> None:
    place, fields = f"/dashboard/responses/{made}/again", form(pages, made)
    assert pages.post(place, data=fields | {"csrf": "guessed"}).status_code == 403
    assert pages.post(place, data=fields, headers={"origin": "http://evil.example"}).status_code == 403
    assert pages.post("/dashboard/responses/resp_none/again", data=fields | {"model": "m"}).status_code == 303


def test_pictures_come_along_though_the_form_has_only_links(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    from tests.dashboard.test_code_page import PICTURE

    upstream.default = Answer("A cat.")
    content = [{"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    made = client.responses.create(model="m", input=[{"role": "user", "content": content}])  # type: ignore[list-item, misc]
    data = pages.get(f"/dashboard/responses/{made.id}/again.json").json()
    assert PICTURE[:100] not in data["fields"]["request"]
    assert "inline:" in data["fields"]["request"]

    fields = form(pages, made.id) | data["fields"]
    answer = pages.post(f"/dashboard/responses/{made.id}/again", data=fields)

    assert answer.status_code == 303
    again = answer.headers["location"].rpartition("/")[2]
    while client.responses.retrieve(again).status not in ("completed", "failed"):
        pass
    # What an earlier test has begun may still be under way.
    read = [each.body["messages"][0]["content"] for each in upstream.requests]
    assert [parts[0]["image_url"]["url"] for parts in read if isinstance(parts, list)] == [PICTURE, PICTURE]


def test_what_is_asked_again_counts_to_the_key_of_the_visitor(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Yes")
    limits = KeySettings(requests_per_minute=2, concurrency=1, models=["m"])
    config = replace(
        config_for(upstream, tmp_path, Server(verify=True, keys={"one": hash_key("sk-one")})),
        keys={"one": limits},
    )
    with Running(config) as server, httpx2.Client(base_url=server.url, timeout=30) as pages:
        key = {"authorization": "Bearer sk-one"}
        made = pages.post("/v1/responses", json={"model": "m", "input": "Hi"}, headers=key).json()["id"]
        pages.post("/dashboard/sign-in", data={"key": "sk-one", "next": "/dashboard"})
        place, fields = f"/dashboard/responses/{made}/again", form(pages, made)

        refused = pages.post(place, data=fields | {"model": "other"})
        assert refused.status_code == 403
        again = pages.post(place, data=fields)
        assert again.status_code == 303
        while pages.get(f"{again.headers['location']}.json").json()["response"]["status"] != "completed":
            pass
        over = pages.post(place, data=fields)
        assert over.status_code == 429
        assert 'role="alert"' in over.text
        (row, _) = pages.get("/dashboard/responses.json?key=one").json()["responses"]
        assert row["background"]
