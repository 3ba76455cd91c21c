"""Pages of what is at work: the queue, deliveries of webhooks, containers."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from tests.conftest import Running, checked_client, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import HOSTILE, check_tame
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Answer, Gate, Upstream
from tests.served import Served

from antiphon.config import Webhook
from antiphon.webhooks.endpoints import new_secret


def background(client: OpenAI, model: str = "m") -> str:
    """The id of a response that is made in the background."""
    return client.responses.create(model=model, input="Hi", background=True).id


# ---- the queue --------------------------------------------------------------------------------------


@BROWSER
def test_a_run_is_seen_cancelled_and_gone(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello", size=1, gate=gate))
    made = background(client, f"m{HOSTILE}")
    gate.wait_reached()
    tab.goto(f"{server.url}/dashboard/queue")
    row = tab.locator("tr", has_text=made)
    expect(row.locator(".status")).to_have_text("running")
    check_tame(tab, f"m{HOSTILE}")
    row.get_by_role("button", name="Cancel").click()

    expect(row).to_have_count(0)
    gate.open()
    assert client.responses.retrieve(made).status == "cancelled"


@BROWSER
def test_the_queue_is_seen_to_change(tab: Tab, client: OpenAI, server: Running, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))
    tab.goto(f"{server.url}/dashboard/queue")
    made = background(client)
    expect(tab.locator("tr", has_text=made)).to_be_visible()
    gate.open()
    expect(tab.locator("tr", has_text=made)).to_have_count(0)


@BROWSER
def test_what_waits_for_a_quiet_time_says_so(
    tab: Tab, client: OpenAI, server: Running, upstream: Upstream
) -> None:
    gate = Gate(after=1)
    upstream.script(Answer("Slow", size=1, gate=gate), Answer("Patient."))
    patient = {"background": True, "background_options": {"completion_window": "8h"}}
    with client.responses.create(model="m", input="Hi", stream=True) as stream:
        next(iter(stream))
        made = client.responses.create(model="m", input="Hi", extra_body=patient)
        tab.goto(f"{server.url}/dashboard/queue")
        expect(tab.locator("tr", has_text=made.id)).to_contain_text("patient until")
        client.responses.cancel(made.id)
        gate.open()
        for _ in stream:
            pass


def test_the_queue_of_a_project_is_its_own(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            made = background(client)
        with signed_in(server, "two") as pages:
            assert pages.get("/dashboard/queue.json").json()["runs"] == []
        with signed_in(server, "one") as pages:
            (run,) = pages.get("/dashboard/queue.json").json()["runs"]
            assert (run["id"], run["model"]) == (made, "m")
            assert "response" not in run
        gate.open()


# ---- webhooks ---------------------------------------------------------------------------------------


class Hook:
    """An endpoint of webhooks that answers what it is told to, then 200."""

    def __init__(self) -> None:
        self.answers: deque[int] = deque()

    async def receive(self, _: Request) -> HttpResponse:
        return HttpResponse(status_code=self.answers.popleft() if self.answers else 200)


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def hooked(hook: Hook, upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server that tells the hook what ends."""
    app = Starlette(routes=[Route("/", hook.receive, methods=["POST"])])
    with Served(app, log_level="error") as receiver:
        webhooks = {"hook": Webhook(url=f"{receiver.url}/", secret=new_secret())}
        with Running(replace(config_for(upstream, tmp_path), webhooks=webhooks)) as server:
            yield server


def reload_until(tab: Tab, text: str) -> None:
    """The page says so, sooner or later."""
    for _ in range(500):
        if text in tab.locator("main").inner_text():
            return
        tab.reload()
    raise AssertionError(tab.locator("main").inner_text())


@BROWSER
def test_a_delivery_that_failed_is_sent_again(
    tab: Tab, hooked: Running, hook: Hook, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    hook.answers.append(500)
    with checked_client(hooked.url) as client:
        made = background(client)
    tab.goto(f"{hooked.url}/dashboard/webhooks")
    reload_until(tab, "500")
    expect(tab.locator("tr", has_text=made).locator(".status")).to_have_text("pending")
    tab.get_by_role("button", name="Send again").click()
    for _ in range(500):
        (delivery,) = httpx2.get(f"{hooked.url}/dashboard/webhooks.json").json()["deliveries"]
        if delivery["status"] == "delivered":
            break
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1), "it counts as new"

    tab.get_by_role("link", name="failed").click()
    expect(tab.locator("main")).to_contain_text("No delivery is failed.")
    tab.get_by_role("link", name="delivered").click()
    expect(tab.locator("tr", has_text=made)).to_contain_text("response.completed")


def test_nobody_sends_a_delivery_of_others_again(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("Hello"))
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            made = {"name": HOSTILE, "url": "https://hook.example/", "event_types": ["response.completed"]}
            client.post("/webhook_endpoints", body=made, cast_to=object)
            background(client)
        with signed_in(server, "one") as pages:
            delivery = _first(pages)
            token = _token(pages)
            path = f"/dashboard/webhooks/{delivery['id']}/again"
            assert pages.post(path, data={"csrf": "guessed"}).status_code == 403
            assert pages.post(path, data={"csrf": token}).status_code == 303
            assert pages.get("/dashboard/webhooks?status=other").status_code == 400
        with signed_in(server, "two") as pages:
            assert pages.get("/dashboard/webhooks.json").json()["deliveries"] == []
            assert pages.post(path, data={"csrf": _token(pages)}).status_code == 404


def _first(pages: httpx2.Client) -> Any:
    """The delivery of a response that ends by and by."""
    for _ in range(2000):
        if found := pages.get("/dashboard/webhooks.json").json()["deliveries"]:
            return found[0]
    raise AssertionError("there is no delivery")


def _token(pages: httpx2.Client) -> str:
    return pages.get("/dashboard").text.partition('csrf-token" content="')[2].partition('"')[0]


# ---- containers -------------------------------------------------------------------------------------


@BROWSER
def test_containers_are_listed_and_their_files_downloaded_and_deleted(
    tab: Tab, client: OpenAI, server: Running
) -> None:
    made = client.containers.create(name=f"Work {HOSTILE}")
    name = f"{HOSTILE.replace('/', '')}.html"
    client.containers.files.create(made.id, file=(name, b"<script>document.title='run'</script>"))
    tab.goto(f"{server.url}/dashboard/containers")
    check_tame(tab, f"Work {HOSTILE}")
    tab.locator("tr", has_text=made.id).get_by_role("link").click()
    check_tame(tab, f"Work {HOSTILE}")
    with tab.expect_download() as download:
        tab.locator("td a").click()
    assert Path(download.value.path()).read_bytes() == b"<script>document.title='run'</script>"
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.locator("td").get_by_role("button", name="Delete").click()
    expect(tab.locator("main")).to_contain_text("No files in it.")
    tab.locator(".head").get_by_role("button", name="Delete").click()
    expect(tab).to_have_url(f"{server.url}/dashboard/containers")

    assert made.id not in tab.locator("main").inner_text()


def test_containers_of_a_project_are_its_own(upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            made = client.containers.create(name="Work")
        with signed_in(server, "one") as pages:
            assert pages.get(f"/dashboard/containers/{made.id}.json").json()["container"]["name"] == "Work"
        with signed_in(server, "two") as pages:
            assert pages.get("/dashboard/containers.json").json()["containers"] == []
            assert pages.get(f"/dashboard/containers/{made.id}").status_code == 404
