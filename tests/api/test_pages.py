"""Which web pages may use the server: hosts, origins, and what browsers ask before they let a page send."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.api.asking import fault
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from antiphon.config import Server, hash_key

ASKED = {"model": "m", "input": "Hi"}
KEY = "sk-mine"
APP = "https://app.example.com"
EVIL = "https://evil.test"


@pytest.fixture
def naming(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server without keys whose owner has named a host and an origin."""
    server = Server(verify=True, allowed_hosts=["ai.example.com", "*.tail.example"], allowed_origins=[APP])
    with Running(config_for(upstream, tmp_path, server)) as running:
        yield running


@pytest.fixture
def keyed(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server with a key."""
    server = Server(verify=True, keys={"one": hash_key(KEY)}, allowed_origins=[APP])
    with Running(config_for(upstream, tmp_path, server)) as running:
        yield running


def socket_url(server: Running) -> str:
    return server.url.replace("http", "ws") + "/v1/responses"


def refused_socket(server: Running, **headers: str) -> tuple[int, str]:
    """Status and code of the answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught, connect(socket_url(server), additional_headers=headers):
        pass
    answer = caught.value.response
    return answer.status_code, json.loads(answer.body)["error"]["code"]


# ---- hosts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "app.localhost:8000",
        "127.0.0.1",
        "10.1.2.3:8000",
        "[::1]:8000",
        "antiphon",
        "antiphon:8000",
        "host.docker.internal:8000",
        "localhost.",
    ],
)
def test_a_server_without_keys_answers_under_names_that_no_page_can_have(
    http: httpx2.Client, host: str
) -> None:
    assert http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8000",
        "127.0.0.1.nip.io",
        "localhost.evil.test",
        "evil.test.",
        "1.2.3.4.5",
        "x" * 300,
        "a.b" + "\xff",
    ],
)
def test_any_other_name_is_refused_in_words_that_name_the_setting(
    http: httpx2.Client, upstream: Upstream, host: str
) -> None:
    for path in ("/v1/models", "/metrics", "/healthz", "/"):
        told = http.get(path, headers={"host": host.encode("latin-1")})
        assert fault(told) == (403, "invalid_request_error", "host_not_allowed", None)
        assert "allowed_hosts of [server]" in told.text
        assert len(told.text) < 600
    assert fault(http.post("/v1/responses", json=ASKED, headers={"host": host.encode("latin-1")}))[0] == 403
    assert upstream.requests == []


def test_a_socket_under_another_name_is_refused(server: Running) -> None:
    assert refused_socket(server, Host="evil.test") == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["ai.example.com", "AI.example.com:443", "box.tail.example", "localhost"])
def test_a_name_that_the_owner_gave_is_answered(naming: Running, host: str) -> None:
    assert httpx2.get(f"{naming.url}/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["example.com", "x.ai.example.com", "tail.example", "eviltail.example"])
def test_names_beside_those_that_the_owner_gave_are_refused(naming: Running, host: str) -> None:
    assert httpx2.get(f"{naming.url}/v1/models", headers={"host": host}).status_code == 403


def test_the_address_that_the_server_was_given_is_one_of_its_names(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_for(upstream, tmp_path, Server(host="ai.home.example"))
    with Running(config) as running:
        told = httpx2.get(f"{running.url}/v1/models", headers={"host": "ai.home.example:8000"})
        assert told.status_code == 200


def test_with_keys_the_name_does_not_matter_unless_some_are_given(keyed: Running) -> None:
    headers = {"host": "ai.example.com", "authorization": f"Bearer {KEY}"}

    assert httpx2.get(f"{keyed.url}/v1/models", headers=headers).status_code == 200


def test_with_keys_too_only_the_names_that_are_given_are_answered(upstream: Upstream, tmp_path: Path) -> None:
    server = Server(keys={"one": hash_key(KEY)}, allowed_hosts=["ai.example.com"])
    with Running(config_for(upstream, tmp_path, server)) as running:
        for host, status in (("ai.example.com", 200), ("other.example.com", 403), ("localhost", 200)):
            headers = {"host": host, "authorization": f"Bearer {KEY}"}
            assert httpx2.get(f"{running.url}/v1/models", headers=headers).status_code == status


# ---- origins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000", "http://127.0.0.1", "", "file://"])
def test_a_page_of_another_origin_is_refused(http: httpx2.Client, upstream: Upstream, origin: str) -> None:
    headers = {"origin": origin}
    for told in (
        http.post("/v1/responses", json=ASKED, headers=headers),
        http.get("/v1/responses/resp_1", headers=headers),
        http.delete("/v1/responses/resp_1", headers=headers),
        http.post("/v1/responses/resp_1/cancel", headers=headers),
        http.post("/v1/files", files={"file": b"x"}, data={"purpose": "user_data"}, headers=headers),
        http.get("/metrics", headers=headers),
    ):
        assert fault(told) == (403, "invalid_request_error", "origin_not_allowed", None)
        assert "allowed_origins of [server]" in told.text
        assert "access-control-allow-origin" not in told.headers
    assert upstream.requests == []


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000"])
def test_a_socket_of_another_origin_is_refused(
    server: Running, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    assert refused_socket(server, Origin=origin) == (403, "origin_not_allowed")
    assert httpx2.get(f"{server.url}/healthz").status_code == 200  # what was refused is over
    logger.removeHandler(caplog.handler)
    assert caplog.messages == [], "a refusal is no fault of the server"


def test_a_page_of_the_server_itself_is_let_in(server: Running, http: httpx2.Client) -> None:
    assert http.get("/v1/models", headers={"origin": server.url}).status_code == 200
    with connect(socket_url(server), additional_headers={"Origin": server.url}):
        pass


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("method", "mode", "dest"),
    [
        ("GET", "no-cors", "image"),
        ("GET", "no-cors", "script"),
        ("GET", "navigate", "iframe"),
        ("POST", "navigate", "document"),
    ],
)
def test_what_another_site_embeds_is_refused(
    http: httpx2.Client, site: str, method: str, mode: str, dest: str
) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}

    told = http.request(method, "/v1/models", headers=headers)

    assert fault(told) == (403, "invalid_request_error", "origin_not_allowed", None)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-mode": "cors"},  # what Node says of each request
    ],
    ids=["a link", "typed", "a page of ours", "no browser"],
)
def test_links_and_what_is_no_foreign_page_are_let_in(http: httpx2.Client, headers: dict[str, str]) -> None:
    assert http.get("/v1/models", headers=headers).status_code == 200


