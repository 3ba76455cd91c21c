"""What a page in a browser can do with a server on the same machine: nothing, unless its owner has named it.

The attacks are first made on a server that lets every page in, so that it is known that they are some.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from playwright.sync_api import Page as Tab
from playwright.sync_api import Route
from tests.conftest import Running, config_for
from tests.scripted import Answer, Gate, Upstream
from tests.website import Page, Website

from antiphon.config import Config, Server, hash_key

HERE = Path(__file__).parent
ATTACK = (HERE / "attack.html").read_bytes()
APP = (HERE / "app.html").read_bytes()
KEY = "sk-mine"
Json = dict[str, Any]


@pytest.fixture
def site() -> Iterator[Website]:
    """Somebody's website, under whatever name the browser reaches it."""
    with Website() as site:
        site.pages |= {"/attack": Page(ATTACK, "text/html"), "/app": Page(APP, "text/html")}
        site.pages |= {"/first": Page(b"ok"), "/more": Page(b"ok")}
        yield site


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    upstream.default = Answer("It.")
    return config_for(upstream, tmp_path)


def letting_in(config: Config, **settings: Any) -> Config:
    return replace(config, server=replace(config.server, **settings))


def stored(server: Running) -> str:
    """A response that is kept."""
    told = httpx2.post(f"{server.url}/v1/responses", json={"model": "m", "input": "Hi"})
    response_id: str = told.json()["id"]
    return response_id


def conversations(server: Running) -> list[str]:
    """How many were made, as the metrics have it."""
    made = 'antiphon_http_requests_total{method="POST",route="/v1/conversations",status="200"}'
    return [line for line in httpx2.get(f"{server.url}/metrics").text.splitlines() if line.startswith(made)]


def attacked(tab: Tab, server: Running, response_id: str) -> Json:
    url = server.url
    found: Json = tab.evaluate("([url, stored]) => attack(url, stored)", [url, response_id])
    return found


def test_the_attacks_are_some(tab: Tab, site: Website, config: Config, upstream: Upstream) -> None:
    with Running(letting_in(config, allowed_origins=["*", "null"])) as server:
        response_id = stored(server)
        tab.goto(f"http://evil.test:{site.port}/attack")
        found = attacked(tab, server, response_id)

    assert found["json"].startswith("200: ")
    assert found["get"].startswith("200: ")
    assert found["delete"].startswith("200: ")
    assert found["socket"] == "answered"
    assert len(upstream.requests) == 3


def test_a_page_of_another_origin_can_do_nothing(
    tab: Tab, site: Website, config: Config, upstream: Upstream
) -> None:
    with Running(config) as server:
        response_id, before = stored(server), conversations(server)
        tab.goto(f"http://evil.test:{site.port}/attack")
        found = attacked(tab, server, response_id)
        kept = httpx2.get(f"{server.url}/v1/responses/{response_id}")
        files = httpx2.get(f"{server.url}/v1/files").json()
        after = conversations(server)

    sent_unseen = {"plain text, unseen", "no type", "no referrer", "get, unseen", "new conversation", "file"}
    for name, came in found.items():
        unseen = {"beacon": True, "form": "sent", "nobody's page": "sent"}.get(name)
        wanted = "opaque" if name in sent_unseen else unseen
        assert came == wanted or str(came).startswith("failed: "), (name, came)
    assert len(upstream.requests) == 1, "what the server was asked without the page"
    assert kept.status_code == 200
    assert files["data"] == []
    assert after == before


def test_a_page_that_has_our_address_under_its_own_name_can_do_nothing(
    tab: Tab, config: Config, upstream: Upstream
) -> None:
    """DNS rebinding: to the browser the server is where the page comes from."""
    with Running(config) as server:
        response_id = stored(server)
        port = httpx2.URL(server.url).port
        home = f"http://evil.test:{port}"
        tab.route(f"{home}/attack", lambda route: serve(route, ATTACK))
        tab.goto(f"{home}/attack")
        found = tab.evaluate("([url, stored]) => attack(url, stored)", [home, response_id])
        kept = httpx2.get(f"{server.url}/v1/responses/{response_id}")

    for name in ("plain text, read", "json", "get", "delete"):
        assert found[name].startswith("403: ")
        assert "host_not_allowed" in found[name]
    assert found["socket"].startswith("failed: ")
    assert len(upstream.requests) == 1
    assert kept.status_code == 200


def test_the_same_page_gets_in_where_its_name_is_let_in(tab: Tab, config: Config, upstream: Upstream) -> None:
    with Running(letting_in(config, allowed_hosts=["evil.test"])) as server:
        response_id = stored(server)
        home = f"http://evil.test:{httpx2.URL(server.url).port}"
        tab.route(f"{home}/attack", lambda route: serve(route, ATTACK))
        tab.goto(f"{home}/attack")
        found = tab.evaluate("([url, stored]) => attack(url, stored)", [home, response_id])

    assert found["json"].startswith("200: ")
    assert found["delete"].startswith("200: ")
    assert found["socket"] == "answered"


def serve(route: Route, body: bytes) -> None:
    route.fulfill(body=body, content_type="text/html")


@pytest.mark.parametrize("keys", [{}, {"one": hash_key(KEY)}], ids=["without keys", "with keys"])
def test_a_page_that_the_owner_named_streams(
    tab: Tab, site: Website, config: Config, upstream: Upstream, keys: dict[str, str]
) -> None:
    gate = Gate(1)
    upstream.script(Answer("Hello!", size=2, gate=gate))
    origin = f"http://app.example.com:{site.port}"
    headers = {"authorization": f"Bearer {KEY}"} if keys else {}
    with Running(letting_in(config, allowed_origins=[origin], keys=keys)) as server:
        tab.goto(f"{origin}/app")
        # The page reports the first piece that it reads; only then is the model let go on.
        tab.on("request", lambda asked: gate.open() if asked.url.endswith("/first") else None)
        told = tab.evaluate("([url, headers]) => streamed(url, headers)", [server.url, headers])

        assert told["status"] == 200
        assert told["head"] == ["x-request-id", "openai-version", "openai-processing-ms"]
        assert "event: response.completed" in told["text"]
        assert '"text":"Hello!"' in told["text"]
        assert [path for path, _ in site.asked].count("/more") >= 1

        missing = tab.evaluate(
            "([url, headers]) => read(url, '/v1/responses/resp_1', {method: 'DELETE', headers})",
            [server.url, headers],
        )
        assert missing["status"] == 404
        assert missing["body"]["error"]["type"] == "invalid_request_error"


def test_a_page_that_the_owner_named_opens_a_socket(tab: Tab, site: Website, config: Config) -> None:
    origin = f"http://app.example.com:{site.port}"
    with Running(letting_in(config, allowed_origins=[origin])) as server:
        tab.goto(f"{origin}/app")
        types = tab.evaluate("url => overSocket(url)", server.url)

    assert types[0] == "response.created"
    assert types[-1] == "response.completed"


def test_with_keys_a_page_that_has_none_is_refused(tab: Tab, site: Website, config: Config) -> None:
    origin = f"http://app.example.com:{site.port}"
    server = Server(verify=True, allowed_origins=[origin], keys={"one": hash_key(KEY)})
    with Running(replace(config, server=server)) as running:
        tab.goto(f"{origin}/app")
        told = tab.evaluate("url => read(url, '/v1/models')", running.url)

    assert told["status"] == 401
    assert told["body"]["error"]["code"] == "invalid_api_key"
