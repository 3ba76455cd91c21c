"""Keys made, limited and revoked on their page."""

import re
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import check_tame
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Answer, Upstream

from antiphon.config import KeySettings, Server, hash_key


def asked(server: Running, key: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{server.url}/v1/responses", json={"model": "m", "input": "Hi"}, headers=headers)


@pytest.fixture
def own(upstream: Upstream, tmp_path: Path) -> Running:
    """A server of the machine's own user."""
    upstream.default = Answer("Hello")
    return Running(config_for(upstream, tmp_path))


@BROWSER
def test_a_key_is_made_shown_once_limited_and_revoked(tab: Tab, own: Running) -> None:
    with own as server:
        tab.goto(f"{server.url}/dashboard/keys")
        tab.get_by_label("Name").fill("laptop")
        tab.get_by_label("Requests a minute").fill("1")
        tab.get_by_role("button", name="Make it").click()
        secret = tab.locator("#secret").inner_text()
        assert [asked(server, secret).status_code for _ in range(2)] == [200, 429]
        tab.goto(f"{server.url}/dashboard/keys")
        assert secret not in tab.content()
        expect(tab.locator("td", has_text="requests per minute: 1")).to_be_visible()
        row = tab.locator("tr", has_text="laptop")
        row.get_by_text("Limit", exact=True).click()
        row.get_by_label("Requests a minute").fill("")
        row.get_by_label("Models").fill("gpt-* m")
        row.get_by_role("button", name="Save").click()
        expect(tab.locator("td", has_text="models: gpt-* m")).to_be_visible()
        tab.get_by_role("button", name="Revoke").click()
        expect(tab.locator("tr", has_text="laptop")).to_contain_text("revoked")
        check_tame(tab, "laptop")

        answers = (asked(server, secret).status_code for _ in range(5000))
        assert next(status for status in answers if status == 401), "it is let in no more within seconds"


def test_who_is_no_administrator_sees_keys_of_his_project_and_makes_none(
    upstream: Upstream, tmp_path: Path
) -> None:
    with two_projects(upstream, tmp_path) as server, signed_in(server, "one") as pages:
        html = pages.get("/dashboard/keys").text
        token = re.findall(r'csrf-token" content="(\w+)"', html)[0]
        assert "Make it" not in html
        form = {"name": "mine", "csrf": token}
        assert pages.post("/dashboard/keys", data=form).status_code == 403
        assert pages.post("/dashboard/keys/key_1/revoke", data={"csrf": token}).status_code == 403
        assert pages.get("/dashboard/keys.json").json() == {"keys": [], "may_change": False}
        assert KEYS["one"] not in html


def test_a_key_that_cannot_be_is_refused(own: Running) -> None:
    with own as server, httpx2.Client(base_url=server.url) as pages:
        token = re.findall(r'csrf-token" content="(\w+)"', pages.get("/dashboard/keys").text)[0]
        form = {"name": "k", "csrf": token}
        for wrong in (
            {"name": "<script>"},
            {"token_budget": "many"},
            {"expires": "never"},
            {"expires": "2001-01-01"},
            {"models": "x" * 300},
            {"service_tiers": "default scale"},
        ):
            answer = pages.post("/dashboard/keys", data=form | wrong)
            assert (answer.status_code, "<script>" in answer.text.partition("<main>")[2]) == (400, False)
        assert pages.post("/dashboard/keys", data={"name": "k"}).status_code == 403
        assert pages.post("/dashboard/keys", data=form | {"service_tiers": "flex default"}).status_code == 200
        (key,) = pages.get("/dashboard/keys.json").json()["keys"]
        assert key["limits"] == {"service_tiers": ["flex", "default"]}
        assert (key["name"], key["project"], "digest" in key) == ("k", "default", False)


def test_the_api_behind_pages_keeps_to_the_limits_of_the_key(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    server = Server(verify=True, keys={"one": hash_key(KEYS["one"])})
    config = replace(config_for(upstream, tmp_path, server), keys={"one": KeySettings(requests_per_minute=1)})
    with Running(config) as running, signed_in(running, "one") as pages:
        token = re.findall(r'csrf-token" content="(\w+)"', pages.get("/dashboard/keys").text)[0]
        body, headers = {"model": "m", "input": "Hi"}, {"x-csrf-token": token}
        answers = [pages.post("/dashboard/v1/responses", json=body, headers=headers) for _ in range(2)]
        (row,) = pages.get("/dashboard/responses.json").json()["responses"]

        assert [answer.status_code for answer in answers] == [200, 429]
        assert row["api_key"] == "one"
