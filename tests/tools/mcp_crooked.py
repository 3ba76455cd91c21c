"""An MCP server that misbehaves: plain HTTP, and whatever answers a test wants."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.api.asking import Json
from tests.served import Served

Behaviour = Callable[[Request, Json], Any]


class Crooked:
    """An MCP server of old that misbehaves: `lists` and `calls` make its answers."""

    def __init__(self) -> None:
        self.reset()
        app = Starlette(routes=[Route("/mcp", self._answer, methods=["GET", "POST", "DELETE"])])
        self.served = Served(app)

    def reset(self) -> None:
        self.lists: Behaviour = lambda request, body: result(body, {"tools": [tool("do")]})
        self.calls: Behaviour = lambda request, body: result(body, {"content": [text("done")]})
        self.starts: Behaviour | None = None
        self.welcomes: Callable[[], str | None] = lambda: None
        """Gives ids to sessions, if they have any."""
        self.asked: list[str] = []
        """The methods, in order."""

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405)
        body = await request.json()
        method = body.get("method", "")
        self.asked.append(method)
        if self.starts is not None:
            return await _given(self.starts(request, body))
        if method == "initialize":
            return self._welcome(body)
        if "id" not in body:
            return Response(status_code=202)
        if method == "tools/list":
            return await _given(self.lists(request, body))
        if method == "tools/call":
            return await _given(self.calls(request, body))
        return error(body, -32601, "Method not found")

    def _welcome(self, body: Json) -> Response:
        about = {"name": "crooked", "version": "1"}
        answer = result(
            body, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}
        )
        session = self.welcomes()
        if session is not None:
            answer.headers["mcp-session-id"] = session
        return answer


async def _given(answer: Any) -> Response:
    found: Response = await answer if asyncio.iscoroutine(answer) else answer
    return found


def result(body: Json, value: Any) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": value})


def error(body: Json, code: int, message: str, status: int = 200) -> Response:
    told = {"code": code, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "error": told}, status)


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def tool(name: str, **members: Any) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **members}


async def hang(request: Request, body: Json) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=500)


def cut(request: Request, body: Json) -> Response:
    async def pieces() -> Any:
        yield b'{"jsonrpc": "2.0", "id"'
        raise ConnectionAbortedError

    return StreamingResponse(pieces(), media_type="application/json", headers={"content-length": "1000"})


def status(code: int) -> Behaviour:
    return lambda request, body: Response("no", status_code=code)


def html(request: Request, body: Json) -> Response:
    return HTMLResponse("<h1>Hello</h1>")


def garbage(request: Request, body: Json) -> Response:
    return Response(b"\x00{{{", media_type="application/json")


def silent_stream(request: Request, body: Json) -> Response:
    async def nothing() -> Any:
        yield b": nothing\n\n"

    return StreamingResponse(nothing(), media_type="text/event-stream")


def compressed(request: Request, body: Json) -> Response:
    return Response(b"\x1f\x8b", media_type="application/json", headers={"content-encoding": "gzip"})


def away(request: Request, body: Json) -> Response:
    return RedirectResponse("http://169.254.169.254/latest", status_code=307)


def huge(request: Request, body: Json) -> Response:
    return result(body, {"content": [text("x" * 100_000)]})