# ---- types of bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/plain;application/json",
        "multipart/form-data",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens", "/v1/conversations"])
def test_a_body_that_a_page_could_send_unasked_is_refused(
    http: httpx2.Client, upstream: Upstream, path: str, given: str
) -> None:
    headers = {"content-type": given} if given else {}

    told = http.post(path, content=json.dumps(ASKED), headers=headers)

    assert fault(told) == (400, "invalid_request_error", "unsupported_content_type", None)
    assert "curl takes -H 'Content-Type: application/json'" in told.text
    assert upstream.requests == []


@pytest.mark.parametrize(
    "given", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
def test_a_body_that_says_it_is_json_is_read(http: httpx2.Client, upstream: Upstream, given: str) -> None:
    upstream.script(Answer("Hello"))

    told = http.post("/v1/responses", content=json.dumps(ASKED), headers={"content-type": given})

    assert told.status_code == 200


def test_where_no_body_is_sent_no_type_is_asked_for(http: httpx2.Client) -> None:
    assert http.post("/v1/conversations").status_code == 200


# ---- pages that are let in ---------------------------------------------------------------------------


def preflight(server: Running, origin: str, asked: str = "authorization,content-type") -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    return httpx2.options(f"{server.url}/v1/responses", headers=headers)


def test_a_browser_learns_that_the_page_may_send(naming: Running, keyed: Running) -> None:
    for server in (naming, keyed):
        told = preflight(server, APP)

        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == APP
        assert told.headers["access-control-allow-methods"] == "GET, POST, DELETE"
        assert told.headers["access-control-allow-headers"] == "authorization,content-type"
        assert told.headers["vary"] == "Origin"


def test_names_of_headers_that_are_none_are_not_given_back(naming: Running) -> None:
    told = preflight(naming, APP, asked="x-a, <b>")

    assert told.headers["access-control-allow-headers"] == "authorization, content-type"


def test_a_browser_learns_that_another_page_may_not_send(
    server: Running, naming: Running, keyed: Running
) -> None:
    for each in (server, naming, keyed):
        told = preflight(each, EVIL)

        assert fault(told) == (403, "invalid_request_error", "origin_not_allowed", None)
        assert "access-control-allow-origin" not in told.headers


def test_a_page_that_is_let_in_reads_every_answer(naming: Running, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    with httpx2.Client(base_url=naming.url, headers={"origin": APP}) as http:
        for told, status in (
            (http.post("/v1/responses", json=ASKED), 200),
            (http.post("/v1/responses", json={}), 400),
            (http.get("/v1/nothing"), 404),
        ):
            assert told.status_code == status
            assert told.headers["access-control-allow-origin"] == APP
            assert told.headers["access-control-expose-headers"] == "*"
            assert told.headers["vary"] == "Origin"


def test_a_page_that_is_let_in_opens_a_socket(naming: Running) -> None:
    with connect(socket_url(naming), additional_headers={"Origin": APP}):
        pass


def test_a_cache_learns_that_answers_differ_by_origin(naming: Running, http: httpx2.Client) -> None:
    assert httpx2.get(f"{naming.url}/v1/models").headers["vary"] == "Origin"
    assert "vary" not in http.get("/v1/models").headers


def test_with_keys_a_foreign_page_that_has_one_is_answered_but_cannot_read(keyed: Running) -> None:
    headers: dict[str, Any] = {"origin": EVIL, "authorization": f"Bearer {KEY}"}

    told = httpx2.get(f"{keyed.url}/v1/models", headers=headers)

    assert told.status_code == 200
    assert "access-control-allow-origin" not in told.headers


def test_with_keys_a_page_that_is_let_in_still_needs_one(keyed: Running) -> None:
    told = httpx2.get(f"{keyed.url}/v1/models", headers={"origin": APP})

    assert told.status_code == 401
    assert told.headers["access-control-allow-origin"] == APP


def test_an_owner_can_let_every_page_in(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path)
    server = replace(config.server, allowed_origins=["*"], allowed_hosts=["*"])
    with Running(replace(config, server=server)) as running:
        told = httpx2.get(f"{running.url}/v1/models", headers={"origin": EVIL, "host": "any.test"})

        assert (told.status_code, told.headers["access-control-allow-origin"]) == (200, EVIL)


# ---- sockets elsewhere -------------------------------------------------------------------------------


def test_a_socket_where_there_is_none_is_refused_in_the_envelope(server: Running) -> None:
    elsewhere = server.url.replace("http", "ws") + "/v1/nothing"
    with pytest.raises(InvalidStatus) as caught, connect(elsewhere):
        pass

    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body)["error"]["code"] == "unknown_url"
