"""Usage by day, model and key, and the columns that show it."""

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, checked_client
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import HOSTILE, check_tame
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Answer, Upstream, Usage, refusal

from antiphon.dashboard.plot import Column, brief, ceiling, columns

ON_BOTH_HOMES = True


def used(pages: httpx2.Client, **query: Any) -> Any:
    return pages.get("/dashboard/usage.json", params=query).json()


def test_tokens_requests_and_failures_are_added_up(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(
        Answer("a", usage=Usage(prompt=100, completion=10, cached=40)),
        Answer("b", usage=Usage(prompt=50, completion=5)),
        refusal(400, "No."),
        Answer("c"),
    )
    before = used(pages)["total"]
    for _ in range(2):
        client.responses.create(model="m-used", input="Hi")
    pages.post("/v1/responses", json={"model": "m-used", "input": "Hi"})
    client.responses.create(model="m-other", input="Hi")  # what is kept takes along what was noted
    found = used(pages, model="m-used")

    expected = {
        "requests": 3,
        "failures": 1,
        "input_tokens": 150,
        "cached_tokens": 40,
        "output_tokens": 15,
    }
    assert found["total"] == {"name": "total", **expected}
    assert found["by_model"] == [{"name": "m-used", **expected}]
    assert found["by_key"] == [{"name": "", **expected}]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert [day["name"] for day in found["by_day"] if day["requests"]] in ([today], [_yesterday(today)])
    assert len(found["by_day"]) == 30
    assert used(pages)["total"]["requests"] == before["requests"] + 4
    assert len(used(pages, days=7)["by_day"]) == 7
    assert pages.get("/dashboard/usage?days=8").status_code == 400


def _yesterday(today: str) -> str:
    """Where the day ended meanwhile."""
    midnight = time.mktime(time.strptime(today, "%Y-%m-%d")) - time.timezone
    return time.strftime("%Y-%m-%d", time.gmtime(midnight - 1))


@BROWSER
def test_usage_is_shown_as_columns_and_narrowed_down(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    upstream.default = Answer("a")
    client.responses.create(model=f"m{HOSTILE}", input="Hi")
    tab.goto(f"{server.url}/dashboard/usage")
    assert tab.locator(".plot").count() == 2
    assert tab.locator(".plot").first.locator(".column").count() == 30
    assert float(tab.locator(".plot rect.part1").nth(29).get_attribute("height") or 0) > 0
    check_tame(tab, f"m{HOSTILE}")
    tab.get_by_role("link", name=f"m{HOSTILE}").click()
    expect(tab.locator(".head")).to_contain_text("model: m")
    check_tame(tab, f"m{HOSTILE}")
    tab.get_by_label("Without this model").click()
    expect(tab.locator(".head")).not_to_contain_text("model: m")
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_project_sees_what_it_used_itself(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("a"))
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            client.responses.create(model="m", input="Hi")
        with signed_in(server, "one") as pages:
            assert used(pages)["total"]["requests"] == 1
        with signed_in(server, "two") as pages:
            assert used(pages)["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (99, 100), (101, 200)]
)
def test_the_scale_ends_with_a_round_number(value: int, expected: int) -> None:
    assert ceiling(value) == expected


def test_numbers_of_the_scale_are_brief() -> None:
    assert [brief(value) for value in (0, 500, 2000, 1_500_000, 4 * 10**9)] == [
        "0",
        "500",
        "2k",
        "1.5M",
        "4G",
    ]


def test_columns_stand_upon_each_other_within_the_picture() -> None:
    svg = columns([Column("<b>", [1, 3]), Column("next", [0, 4])], ["low", "high"])
    picture = ElementTree.fromstring(svg)
    groups = [each for each in picture if each.get("class") == "column"]
    low, high = groups[0].findall("rect")[1:]

    assert groups[0].findtext("title") == "<b>: low 1, high 3"
    assert float(high.get("y", 0)) + float(high.get("height", 0)) == pytest.approx(float(low.get("y", 0)))
    assert float(high.get("height", 0)) == pytest.approx(3 * float(low.get("height", 0)))
    assert float(high.get("y", 0)) == pytest.approx(10)
    assert ElementTree.fromstring(columns([], ["none"])).get("class") == "plot"
