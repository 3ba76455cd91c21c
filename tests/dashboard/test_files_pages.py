"""Files and vector stores in a real browser: uploaded, indexed, searched, deleted."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import NotFoundError, OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, checked_client
from tests.dashboard.browser import BROWSER
from tests.dashboard.hostile import HOSTILE, check_tame
from tests.dashboard.signing import KEYS, signed_in, two_projects
from tests.scripted import Upstream

OAKS = b"An oak lives for a thousand years."
_DROP = """([element, name]) => {
    const data = new DataTransfer();
    data.items.add(new File(["Ships unload in the harbour."], name));
    element.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def drop(tab: Tab, name: str) -> None:
    """A file on the place for it."""
    tab.evaluate(_DROP, [tab.locator(".drop").element_handle(), name])


def chosen(name: str, content: bytes = OAKS) -> Any:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


@BROWSER
def test_files_are_uploaded_by_button_and_by_drag_downloaded_and_deleted(
    tab: Tab, server: Running, client: OpenAI
) -> None:
    tab.goto(f"{server.url}/dashboard/files")
    tab.locator(".drop input").set_input_files([chosen("chosen.txt"), chosen("another.txt")])
    expect(tab.get_by_role("link", name="another.txt")).to_be_visible()
    drop(tab, "dropped.txt")
    row = tab.locator("tr", has_text="dropped.txt")
    expect(row).to_be_visible()
    with tab.expect_download() as download:
        row.get_by_role("link").click()
    assert download.value.suggested_filename == "dropped.txt"
    assert Path(download.value.path()).read_bytes() == b"Ships unload in the harbour."
    file_id = row.locator(".id").inner_text()
    tab.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Delete").click()

    expect(row).to_have_count(0)
    with pytest.raises(NotFoundError):
        client.files.retrieve(file_id)


@BROWSER
def test_a_store_is_made_filled_searched_and_deleted(tab: Tab, server: Running, client: OpenAI) -> None:
    tab.goto(f"{server.url}/dashboard/vector_stores")
    tab.get_by_label("Name").fill("Of trees")
    tab.get_by_role("button", name="Make one").click()
    tab.wait_for_url("**/vector_stores/vs_*")  # and until its script listens
    tab.locator(".drop input").set_input_files(chosen("oaks.txt"))
    expect(tab.locator("#files tr", has_text="oaks.txt").locator(".status")).to_have_text("completed")
    expect(tab.locator("#files")).to_contain_text("1 of 1 files are indexed")
    client.files.create(file=("later.txt", b"A birch has white bark."), purpose="assistants")
    tab.reload()
    tab.get_by_label("File", exact=True).select_option("later.txt")
    tab.get_by_label("Attributes").fill('{"kind": "birch"}')
    tab.get_by_role("button", name="Add").click()
    expect(tab.locator("#files")).to_contain_text("2 of 2 files are indexed")
    tab.get_by_label("Search").fill("how old are oaks")
    tab.get_by_role("button", name="Search").click()

    first = tab.locator("#results .found").first
    expect(first).to_contain_text("An oak lives for a thousand years.")
    assert 0 < float(first.locator("b").inner_text()) <= 1
    expect(tab.locator("#results")).to_contain_text("kind: birch")
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.locator(".head").get_by_role("button", name="Delete").click()
    expect(tab).to_have_url(f"{server.url}/dashboard/vector_stores")
    assert "Of trees" not in tab.locator("main").inner_text()


@BROWSER
def test_a_file_that_is_refused_is_told(tab: Tab, server: Running, client: OpenAI) -> None:
    store = client.vector_stores.create(name="For text")
    tab.goto(f"{server.url}/dashboard/vector_stores/{store.id}")
    drop(tab, "film.mp4")

    expect(tab.locator(".uploads .bad")).to_contain_text("[.mp4] are not supported")


@BROWSER
def test_names_of_files_and_what_is_in_them_are_text(tab: Tab, server: Running, client: OpenAI) -> None:
    name = HOSTILE.replace("/", "")
    file_id = client.files.create(file=(f"{name}.txt", HOSTILE.encode()), purpose="assistants").id
    store = client.vector_stores.create(name=HOSTILE, description=HOSTILE)
    attributes = {f"a{HOSTILE}"[:64]: HOSTILE}
    client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, attributes=attributes)
    for path in (
        "files",
        "vector_stores",
        f"vector_stores/{store.id}?query=%22%3E%3Cscript%3E",
        "playground",
    ):
        tab.goto(f"{server.url}/dashboard/{path}")
        check_tame(tab)
    tab.goto(f"{server.url}/dashboard/vector_stores/{store.id}?query=script")
    check_tame(tab, HOSTILE, client.files.retrieve(file_id).filename)
    answer = httpx2.get(f"{server.url}/dashboard/v1/files/{file_id}/content")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-security-policy"].startswith("sandbox;")


@BROWSER
def test_who_is_not_signed_in_any_more_is_told(tab: Tab, upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            client.vector_stores.create(name="mine")
        tab.goto(f"{server.url}/dashboard/vector_stores")
        tab.get_by_label("API key").fill(KEYS["one"])
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.locator("main")).to_contain_text("mine")
        tab.context.clear_cookies()
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.get_by_role("button", name="Delete").click()
        expect(tab.locator("#said")).to_contain_text("Your session is over.")


def test_lists_go_on_behind_their_cursor(client: OpenAI, pages: httpx2.Client) -> None:
    made = [client.vector_stores.create(name=f"s{n}").id for n in range(51)]
    first = pages.get("/dashboard/vector_stores.json").json()
    second = pages.get(first["next"].replace("stores?", "stores.json?")).json()

    found = [each["id"] for each in (*first["vector_stores"], *second["vector_stores"])]
    assert found[:51] == made[::-1]
    assert pages.get("/dashboard/files?after=file-none").status_code == 404


def test_each_project_sees_its_own(upstream: Upstream, tmp_path: Path) -> None:
    with two_projects(upstream, tmp_path) as server:
        with checked_client(server.url, KEYS["one"]) as client:
            file_id = client.files.create(file=("a.txt", b"a"), purpose="assistants").id
            store = client.vector_stores.create(file_ids=[file_id])
        with signed_in(server, "one") as pages:
            assert file_id in pages.get("/dashboard/files").text
            assert store.id in pages.get("/dashboard/vector_stores").text
        with signed_in(server, "two") as pages:
            assert pages.get("/dashboard/files.json").json()["files"] == []
            assert pages.get("/dashboard/vector_stores.json").json()["vector_stores"] == []
            assert pages.get(f"/dashboard/vector_stores/{store.id}").status_code == 404
            assert pages.get(f"/dashboard/v1/files/{file_id}/content").status_code == 404
