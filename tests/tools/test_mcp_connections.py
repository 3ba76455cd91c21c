"""Connections to MCP servers: how they are kept, found dead, made again; and that no call is made twice."""

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Context, FastMCP
from fastmcp.server.middleware import Middleware
from mcp.server import MCPServer
from mcp.server.mcpserver import Context as OfficialContext
from mcp.types import ToolListChangedNotification
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.conftest import Running, checked_client, config_for
from tests.scripted import PATIENCE, Answer, Upstream
from tests.tools.mcp_crooked import Behaviour, Crooked, error, result, status, text
from tests.tools.mcp_servers import ServedMcp, Toolset, served
from tests.tools.using import ask, calls

from antiphon.config import McpServer, McpSettings, Outbound, Tools
from antiphon.mcp.base import Limits, Local, McpError, Remote
from antiphon.mcp.pool import Pool

LOCAL = Path(__file__).with_name("mcp_local.py")
HANGING = Path(__file__).with_name("mcp_hanging.py")


@contextlib.contextmanager
def answering(
    upstream: Upstream, data: Path, servers: dict[str, McpServer] | None = None, **limits: Any
) -> Iterator[OpenAI]:
    config = replace(
        config_for(upstream, data),
        outbound=Outbound(allow_private=True),
        tools=Tools(mcp=McpSettings(**limits)),
        mcp_servers=servers or {},
    )
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def local(place: Path) -> McpServer:
    place.mkdir(exist_ok=True)
    return McpServer(command=sys.executable, args=[str(LOCAL), str(place)], env={"WORD": "hello"})


def named(label: str) -> Json:
    return {"type": "mcp", "server_label": label, "require_approval": "never"}


def at(server: Any, **members: Any) -> Json:
    return named("s") | {"server_url": f"{server.url}/mcp"} | members


def one_call(client: OpenAI, upstream: Upstream, server: Json, name: str, arguments: str = "{}") -> Json:
    """The item of a call that the model makes in a response of its own."""
    upstream.script(calls(f"{server['server_label']}__{name}", arguments), Answer("ok"))
    answer = ask(client, server)
    assert answer["status"] == "completed"
    (call,) = [item for item in answer["output"] if item["type"] == "mcp_call"]
    return dict(call)


