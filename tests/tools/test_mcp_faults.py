"""`mcp` against servers that misbehave: the request is refused before the response begins, the model reads of
it afterwards; the response goes on, nothing hangs."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, Refusal, refused
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers, ids_of
from tests.scripted import PATIENCE, Answer, Called, Upstream
from tests.tools.mcp_crooked import (
    Behaviour,
    Crooked,
    away,
    compressed,
    cut,
    error,
    garbage,
    hang,
    html,
    huge,
    result,
    silent_stream,
    status,
    text,
    tool,
)
from tests.tools.mcp_servers import PIXEL, Served, Toolset, served
from tests.tools.using import ask, calls, emitted, offered, read, stream
from websockets.sync.client import connect

from antiphon.config import Config, Connector, McpServer, McpSettings, Outbound, Tools


@pytest.fixture(scope="module")
def crooked_server() -> Iterator[Crooked]:
    crooked = Crooked()
    with crooked.served:
        yield crooked


@pytest.fixture
def crooked(crooked_server: Crooked) -> Crooked:
    crooked_server.reset()
    return crooked_server


STDIO = """
import os, sys
from fastmcp import FastMCP
server = FastMCP("local")
@server.tool
def greet() -> str:
    return os.environ["WORD"]
server.run(show_banner=False)
"""


@pytest.fixture(scope="module")
def config(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Config:
    data = tmp_path_factory.mktemp("data")
    script = data / "server.py"
    script.write_text(STDIO)
    limits = McpSettings(
        call_seconds=8, list_seconds=30, result_bytes=50_000, result_values=3000, cache_seconds=0
    )
    return replace(
        config_for(_upstream, data),
        outbound=Outbound(allow_private=True),
        tools=Tools(mcp=limits),
        mcp_servers={
            "local": McpServer(command=sys.executable, args=[str(script)], env={"WORD": "hello"}),
            "absent": McpServer(command="/no/such/command"),
        },
    )


@pytest.fixture(scope="module")
def running(config: Config) -> Iterator[Running]:
    with Running(config) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def at(served: Served, **members: Any) -> Json:
    base = {"type": "mcp", "server_label": "s", "server_url": f"{served.url}/mcp"}
    return base | {"require_approval": "never"} | members


DO = calls("s__do", "{}")

CALLS = [
    pytest.param(hang, "did not answer within 8 seconds", id="hangs"),
    pytest.param(status(401), "HTTP 401 Unauthorized", id="401"),
    pytest.param(status(403), "HTTP 403 Forbidden", id="403"),
    pytest.param(status(404), "HTTP 404 Not Found", id="404"),
    pytest.param(status(500), "HTTP 500", id="500"),
    pytest.param(html, "Unexpected content type", id="html"),
    pytest.param(garbage, "Failed to parse JSON", id="garbage"),
    pytest.param(cut, "broke off its answer", id="cut off"),
    pytest.param(silent_stream, "ended without a response", id="stream without an answer"),
    pytest.param(compressed, "compressed its answer", id="compressed"),
    pytest.param(away, "not followed", id="redirect"),
    pytest.param(huge, "larger than 50000 bytes", id="huge"),
    pytest.param(
        lambda request, body: result(body, {"content": [{}] * 2000}),
        "holds more than 3000 JSON values",
        id="many parts",
    ),
    pytest.param(
        lambda request, body: result(body, {"content": "?"}), "does not fit the protocol", id="wrong shape"
    ),
    pytest.param(lambda request, body: error(body, -32000, "out of order"), "out of order", id="error"),
    pytest.param(lambda _, body: error(body, -32602, "no such", 400), "no such", id="error with a status"),
    pytest.param(status(202), "202", id="accepted only"),
]


@pytest.mark.parametrize(("behaviour", "words"), CALLS)
def test_a_call_that_goes_wrong_is_reported_and_the_response_goes_on(
    client: OpenAI, upstream: Upstream, crooked: Crooked, behaviour: Behaviour, words: str
) -> None:
    crooked.calls = behaviour
    upstream.script(DO, Answer("Sorry"))

    answer = ask(client, at(crooked.served))

    _, call, message = answer["output"]
    assert (answer["status"], call["status"], call["output"]) == ("completed", "failed", None)
    assert words in call["error"]["message"]
    assert words in read(upstream)[-1]["content"]
    assert message["content"][0]["text"] == "Sorry"


@pytest.mark.parametrize("code", [401, 403, 404, 500])
def test_an_http_status_is_reported_as_such(
    client: OpenAI, upstream: Upstream, crooked: Crooked, code: int
) -> None:
    crooked.calls = status(code)
    upstream.script(DO, Answer("Sorry"))

    failed = ask(client, at(crooked.served))["output"][1]["error"]

    assert (failed["type"], failed["code"]) == ("http_error", code)


LISTS = [
    pytest.param(status(401), "Http status code: 401 (Unauthorized)", id="401"),
    pytest.param(status(500), "Http status code: 500 (Internal Server Error)", id="500"),
    pytest.param(status(599), "Http status code: 599", id="599"),
    pytest.param(html, "Unexpected content type", id="html"),
    pytest.param(garbage, "Failed to parse JSON", id="garbage"),
    pytest.param(
        lambda request, body: result(body, {"tools": [{"name": 1}]}), "does not fit", id="wrong shape"
    ),
    pytest.param(
        lambda request, body: result(body, {"tools": [tool("x" * 60_000)]}), "larger than 50000", id="huge"
    ),
    pytest.param(lambda request, body: error(body, -32000, "out of order"), "out of order", id="error"),
]


def unlisted(http: bool = False) -> contextlib.AbstractContextManager[Refusal]:
    """The request in the block is refused, since a server's tools cannot be listed."""
    code = "http_error" if http else "mcp_protocol_error"
    return refused(424, code, "tools", "external_connector_error")


