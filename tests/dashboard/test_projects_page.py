"""An administrator looks at any project; nobody else does."""

import re
from pathlib import Path

import httpx2
from msgspec.structs import replace
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, checked_client, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Answer, Upstream

from antiphon.config import KeySettings, Server, hash_key


def token_of(pages: httpx2.Client) -> str:
    return re.findall(r'csrf-token" content="(\w+)"', pages.get("/dashboard").text)[0]


@BROWSER
def test_an_administrator_sees_what_each_project_has_and_acts_for_it(
    tab: Tab, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(Answer("For two."))
    keys = {name: hash_key(key) for name, key in KEYS.items()}
    config = replace(
        config_for(upstream, tmp_path, Server(verify=True, keys=keys)), keys={"one": KeySettings(admin=True)}
    )
    with Running(config) as server:
        with checked_client(server.url, KEYS["two"]) as client:
            made = client.responses.create(model="m", input="Hi")
            store = client.vector_stores.create(name="of two")
        tab.goto(f"{server.url}/dashboard")
        tab.get_by_label("API key").fill(KEYS["one"])
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.locator("main")).to_contain_text("No responses yet.")
        tab.locator(".who").click()
        tab.get_by_role("button", name="Look at two").click()
        expect(tab.locator(f"a[href$='{made.id}']")).to_be_visible()
        expect(tab.locator(".who")).to_have_text("two")
        tab.goto(f"{server.url}/dashboard/vector_stores/{store.id}")
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.get_by_role("button", name="Delete").click()
        expect(tab.locator("main")).to_contain_text("No vector stores yet.")


def test_nobody_else_looks_at_another_project(upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["two"]) as client:
            store = client.vector_stores.create(name="of two")
        with signed_in(server, "one") as pages:
            form = {"project": "two", "csrf": token_of(pages)}
            assert pages.get("/dashboard/projects").status_code == 403
            assert pages.post("/dashboard/projects", data=form).status_code == 403
            pages.cookies.set("antiphon_project", "two")
            assert pages.get("/dashboard/vector_stores.json").json()["vector_stores"] == []
            assert pages.get(f"/dashboard/v1/vector_stores/{store.id}").status_code == 404


def test_who_runs_the_server_on_this_machine_is_an_administrator(upstream: Upstream, tmp_path: Path) -> None:
    with Running(config_for(upstream, tmp_path)) as server, httpx2.Client(base_url=server.url) as pages:
        form = {"name": "k", "project": "blog", "csrf": token_of(pages)}
        assert pages.post("/dashboard/keys", data=form).status_code == 200
        assert pages.get("/dashboard/projects.json").json()["projects"] == ["blog", "default"]
        assert pages.post("/dashboard/projects", data={"project": "blog"}).status_code == 403
        token = token_of(pages)
        for wrong in ("", "ü", "a\nb", "x" * 65):
            form = {"project": wrong, "csrf": token}
            assert pages.post("/dashboard/projects", data=form).status_code == 400
        form = {"project": "blog", "csrf": token}
        assert pages.post("/dashboard/projects", data=form).status_code == 303
        assert pages.get("/dashboard/projects.json").json()["project"] == "blog"