class Life:
    """Of a process, which need not be a child of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def wait_over(self, seconds: float = PATIENCE) -> None:
        over, _, _ = select.select([self._handle], [], [], seconds)
        assert over, "the process lives on"
        os.close(self._handle)


# ---- servers that we start ----------------------------------------------------------------------------


def test_a_server_that_died_while_idle_is_started_again(upstream: Upstream, tmp_path: Path) -> None:
    with answering(upstream, tmp_path, {"local": local(tmp_path / "local")}) as client:
        life = Life(int(one_call(client, upstream, named("local"), "pid")["output"]))
        os.kill(life.pid, signal.SIGKILL)
        life.wait_over()

        again = one_call(client, upstream, named("local"), "pid")

    assert (again["status"], again["error"]) == ("completed", None)
    assert int(again["output"]) != life.pid


def test_a_call_that_its_server_died_of_is_reported_and_not_made_again(
    upstream: Upstream, tmp_path: Path
) -> None:
    place = tmp_path / "local"
    with answering(upstream, tmp_path, {"local": local(place)}) as client:
        died = one_call(client, upstream, named("local"), "die")
        greeted = one_call(client, upstream, named("local"), "greet")

    assert (died["status"], died["error"]["type"]) == ("failed", "mcp_protocol_error")
    assert died["error"]["message"] == "The connection to the MCP server was closed."
    assert (place / "deaths").read_text() == "x"
    assert greeted["output"] == "hello"


def test_a_server_nobody_uses_is_stopped(upstream: Upstream, tmp_path: Path) -> None:
    with answering(upstream, tmp_path, {"local": local(tmp_path / "l")}, idle_seconds=0.2) as client:
        life = Life(int(one_call(client, upstream, named("local"), "pid")["output"]))
        life.wait_over()


def test_the_server_used_longest_ago_makes_room_for_another(upstream: Upstream, tmp_path: Path) -> None:
    servers = {name: local(tmp_path / name) for name in "abc"}
    with answering(upstream, tmp_path, servers, connections=2) as client:
        first, second = (Life(int(one_call(client, upstream, named(name), "pid")["output"])) for name in "ab")
        one_call(client, upstream, named("a"), "greet")

        one_call(client, upstream, named("c"), "greet")

        second.wait_over()
        assert int(one_call(client, upstream, named("a"), "pid")["output"]) == first.pid


def test_servers_are_stopped_with_ours(upstream: Upstream, tmp_path: Path) -> None:
    with answering(upstream, tmp_path, {"local": local(tmp_path / "local")}) as client:
        life = Life(int(one_call(client, upstream, named("local"), "pid")["output"]))
    life.wait_over()


async def test_a_connection_that_was_made_after_another_failed_is_closed_with_the_rest(
    tmp_path: Path,
) -> None:
    """Two requests wait for the same server, which does not start at first."""
    (tmp_path / "broken").touch()
    address = Local(command=sys.executable, args=[str(LOCAL), str(tmp_path)], env={"WORD": "hello"})
    pool = Pool(Limits(), lambda _: True)

    one, two = await asyncio.gather(
        *(pool.call("p", address, "pid", {}) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(one, McpError)
    assert not isinstance(two, BaseException)
    life = Life(int(two.content[0]["text"]))
    await pool.close()

    await asyncio.to_thread(life.wait_over)


# ---- servers that do not end ---------------------------------------------------------------------------


class Hanging:
    """A server that does not end by itself, and its child."""

    def __init__(self, place: Path, way: str) -> None:
        self._pipe = place
        os.mkfifo(place)
        self.address = Local(command=sys.executable, args=[str(HANGING), str(place), way])

    async def lives(self) -> list[Life]:
        """When they have started."""
        pids = await asyncio.to_thread(self._pipe.read_text)
        return [Life(int(pid)) for pid in pids.split()]


def kill(lives: Sequence[Life]) -> None:
    """What a failed test leaves behind."""
    for life in lives:
        with contextlib.suppress(ProcessLookupError):
            os.kill(life.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("way", "given_up"),
    [("mute", False), ("mute", True), ("deaf", False)],
    ids=["opening", "given up", "open"],
)
async def test_servers_that_do_not_end_are_ended_together(tmp_path: Path, way: str, given_up: bool) -> None:
    pool = Pool(Limits(), lambda _: True)
    servers = [Hanging(tmp_path / str(number), way) for number in range(4)]
    asked = [asyncio.create_task(pool.call("p", server.address, "greet", {})) for server in servers]
    lives = [life for server in servers for life in await server.lives()]
    if way == "deaf":
        await asyncio.wait(asked)
    if given_up:
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)

    try:
        begun = time.monotonic()
        await pool.close()
        assert time.monotonic() - begun < 8  # one of them takes 2.5
        for life in lives:
            life.wait_over()
    finally:
        kill(lives)
    await asyncio.gather(*asked, return_exceptions=True)


# ---- sessions that a server forgot ----------------------------------------------------------------------


@pytest.fixture
def crooked() -> Iterator[Crooked]:
    crooked = Crooked()
    with crooked.served:
        yield crooked


def unknown_session(_: Any, __: Json) -> Any:
    return error({"id": None}, -32000, "Bad Request: No valid session ID provided", 400)


@pytest.mark.parametrize("refusal", [status(404), unknown_session], ids=["404", "400"])
def test_a_session_that_the_server_forgot_is_begun_again(
    upstream: Upstream, tmp_path: Path, crooked: Crooked, refusal: Behaviour
) -> None:
    crooked.welcomes = lambda: "one"
    with answering(upstream, tmp_path) as client:
        one_call(client, upstream, at(crooked.served), "do")
        crooked.welcomes = lambda: "two"
        crooked.calls = lambda request, body: (
            result(body, {"content": [text("back")]})
            if request.headers["mcp-session-id"] == "two"
            else refusal(request, body)
        )

        assert one_call(client, upstream, at(crooked.served), "do")["output"] == "back"

    assert crooked.asked.count("initialize") == 2
    assert crooked.asked.count("tools/call") == 3


@pytest.mark.parametrize(
    ("session", "refusal"),
    [
        pytest.param(None, status(404), id="404 without a session"),
        pytest.param("one", status(400), id="400 without a reason"),
        pytest.param("one", lambda _, body: error(body, -32602, "no such thing", 400), id="400 of the call"),
        pytest.param("one", status(500), id="500"),
        pytest.param("one", status(503), id="503"),
        pytest.param(
            None, lambda _, body: error(body, -32601, "Method not found", 404), id="404 of the call"
        ),
    ],
)
def test_a_call_that_may_have_been_begun_is_not_made_again(
    upstream: Upstream, tmp_path: Path, crooked: Crooked, session: str | None, refusal: Behaviour
) -> None:
    crooked.welcomes = lambda: session
    crooked.calls = refusal
    with answering(upstream, tmp_path) as client:
        assert one_call(client, upstream, at(crooked.served), "do")["status"] == "failed"

    assert crooked.asked.count("tools/call") == 1


async def test_a_call_that_was_made_is_not_made_again_for_what_is_asked_after_it(crooked: Crooked) -> None:
    """A result with structured content makes the library list the tools, when the session has not yet."""
    crooked.welcomes = lambda: "one"
    crooked.lists = status(404)
    crooked.calls = lambda request, body: result(
        body, {"content": [text("x")], "structuredContent": {"n": 1}}
    )
    pool = Pool(Limits(), lambda _: True)

    with pytest.raises(McpError):
        await pool.call("p", Remote(url=f"{crooked.served.url}/mcp"), "do", {})
    await pool.close()

    assert crooked.asked.count("tools/list") == 1, "the library did not ask"
    assert crooked.asked.count("tools/call") == 1


# ---- servers of old, with their one stream of events ------------------------------------------------------


class Cuttable:
    """An ASGI application whose stream of events can be cut off."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._ended = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        self._loop, self._cut = asyncio.get_running_loop(), asyncio.Event()
        self._ended.clear()

        try:
            await self._app(scope, partial(self._received, receive), send)
        finally:
            self._ended.set()

    async def _received(self, receive: Any) -> Any:
        """What the client sends, or that it hung up, when we say so."""
        client = asyncio.ensure_future(receive())
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            await asyncio.wait({client, cut}, return_when=asyncio.FIRST_COMPLETED)
            return client.result() if client.done() else {"type": "http.disconnect"}
        finally:
            client.cancel()
            cut.cancel()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._cut.set)
        assert self._ended.wait(PATIENCE)


