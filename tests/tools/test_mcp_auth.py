"""`mcp` servers that want to know who asks: credentials reach them, and nobody else."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token, get_http_headers
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, Refusal, refused
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.mcp_crooked import Crooked, result, text
from tests.tools.mcp_servers import Served
from tests.tools.using import ask, calls

from antiphon.config import Connector, Outbound, Server, hash_key

KEYS = {"first": hash_key("sk-first"), "second": hash_key("sk-second")}


class Guarded:
    """A server that lets in who has a token."""

    def __init__(self) -> None:
        people = {"token-of-anna": "anna", "token-of-ben": "ben", "token-of-operator": "operator"}
        self.tokens = {token: {"client_id": who, "scopes": []} for token, who in people.items()}
        server: FastMCP[Any] = FastMCP("guarded", auth=StaticTokenVerifier(self.tokens))

        @server.tool
        def whoami() -> str:
            token, headers = get_access_token(), get_http_headers(include_all=True)
            key = "with the key" if headers.get("x-key") == "opensesame" else "no key"
            return f"{token and token.client_id}, {key}"

        self.app = server.http_app(path="/mcp")


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


@pytest.fixture
def mcp(guarded: Guarded) -> Iterator[Served]:
    with Served(guarded.app, log_level="critical", timeout_graceful_shutdown=1) as running:
        yield running


@pytest.fixture
def running(
    upstream: Upstream, mcp: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    monkeypatch.setenv("WHERE_THE_TOKEN_IS", "token-of-operator")
    connector = Connector(url=f"{mcp.url}/mcp", authorization_env="WHERE_THE_TOKEN_IS")
    config = replace(
        config_for(upstream, tmp_path, Server(verify=True, keys=KEYS)),
        outbound=Outbound(allow_private=True),
        connectors={"connector_gmail": connector},
    )
    with Running(config) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[OpenAI]:
    with checked_client(running.url, "sk-first") as client:
        yield client


def at(server: Served, token: str | None = None, **members: Any) -> Json:
    base: Json = {"type": "mcp", "server_label": "s", "server_url": f"{server.url}/mcp"}
    return base | {"require_approval": "never"} | ({"authorization": token} if token else {}) | members


def who(client: OpenAI, upstream: Upstream, tool: Json) -> str:
    """Whom the server takes us for."""
    upstream.script(calls("s__whoami", "{}"), Answer("ok"))
    (call,) = [item for item in ask(client, tool)["output"] if item["type"] == "mcp_call"]
    return str(call["output"])


def test_a_token_and_headers_let_a_request_in(client: OpenAI, upstream: Upstream, mcp: Served) -> None:
    tool = at(mcp, "token-of-anna", headers={"X-Key": "opensesame"})

    assert who(client, upstream, tool) == "anna, with the key"


def test_a_token_may_be_a_header(client: OpenAI, upstream: Upstream, mcp: Served) -> None:
    tool = at(mcp, headers={"authorization": "Bearer token-of-ben"})

    assert who(client, upstream, tool) == "ben, no key"


@pytest.mark.parametrize("token", [None, "token-of-nobody"], ids=["no token", "wrong token"])
def test_without_the_right_token_the_request_is_refused(
    client: OpenAI, upstream: Upstream, mcp: Served, token: str | None
) -> None:
    with unlisted() as refusal:
        ask(client, at(mcp, token))

    reason = "Http status code: 401 (Unauthorized)"
    assert refusal.message == f"Error retrieving tool list from MCP server: 's'. {reason}"
    assert upstream.requests == []


def unlisted() -> contextlib.AbstractContextManager[Refusal]:
    return refused(424, "http_error", "tools", "external_connector_error")


def test_a_token_that_is_withdrawn_fails_the_next_call(
    client: OpenAI, upstream: Upstream, mcp: Served, guarded: Guarded
) -> None:
    assert who(client, upstream, at(mcp, "token-of-anna")) == "anna, no key"
    del guarded.tokens["token-of-anna"]
    upstream.script(calls("s__whoami", "{}"), Answer("Sorry"))

    _, call, message = ask(client, at(mcp, "token-of-anna"))["output"]

    assert (call["status"], call["error"]["type"], call["error"]["code"]) == ("failed", "http_error", 401)
    assert message["content"][0]["text"] == "Sorry"


def test_what_one_credential_was_shown_another_is_not(
    client: OpenAI, upstream: Upstream, mcp: Served
) -> None:
    upstream.script(Answer("Hi"), Answer("Hi"))

    before = ask(client, at(mcp, "token-of-anna"))["output"][0]
    with unlisted():
        ask(client, at(mcp, "token-of-nobody"))
    after = ask(client, at(mcp, "token-of-anna"))["output"][0]

    assert [len(listing["tools"]) for listing in (before, after)] == [1, 1]


# ---- connections ------------------------------------------------------------------------------------------


@pytest.fixture
def sessions() -> Iterator[Crooked]:
    """A server of which every session has an id, and `do` tells the session and the credential."""
    crooked = Crooked()
    number = count(1)
    crooked.welcomes = lambda: f"session-{next(number)}"
    crooked.calls = lambda request, body: result(
        body,
        {"content": [text(f"{request.headers['mcp-session-id']} {request.headers.get('authorization')}")]},
    )
    with crooked.served:
        yield crooked


def session_of(client: OpenAI, upstream: Upstream, tool: Json) -> tuple[str, str]:
    upstream.on(lambda body: body["messages"][-1]["role"] == "user", calls("s__do", "{}"))
    upstream.default = Answer("ok")
    (call,) = [item for item in ask(client, tool)["output"] if item["type"] == "mcp_call"]
    session, _, credential = call["output"].partition(" ")
    return session, credential


def test_two_credentials_never_share_a_connection(
    client: OpenAI, upstream: Upstream, sessions: Crooked
) -> None:
    def asked(token: str) -> tuple[str, str]:
        return session_of(client, upstream, at(sessions.served, token))

    with ThreadPoolExecutor(6) as threads:
        seen = list(threads.map(asked, ["anna", "ben", "carl"] * 4))

    assert {credential for _, credential in seen} == {"Bearer anna", "Bearer ben", "Bearer carl"}
    assert len(set(seen)) == len({session for session, _ in seen}) == 3


def test_two_projects_never_share_a_connection(
    running: Running, client: OpenAI, upstream: Upstream, sessions: Crooked
) -> None:
    with checked_client(running.url, "sk-second") as other:
        first, second, again = (
            session_of(each, upstream, at(sessions.served, "t"))[0] for each in (client, other, client)
        )

    assert first == again != second


# ---- secrets ----------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that a program logs that logs everything."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def test_secrets_are_nowhere_but_at_the_server(
    client: OpenAI, upstream: Upstream, mcp: Served, tmp_path: Path, log: io.StringIO
) -> None:
    secret = {"headers": {"X-Key": "opensesame"}, "server_url": f"{mcp.url}/mcp?key=secret-of-url"}
    server = at(mcp, "token-of-anna", **secret)
    connector = {"type": "mcp", "server_label": "c", "connector_id": "connector_gmail"}
    upstream.script(calls("s__whoami", "{}"), Answer("ok"), Answer("ok"))
    conversation = client.conversations.create().id

    first = ask(client, server, connector, conversation=conversation)
    second = ask(client, given="Again", conversation=conversation)

    assert (first["tools"][0]["authorization"], first["tools"][0]["headers"]) == (
        "<redacted>",
        {"X-Key": "<redacted>"},
    )
    assert first["output"][2]["output"] == "anna, with the key"
    sent = [json.dumps(request.body) for request in upstream.requests]
    kept = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert any("whoami" in data for data in kept), "nothing was kept"
    assert log.getvalue(), "nothing was logged"
    for hidden in ("token-of-anna", "opensesame", "token-of-operator", "secret-of-url"):
        for seen in (json.dumps(first), json.dumps(second), log.getvalue(), *sent, *kept):
            assert hidden not in seen


@pytest.mark.parametrize("param", ["headers", "server_url"])
def test_a_redacted_secret_is_not_taken_for_one(
    client: OpenAI, upstream: Upstream, mcp: Served, param: str
) -> None:
    """A client that sends back the tools of a response."""
    upstream.script(Answer("ok"))
    (tool,) = ask(client, at(mcp, "token-of-anna"))["tools"]
    if param == "headers":
        tool["server_url"] = f"{mcp.url}/mcp"
    else:
        del tool["authorization"], tool["headers"]

    with refused(400, None, f"tools[0].{param}"):
        ask(client, tool)


# ---- connectors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "known"), [(None, "operator"), ("token-of-ben", "ben")])
def test_a_connector_brings_the_operators_token_unless_the_request_has_one(
    client: OpenAI, upstream: Upstream, token: str | None, known: str
) -> None:
    tool = {"type": "mcp", "server_label": "s", "connector_id": "connector_gmail"}
    own = {"authorization": token} if token else {}

    assert who(client, upstream, tool | {"require_approval": "never"} | own) == f"{known}, no key"
