"""What every page of the dashboard has: who is let in, headers, errors, JSON."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.scripted import Upstream

from antiphon.config import Dashboard, Server, hash_key
from antiphon.keys.issuing import Issuer
from antiphon.store.keys import KeyLimits
from antiphon.store.open import open_store

T = TypeVar("T")

KEY = "sk-of-one"


@pytest.fixture
def keyed(upstream: Upstream, tmp_path: Path) -> Server:
    return Server(verify=True, keys={"one": hash_key(KEY), "two": hash_key("sk-of-two")})


def serving(upstream: Upstream, folder: Path, server: Server) -> Running:
    return Running(config_for(upstream, folder, server))


def signed_in(client: httpx2.Client, key: str = KEY) -> httpx2.Response:
    return client.post("/dashboard/sign-in", data={"key": key, "next": "/dashboard/responses"})


@pytest.mark.parametrize(
    "path", ["/dashboard", "/dashboard.json", "/dashboard/nothing", "/dashboard/static/dashboard.css"]
)
def test_every_answer_lets_no_script_run_but_its_own(pages: httpx2.Client, path: str) -> None:
    headers = pages.get(path).headers
    policy = headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_no_page_has_a_script_or_a_style_in_it(pages: httpx2.Client) -> None:
    html = pages.get("/dashboard").text

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html) == []


def test_a_page_that_is_not_there_is_an_error_page(pages: httpx2.Client) -> None:
    answer = pages.get("/dashboard/nothing")

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no such page." in answer.text


def test_its_json_is_an_error_too(pages: httpx2.Client) -> None:
    answer = pages.get("/dashboard/nothing.json")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "There is no such page."


def test_a_page_of_another_site_reads_and_changes_nothing(pages: httpx2.Client) -> None:
    origin = {"origin": "http://evil.example"}

    assert pages.get("/dashboard", headers=origin).status_code == 403
    assert pages.post("/dashboard/sign-out", headers=origin).status_code == 403


def test_another_name_of_the_server_is_refused_without_keys(pages: httpx2.Client) -> None:
    assert pages.get("/dashboard", headers={"host": "rebound.example.com"}).status_code == 403


def test_with_keys_whoever_has_not_signed_in_is_led_there(
    upstream: Upstream, tmp_path: Path, keyed: Server
) -> None:
    with serving(upstream, tmp_path, keyed) as server, httpx2.Client(base_url=server.url) as client:
        answer = client.get("/dashboard/responses")

        assert answer.status_code == 303
        assert answer.headers["location"] == "/dashboard/sign-in?next=/dashboard/responses"
        assert (
            client.get("/dashboard/responses", headers={"authorization": f"Bearer {KEY}"}).status_code == 303
        )
        assert client.get("/dashboard/sign-in").status_code == 200


def test_a_wrong_key_signs_nobody_in(upstream: Upstream, tmp_path: Path, keyed: Server) -> None:
    with serving(upstream, tmp_path, keyed) as server, httpx2.Client(base_url=server.url) as client:
        answer = signed_in(client, "sk-wrong")

        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "does not know that key" in answer.text


def test_a_session_sees_its_project_alone_and_ends_by_signing_out(
    upstream: Upstream, tmp_path: Path, keyed: Server
) -> None:
    with serving(upstream, tmp_path, keyed) as server, httpx2.Client(base_url=server.url) as client:
        body = {"model": "m-of-two", "input": "Hi"}
        client.post("/v1/responses", json=body, headers={"authorization": "Bearer sk-of-two"})
        answer = signed_in(client)
        cookie = answer.headers["set-cookie"]

        assert answer.headers["location"] == "/dashboard/responses"
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert KEY not in cookie
        html = client.get("/dashboard/responses").text
        assert "No responses yet." in html
        assert client.post("/dashboard/sign-out", data={"csrf": "guessed"}).status_code == 403
        token = re.findall(r'name="csrf" value="(\w+)"', html)[0]
        assert client.post("/dashboard/sign-out", data={"csrf": token}).status_code == 303
        assert client.get("/dashboard/responses").status_code == 303


def test_one_is_led_to_no_other_place_by_signing_in(
    upstream: Upstream, tmp_path: Path, keyed: Server
) -> None:
    with serving(upstream, tmp_path, keyed) as server, httpx2.Client(base_url=server.url) as client:
        for there in ("https://evil.example/", "//evil.example", "/dashboard//evil.example\n", "/v1/files"):
            answer = client.post("/dashboard/sign-in", data={"key": KEY, "next": there})
            assert answer.headers["location"] in ("/dashboard", "/dashboard//evil.example")


def test_a_session_ends_with_its_key(upstream: Upstream, tmp_path: Path, keyed: Server) -> None:
    with serving(upstream, tmp_path, keyed) as server, httpx2.Client(base_url=server.url) as client:
        cookie = signed_in(client).cookies["antiphon_session"]
    without = replace(keyed, keys={"two": hash_key("sk-of-two")})
    with serving(upstream, tmp_path, without) as server:
        answer = httpx2.get(f"{server.url}/dashboard", cookies={"antiphon_session": cookie})

        assert answer.status_code == 303


def test_where_keys_are_required_one_made_at_run_time_signs_in_until_it_is_revoked(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_for(upstream, tmp_path, Server(verify=True, require_keys=True))

    async def issue(do: Callable[[Issuer], Awaitable[T]]) -> T:
        store = await open_store(config.store_url)
        try:
            return await do(Issuer(store.keys, None))
        finally:
            await store.close()

    with Running(config) as server, httpx2.Client(base_url=server.url) as client:
        assert client.get("/dashboard").status_code == 303
        new = asyncio.run(issue(lambda issuer: issuer.create("shop", "one", KeyLimits())))
        assert signed_in(client, new.secret).status_code == 303
        assert '<span class="who">shop</span>' in client.get("/dashboard/responses").text

        asyncio.run(issue(lambda issuer: issuer.revoke(new.row.id)))

        assert client.get("/dashboard/responses").status_code == 303
        assert signed_in(client, new.secret).status_code == 401


def test_a_server_can_have_no_dashboard(upstream: Upstream, tmp_path: Path) -> None:
    config = replace(config_for(upstream, tmp_path), dashboard=Dashboard(enabled=False))
    with Running(config) as server:
        assert httpx2.get(f"{server.url}/dashboard").status_code == 404