def old_server(things: Toolset) -> "FastMCP[Any]":
    server = things.server()

    @server.tool
    def much(size: int) -> str:
        return "x" * size

    @server.tool
    async def grow(context: Context) -> str:
        server.tool(grown)
        await context.send_notification(ToolListChangedNotification())
        return "grown"

    return server


def grown() -> str:
    return "new"


@pytest.fixture
def old() -> Iterator[tuple[Any, Cuttable]]:
    app = Cuttable(old_server(Toolset()).http_app(transport="sse", path="/mcp"))
    with ServedMcp(app) as running:
        yield running, app


def test_old_servers_are_reached_by_their_stream_of_events(
    upstream: Upstream, tmp_path: Path, old: tuple[Any, Cuttable]
) -> None:
    with answering(upstream, tmp_path) as client:
        assert one_call(client, upstream, at(old[0]), "add", '{"a":1,"b":2}')["output"] == "3"


async def test_a_stream_that_broke_off_while_idle_is_opened_again(old: tuple[Any, Cuttable]) -> None:
    pool, address = Pool(Limits(), lambda _: True), Remote(url=f"{old[0].url}/mcp")
    await pool.call("p", address, "add", {"a": 1, "b": 2})
    (slot,) = pool._slots.values()
    connection = slot.connection
    assert connection is not None

    await asyncio.to_thread(old[1].cut)
    assert connection._keeper is not None
    await asyncio.wait({connection._keeper}, timeout=PATIENCE)
    again = await pool.call("p", address, "add", {"a": 3, "b": 4})
    await pool.close()

    assert not connection.usable
    assert again.content == [{"type": "text", "text": "7"}]