@covers("error.external_connector_error")
@pytest.mark.parametrize("at_once", [False, True], ids=["listing", "connecting"])
@pytest.mark.parametrize(("behaviour", "words"), LISTS)
def test_a_listing_that_goes_wrong_refuses_the_request(
    client: OpenAI, upstream: Upstream, crooked: Crooked, behaviour: Behaviour, words: str, at_once: bool
) -> None:
    crooked.lists = behaviour
    crooked.starts = behaviour if at_once else None

    with unlisted(http=words.startswith("Http")) as refusal:
        ask(client, at(crooked.served))

    assert refusal.message.startswith("Error retrieving tool list from MCP server: 's'. ")
    if not at_once:
        assert words in refusal.message
    assert upstream.requests == []


@pytest.mark.parametrize(
    "way", [{"stream": True}, {"background": True}, {"background": True, "stream": True}]
)
def test_a_stream_and_a_background_response_are_refused_as_well(
    client: OpenAI, crooked: Crooked, way: Json
) -> None:
    crooked.lists = status(401)

    with unlisted(http=True):
        client.responses.create(model="m", input="Hi", tools=[at(crooked.served)], **way)


def test_a_frame_is_refused_as_well(running: Running, crooked: Crooked) -> None:
    crooked.lists = status(401)
    url = running.url.replace("http://", "ws://") + "/v1/responses"

    with connect(url) as socket:
        frame = {"type": "response.create", "model": "m", "input": "Hi", "tools": [at(crooked.served)]}
        socket.send(json.dumps(frame))
        said = json.loads(socket.recv(timeout=PATIENCE))

    assert (said["status"], said["error"]["type"]) == (424, "external_connector_error")


BEGUN: Json = {
    "given": "word " * 3000,
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
}
"""What makes a response begin before servers are asked for their tools: its context is compacted first."""


