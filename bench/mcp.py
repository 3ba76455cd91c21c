"""What Antiphon adds to a call of an MCP tool.

    python -m bench.mcp [RESPONSES]

A real MCP server, a scripted model and the server are started. Tools are called over warm connections, by the
MCP library itself and in whole responses: one that does nothing, and twenty at once that take 200 ms. In a
response a call takes from the end of its arguments to its outcome, as the client sees them in the stream: now
and then both at once, so the least is no measure there.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import uvicorn
from mcp import Client
from mcp.server import MCPServer
from openai import OpenAI
from rich.console import Console
from rich.table import Table
from tests.scripted import Answer, Called, Upstream

from bench import server

PAUSE = 0.2
AT_ONCE = 20
WARM_UP = 5


def tools() -> MCPServer:
    offered = MCPServer("bench")

    @offered.tool()
    def nothing() -> str:
        return "done"

    @offered.tool()
    async def pause() -> str:
        await asyncio.sleep(PAUSE)
        return "done"

    return offered


def serve(port: int) -> None:
    uvicorn.run(tools().streamable_http_app(), port=port, log_level="error")


@contextmanager
def everything() -> Iterator[tuple[str, OpenAI]]:
    """The MCP server's URL, and a client of ours."""
    os.environ["ANTIPHON_OUTBOUND_ALLOW_PRIVATE"] = "yes"
    port = server.free_port()
    with (
        server.running(port, "bench.mcp", "--serve", str(port)),
        Upstream() as upstream,
        server.antiphon(upstream.base_url) as antiphon,
        OpenAI(base_url=f"http://{server.HOST}:{antiphon.port}/v1", api_key="any") as client,
    ):
        upstream.lenient = True
        upstream.on(lambda body: body["messages"][-1]["role"] == "tool", Answer("done"))
        upstream.on(lambda body: body["model"] == "plain", Answer("done"))
        upstream.on(lambda body: body["model"] == "one", Answer(calls=[Called("b__nothing")]))
        upstream.on(lambda body: body["model"] == "many", Answer(calls=[Called("b__pause")] * AT_ONCE))
        yield f"http://{server.HOST}:{port}/mcp", client


# ---- the times, in milliseconds -----------------------------------------------------------------------


def timed(sample: Callable[[], float], times: int) -> list[float]:
    return [sample() for _ in range(WARM_UP + times)][WARM_UP:]


async def direct(url: str, tool: str, at_once: int, times: int) -> list[float]:
    """The library's own calls, over one connection."""
    seen = []
    async with Client(url) as client:
        await client.list_tools()
        for _ in range(WARM_UP + times):
            start = time.perf_counter()
            await asyncio.gather(*(client.call_tool(tool, {}) for _ in range(at_once)))
            seen.append((time.perf_counter() - start) * 1000)
    return seen[WARM_UP:]


def outputs(client: OpenAI, model: str, url: str) -> list[str]:
    """Those of the calls that a response made."""
    answer = client.responses.create(model=model, input="Hi", tools=[_tool(url)], store=False)
    return [str(item.output) for item in answer.output if item.type == "mcp_call"]


def response(client: OpenAI, model: str, url: str) -> float:
    start = time.perf_counter()
    outputs(client, model, url)
    return (time.perf_counter() - start) * 1000


def call(client: OpenAI, url: str) -> float:
    """The one call of a response."""
    told = {}
    for event in client.responses.create(
        model="one", input="Hi", tools=[_tool(url)], store=False, stream=True
    ):
        told[event.type] = time.perf_counter()
    return (told["response.mcp_call.completed"] - told["response.mcp_call_arguments.done"]) * 1000


def _tool(url: str) -> Any:
    return {"type": "mcp", "server_label": "b", "server_url": url, "require_approval": "never"}


def check(client: OpenAI, url: str) -> None:
    for model, calls in (("plain", 0), ("one", 1), ("many", AT_ONCE)):
        assert outputs(client, model, url) == ["done"] * calls, f"the model '{model}' was not served"


def main(times: int) -> None:
    few = max(5, times // 10)
    with everything() as (url, client):
        check(client, url)
        rows = {
            "a call, by the library": asyncio.run(direct(url, "nothing", 1, times)),
            "a call, in a response": timed(lambda: call(client, url), times),
            "a response without a call": timed(lambda: response(client, "plain", url), times),
            "a response with one call": timed(lambda: response(client, "one", url), times),
            f"{AT_ONCE} calls of 200 ms, by the library": asyncio.run(direct(url, "pause", AT_ONCE, few)),
            f"a response with {AT_ONCE} calls of 200 ms": timed(lambda: response(client, "many", url), few),
        }
    table = Table("milliseconds", "least", "median", "95 %")
    for name, seen in rows.items():
        table.add_row(
            name, *(f"{value:.1f}" for value in (min(seen), median(seen), quantiles(seen, n=20)[-1]))
        )
    Console(width=110).print(table)
    alone, within = list(rows.values())[:2]
    print(f"Added to a call: {median(within) - median(alone):.1f} ms, by the medians")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