def test_an_event_that_the_library_does_not_take_fails_its_call_in_words(
    upstream: Upstream, tmp_path: Path, old: tuple[Any, Cuttable]
) -> None:
    with answering(upstream, tmp_path) as client:
        failed = one_call(client, upstream, at(old[0]), "much", '{"size":1100000}')
        fine = one_call(client, upstream, at(old[0]), "much", '{"size":400000}')

    assert "exceeded the 1048576 byte limit" in failed["error"]["message"]
    assert len(fine["output"]) == 400_000


# ---- listings -------------------------------------------------------------------------------------------


def names(client: OpenAI, upstream: Upstream, server: Json) -> list[str]:
    """The tools, as a response of its own lists them."""
    upstream.script(Answer("ok"))
    (listing, _) = ask(client, server)["output"]
    return [tool["name"] for tool in listing["tools"]]


def test_a_listing_is_remembered_until_the_server_says_that_it_changed(
    upstream: Upstream, tmp_path: Path, old: tuple[Any, Cuttable]
) -> None:
    with answering(upstream, tmp_path, cache_seconds=600) as client:
        before = names(client, upstream, at(old[0]))
        assert one_call(client, upstream, at(old[0]), "grow")["output"] == "grown"

        assert set(names(client, upstream, at(old[0]))) - set(before) == {"grown"}


def test_newer_servers_are_asked_to_say_when_their_tools_change(upstream: Upstream, tmp_path: Path) -> None:
    server = MCPServer("new")

    @server.tool()
    async def grow(context: OfficialContext[Any]) -> str:
        server.add_tool(grown)
        await context.notify_tools_changed()
        return "grown"

    app = server.streamable_http_app()
    with ServedMcp(app) as running, answering(upstream, tmp_path, cache_seconds=600) as client:
        assert names(client, upstream, at(running)) == ["grow"]
        assert one_call(client, upstream, at(running), "grow")["output"] == "grown"

        # The news takes another way than the answer: it may come after it.
        asked = (names(client, upstream, at(running)) for _ in range(100))
        assert ["grow", "grown"] in asked


def test_a_listing_that_hangs_is_given_up(upstream: Upstream, tmp_path: Path) -> None:
    class Hanging(Middleware):
        async def on_list_tools(self, context: Any, call_next: Any) -> Any:
            await asyncio.Event().wait()

    server = Toolset().server()
    server.add_middleware(Hanging())
    with (
        served(server) as mcp,
        answering(upstream, tmp_path, list_seconds=0.5) as client,
        refused(424, "mcp_protocol_error", "tools", "external_connector_error") as refusal,
    ):
        ask(client, at(mcp))

    assert refusal.message.endswith("The MCP server did not answer within 0.5 seconds.")


# ---- calls that take long ---------------------------------------------------------------------------------


def busy_server() -> "FastMCP[Any]":
    server: FastMCP[Any] = FastMCP("busy")

    @server.tool
    async def work(context: Context, seconds: float) -> str:
        """Says that it is alive as long as it is."""
        now = asyncio.get_running_loop().time
        end = now() + seconds
        while now() < end:
            await context.report_progress(now(), end)
        return "done"

    return server


def test_progress_extends_what_a_call_may_take(upstream: Upstream, tmp_path: Path) -> None:
    limits = {"call_seconds": 2, "result_bytes": 2**30}
    with served(busy_server()) as mcp, answering(upstream, tmp_path, **limits) as client:
        assert one_call(client, upstream, at(mcp), "work", '{"seconds":5}')["output"] == "done"


def test_progress_does_not_extend_it_for_ever(upstream: Upstream, tmp_path: Path) -> None:
    limits = {"call_seconds": 2, "total_seconds": 4, "result_bytes": 2**30}
    with served(busy_server()) as mcp, answering(upstream, tmp_path, **limits) as client:
        failed = one_call(client, upstream, at(mcp), "work", '{"seconds":60}')

    assert failed["error"]["message"] == "The MCP server did not answer within 4 seconds."