@covers("event.response.mcp_list_tools.failed")
def test_a_listing_that_goes_wrong_later_is_an_item_and_the_response_goes_on(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    crooked.lists = status(401)
    upstream.script(Answer("Words."), Answer("Sorry"))

    events = stream(client, at(crooked.served), **BEGUN)

    names = emitted(events)[emitted(events).index("mcp_list_tools.in_progress") :]
    assert names[:3] == ["mcp_list_tools.in_progress", "mcp_list_tools.failed", "output_item.done"]
    _, listing, message = events[-1]["response"]["output"]
    assert listing["error"] == "The MCP server answered with HTTP 401 Unauthorized."
    assert listing["error"] in read(upstream)[-1]["content"]
    assert message["content"][0]["text"] == "Sorry"


def test_where_a_redirect_leads_is_not_shown(client: OpenAI, upstream: Upstream, crooked: Crooked) -> None:
    """Servers redirect to themselves, and a path may be a secret."""
    crooked.calls = away
    upstream.script(DO, Answer("Sorry"))

    assert "latest" not in json.dumps(ask(client, at(crooked.served))["output"])


def test_a_server_that_nobody_runs_is_reported(client: OpenAI, upstream: Upstream) -> None:
    nowhere = {"type": "mcp", "server_label": "s", "server_url": "http://127.0.0.1:9/mcp"}

    with unlisted() as refusal:
        ask(client, nowhere)

    assert refusal.message.endswith("The MCP server could not be reached.")


def test_a_choice_of_a_server_that_fails_is_left_to_the_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Words."), Answer("Sorry"))
    nowhere = {"type": "mcp", "server_label": "s", "server_url": "http://127.0.0.1:9/mcp"}

    choice = {"type": "mcp", "server_label": "s", "name": "do"}
    answer = ask(client, nowhere, tool_choice=choice, **BEGUN)

    assert answer["status"] == "completed"


def test_one_server_that_fails_leaves_the_others(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    upstream.script(Answer("Words."), DO, Answer("ok"))
    nowhere = {"type": "mcp", "server_label": "n", "server_url": "http://127.0.0.1:9/mcp"}

    _, *output = ask(client, nowhere, at(crooked.served), **BEGUN)["output"]

    assert [item["type"] for item in output] == ["mcp_list_tools"] * 2 + ["mcp_call", "message"]
    assert output[2]["output"] == "done"


def test_tools_of_one_name_are_offered_once(client: OpenAI, upstream: Upstream, crooked: Crooked) -> None:
    crooked.lists = lambda request, body: result(
        body, {"tools": [tool("do", description="first"), tool("do", description="second")]}
    )
    upstream.script(Answer("Hi"))

    ask(client, at(crooked.served))

    assert offered(upstream)["s__do"]["description"] == "first"


def test_a_schema_that_is_none_does_not_spoil_the_turn(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    lie = {"type": "object", "properties": {"a": {"type": "banana"}}}
    crooked.lists = lambda request, body: result(body, {"tools": [tool("do") | {"inputSchema": lie}]})
    upstream.script(DO, Answer("ok"))

    answer = ask(client, at(crooked.served))

    assert offered(upstream)["s__do"]["parameters"] == {"type": "object", "properties": {}}
    assert answer["output"][1]["output"] == "done"


def test_names_that_upstreams_do_not_take_are_replaced(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    crooked.lists = lambda request, body: result(body, {"tools": [tool("a.b/c"), tool("n" * 128)]})
    upstream.script(Answer("Hi"))

    ask(client, at(crooked.served, server_label="my server"))

    assert all(len(name) <= 64 and name.startswith("my_server__") for name in offered(upstream))
    assert len(offered(upstream)) == 2


def test_a_result_that_breaks_its_own_schema_fails(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    promised = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    crooked.lists = lambda request, body: result(body, {"tools": [tool("do", outputSchema=promised)]})
    crooked.calls = lambda request, body: result(
        body, {"content": [text("x")], "structuredContent": {"n": "many"}}
    )
    upstream.script(DO, Answer("Sorry"))

    assert "Invalid structured content" in ask(client, at(crooked.served))["output"][1]["error"]["message"]


def test_private_addresses_are_not_reached(upstream: Upstream, crooked: Crooked, tmp_path: Path) -> None:
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        for url in (f"{crooked.served.url}/mcp", crooked.served.url.replace("127.0.0.1", "localhost")):
            with unlisted() as refusal:
                ask(client, at(crooked.served, server_url=url))
            assert "an address that is not public" in refusal.message
            assert "[outbound] allow_private = true" in refusal.message


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "127.1", "0", "127.0.0.1.", "１２７.0.0.1", "[::ffff:7f00:1]"],
)
def test_a_private_address_is_called_so_however_it_is_written(
    upstream: Upstream, crooked: Crooked, tmp_path: Path, host: str
) -> None:
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        with unlisted() as refusal:
            ask(client, at(crooked.served, server_url=f"http://{host}/mcp"))
        assert "an address that is not public" in refusal.message


@covers(*ids_of("tool.mcp.connector_id"))
def test_an_address_that_the_operator_named_is_trusted(
    upstream: Upstream, crooked: Crooked, tmp_path: Path
) -> None:
    names = [row.rpartition(".")[2] for row in ids_of("tool.mcp.connector_id")]
    connectors = {name: Connector(url=f"{crooked.served.url}/mcp") for name in names}
    config = replace(config_for(upstream, tmp_path), connectors=connectors)
    with Running(config) as running, checked_client(running.url) as client:
        for name in names:
            upstream.script(Answer("ok"))
            named = {"type": "mcp", "server_label": "s", "connector_id": name}
            listing = ask(client, named)["output"][0]
            assert listing["type"] == "mcp_list_tools"
            assert "error" not in listing
            assert listing["tools"]
    assert len(names) == 8


# ---- servers that come and go -------------------------------------------------------------------------


def test_the_installations_own_servers_are_named_by_their_label(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("local__greet", "{}"), Answer("ok"))

    answer = ask(client, {"type": "mcp", "server_label": "local", "require_approval": "never"})

    assert answer["output"][1]["output"] == "hello"


def test_a_server_that_cannot_be_started_is_reported(client: OpenAI) -> None:
    with unlisted() as refusal:
        ask(client, {"type": "mcp", "server_label": "absent"})

    assert "could not be started" in refusal.message


def test_twenty_calls_are_made_at_once(client: OpenAI, upstream: Upstream) -> None:
    things = Toolset()
    with served(things.server()) as mcp:
        upstream.script(Answer(calls=[Called("s__meet")] * 20), Answer("ok"))
        answer = ask(client, at(mcp))
    assert [item["output"] for item in answer["output"][1:-1]] == ["met"] * 20


def test_a_client_that_goes_away_stops_the_call(config: Config, upstream: Upstream, tmp_path: Path) -> None:
    things = Toolset()
    patient = replace(config, data_dir=str(tmp_path), tools=Tools())
    with (
        served(things.server()) as mcp,
        Running(patient) as running,
        checked_client(running.url) as client,
    ):
        upstream.script(calls("s__wait", "{}"))
        events = client.responses.create(model="m", input="Hi", tools=[at(mcp)], stream=True)  # type: ignore[list-item]
        for event in events:
            if event.type == "response.mcp_call_arguments.done":
                break
        assert things.begun.wait(PATIENCE)
        events.close()
        assert things.ended.wait(PATIENCE), "the call went on"


_WHILE_LOADING = """
import asyncio, sys
from antiphon.mcp.base import McpError, Limits, Remote
from antiphon.mcp.pool import Pool

async def main():
    pool = Pool(Limits(), lambda address: True)
    nobody = Remote(url="http://127.0.0.1:9/mcp")
    first = asyncio.create_task(pool.list("a", nobody))
    while "antiphon.mcp.connection" not in sys.modules:
        await asyncio.sleep(0)
    found = await asyncio.gather(first, pool.list("b", nobody), return_exceptions=True)
    await pool.close()
    assert all(isinstance(each, McpError) for each in found), found

asyncio.run(main())
"""


def test_who_comes_while_the_library_is_being_loaded_waits_for_it() -> None:
    """In a process of its own: in ours it is loaded already."""
    subprocess.run([sys.executable, "-c", _WHILE_LOADING], check=True, timeout=60)


SCHEMAS: dict[str, Any] = {
    "empty": {},
    "of no type": {"properties": {"a": {"type": "string"}}},
    "null": None,
    "true": True,
    "text": "object",
    "a list": [],
    "of a text": {"type": "string"},
    "of types": {"type": ["object", "null"]},
    "no schema": {"type": "object", "properties": {"a": {"type": "objekt"}}},
    "with a reference that leads nowhere": {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}},
    "with properties that are none": {"type": "object", "properties": []},
}


@pytest.mark.parametrize("form", [*SCHEMAS, "left out"])
def test_a_tool_with_an_odd_schema_does_not_take_the_others_with_it(
    form: str, client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    odd = {"name": "odd"} | ({"inputSchema": SCHEMAS[form]} if form in SCHEMAS else {})
    others = [tool(f"tool{number}") for number in range(9)]
    crooked.lists = lambda request, body: result(body, {"tools": [*others[:4], odd, *others[4:]]})
    upstream.script(DO, calls("s__odd", "{}"), Answer("Done."))

    answer = ask(client, at(crooked.served))

    assert answer["output"][0].get("error") is None
    assert {f"s__tool{number}" for number in range(9)} < set(offered(upstream))
    assert offered(upstream)["s__odd"]["parameters"]["type"] == "object"


SAME: dict[str, tuple[list[Json], Any]] = {
    "the object itself": ([text('{ "n": 1 }')], {"n": 1}),
    "a value that is wrapped": ([text("3")], {"result": 3}),
    "a text that is wrapped": ([text("gone")], {"result": "gone"}),
    "a text that reads as a number": ([text("3")], {"result": "3"}),
    "values that are wrapped": ([text("1"), text("2")], {"result": [1, 2]}),
    "among other blocks": ([text("Here:"), text('{"n":1}')], {"n": 1}),
}


@pytest.mark.parametrize("case", SAME)
def test_structured_content_that_the_content_says_already_is_read_once(
    case: str, client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    content, structured = SAME[case]
    crooked.calls = lambda request, body: result(body, {"content": content, "structuredContent": structured})
    upstream.script(DO, Answer("Done."))

    output = ask(client, at(crooked.served))["output"][1]["output"]

    assert output == "\n".join(block["text"] for block in content)


@pytest.mark.parametrize("failed", [False, True])
def test_structured_content_is_read_beside_the_content(
    failed: bool, client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    value = {"content": [text("Found 2.")], "structuredContent": {"ids": [7, 8]}, "isError": failed}
    crooked.calls = lambda request, body: result(body, value)
    upstream.script(DO, Answer("Done."))

    ask(client, at(crooked.served))

    assert read(upstream)[-1]["content"].endswith('Found 2.\n{"ids":[7,8]}')


def test_structured_content_is_read_beside_an_image(
    client: OpenAI, upstream: Upstream, crooked: Crooked
) -> None:
    image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
    crooked.calls = lambda request, body: result(
        body, {"content": [image], "structuredContent": {"width": 1}}
    )
    upstream.script(DO, Answer("Done."))

    ask(client, at(crooked.served))

    assert '{"width":1}' in str(read(upstream)[-2:])
