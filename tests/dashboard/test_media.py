"""Pictures and files of responses: what is shown, and how they come."""

import hashlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from tests.conftest import Running, config_for
from tests.dashboard.browser import BROWSER
from tests.dashboard.pictures import encoded, png
from tests.scripted import Answer, Upstream

from antiphon.config import Server, hash_key
from antiphon.dashboard import addresses
from antiphon.dashboard.items import all_shown, shown
from antiphon.dashboard.media import media_type

HTML = b"<html><script>document.title = 'run'</script>" + b"<p>x</p>" * 1000
BYTES = png(60, 60)
PICTURE = f"data:image/png;base64,{encoded(BYTES)}"
SHA256 = hashlib.sha256(BYTES).hexdigest()


def asked(client: OpenAI, *parts: Any) -> str:
    """The id of a response to these parts."""
    said: Any = [{"role": "user", "content": list(parts)}]
    return client.responses.create(model="m", input=said).id


@pytest.fixture(autouse=True)
def answered(upstream: Upstream) -> None:
    upstream.default = Answer("Seen.")


@BROWSER
@pytest.mark.parametrize("size", [4, 60])
def test_a_picture_is_shown(tab: Tab, client: OpenAI, server: Running, size: int) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{encoded(png(size, size))}"}
    made = asked(client, picture)
    tab.goto(f"{server.url}/dashboard/responses/{made}")

    shown = tab.locator(".item img")
    expect(shown).to_be_visible()
    tab.wait_for_function("document.querySelector('.item img').naturalWidth")
    assert shown.evaluate("image => image.naturalWidth") == size
    assert (shown.get_attribute("src") or "").startswith("/dashboard/media/") is (size == 60)


def test_a_picture_of_another_server_is_a_link() -> None:
    part = {"type": "input_image", "image_url": "https://pictures.example/a.png"}
    (block,) = shown({"type": "message", "role": "user", "content": [part]}).blocks
    assert (block.kind, block.address) == ("link", "https://pictures.example/a.png")


def test_a_page_that_somebody_sent_is_a_text_and_sandboxed(client: OpenAI, pages: httpx2.Client) -> None:
    data = f"data:text/html;base64,{encoded(HTML)}"
    made = asked(client, {"type": "input_file", "filename": "a b.html", "file_data": data})
    html = pages.get(f"/dashboard/responses/{made}").text
    (place,) = (part for part in html.split('"') if part.startswith("/dashboard/media/data/"))
    answer = pages.get(place.replace("&amp;", "&"))

    assert answer.content == HTML
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''a%20b.html"


def test_a_file_leads_to_its_content(client: OpenAI, pages: httpx2.Client) -> None:
    file = client.files.create(file=("a.bin", b"\x00\x01" * 5000), purpose="user_data")
    answer = pages.get(addresses.file(file.id) or "")
    assert answer.content == b"\x00\x01" * 5000
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    "place",
    ["data/0", f"data/{'0' * 64}", f"data/{'Z' * 64}", "files/file-none", "containers/cntr_1/cfile_1"],
)
def test_what_is_not_there_is_not_found(pages: httpx2.Client, place: str) -> None:
    assert pages.get(f"/dashboard/media/{place}").status_code == 404


def test_data_of_another_project_is_not_found(upstream: Upstream, tmp_path: Path) -> None:
    keys = {"one": hash_key("sk-one"), "two": hash_key("sk-two")}
    config = config_for(upstream, tmp_path, Server(verify=True, keys=keys))
    found = []
    with Running(config) as server:
        body = {
            "model": "m",
            "input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}],
        }
        answer = httpx2.post(
            f"{server.url}/v1/responses", json=body, headers={"authorization": "Bearer sk-one"}, timeout=30
        )
        assert answer.status_code == 200
        for key in ("sk-one", "sk-two"):
            with httpx2.Client(base_url=server.url) as pages:
                pages.post("/dashboard/sign-in", data={"key": key, "next": "/dashboard"})
                found.append(pages.get(f"/dashboard/media/data/{SHA256}").status_code)
                found.append(pages.get(f"/dashboard/responses/{answer.json()['id']}").status_code)
    assert found == [200, 200, 404, 404]


@pytest.mark.parametrize(
    ("begin", "name", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "a.html", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"GIF89a", "", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "", "application/octet-stream"),
        (b"<svg onload=x>", "a.svg", "application/octet-stream"),
        (b"<html>", "a.HTML", "text/plain; charset=utf-8"),
        (b"%PDF-1.7", "a.pdf", "application/octet-stream"),
        (b"", "", "application/octet-stream"),
    ],
)
def test_what_a_file_is_its_bytes_say(begin: bytes, name: str, expected: str) -> None:
    assert media_type(begin, name) == expected


@pytest.mark.parametrize(
    "value",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHN2Zz4=",
        'data:image/png;base64,AAAA" onerror="x',
        "javascript:alert(1)",
        "https://a.example/b.png",
        "inline:zz",
        f"inline:{'0' * 64}/../x",
        5,
        None,
        {},
    ],
)
def test_only_a_picture_is_shown_as_one(value: object) -> None:
    assert addresses.picture(value) is None


def test_citations_lead_to_their_source() -> None:
    text = {
        "type": "output_text",
        "text": "So it is.",
        "annotations": [
            {"type": "url_citation", "url": "https://a.example/b", "title": "B"},
            {"type": "url_citation", "url": "javascript:x", "title": "C"},
            {"type": "file_citation", "file_id": "file-1", "filename": "a.txt"},
            {"type": "container_file_citation", "container_id": "c1", "file_id": "cf1", "filename": "p.png"},
        ],
    }
    found = shown({"type": "message", "role": "assistant", "content": [text]})
    assert [(block.text, block.address) for block in found.blocks if block.kind == "link"] == [
        ("B", "https://a.example/b"),
        ("C", None),
        ("a.txt", "/dashboard/media/files/file-1"),
        ("p.png", "/dashboard/media/containers/c1/cf1"),
    ]


def test_a_page_has_an_end_of_what_is_shown_with_its_form() -> None:
    items = [{"type": "message", "role": "user", "content": "*a* " * 20_000} for _ in range(5)]
    assert [item.blocks[0].kind for item in all_shown(items)] == ["markdown"] * 3 + ["plain"] * 2
    long = shown({"type": "message", "content": "x" * 150_000}).blocks[0].text
    assert long.endswith("… 50,000 characters more")
