"""The edge of the server: what every answer has, whatever answers it.

Request ids, the headers of the real API, which pages may ask, who is asking, and the one place where
exceptions become OpenAI's error envelope. Plain ASGI around the router: a layer costs each request as much
as a route.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any

from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.responses import Response as HttpResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from antiphon.api import metrics
from antiphon.api.body import HEAD
from antiphon.api.callers import ANYBODY, CALLER, Caller
from antiphon.api.cors import Cors, Headers, is_preflight, permission
from antiphon.api.disconnect import Disconnected
from antiphon.api.elsewhere import hint
from antiphon.api.faults import STOPPING, unforeseen
from antiphon.api.held import BUDGET, forget, release
from antiphon.api.services import Services
from antiphon.api.store_errors import api_error
from antiphon.guard.budget import Budget
from antiphon.guard.pages import Gate, Head, Refused, foreign
from antiphon.keys.meter import Meter
from antiphon.protocol.errors import (
    ApiError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from antiphon.protocol.ids import new_request_id
from antiphon.protocol.wire import encode

_OPEN = frozenset({"/healthz", "/health", "/readyz"})
"""What needs no key: it says nothing of anybody."""

SOCKET = "/v1/responses"
"""Where a WebSocket can be opened."""

VERSION = (b"openai-version", b"2020-10-01")
"""What the real API calls its version (behaviours.md section 1.9)."""


class ApiMiddleware:
    """Wraps the routes. Who asks is found by the `callers` of the services."""

    def __init__(self, routes: ASGIApp, gate: Gate, cors: Cors, budget: Budget) -> None:
        self._routes = routes
        self._gate = gate
        self._cors = cors
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        head = scope[HEAD]
        answer = _Answer(send, self._cors.headers(head))
        scope["app"] = self  # makes the router raise what it cannot route
        try:
            if is_preflight(head, scope["method"]):
                await self._permit(head, answer)
            else:
                asking = self._let_in(scope, head) or await self._find(scope, head)
                answer.meter = asking.meter
                await self._routes(scope, receive, answer.send)
        except ApiError as fault:
            forget(fault)
            await answer.refuse(fault)
        except HTTPException as fault:
            await answer.refuse(_routing_fault(fault, scope))
        except Disconnected:
            pass
        except asyncio.CancelledError:
            # The server stops, and has waited long enough.
            await answer.refuse(Unavailable(STOPPING, retry_after=1))
        except Exception as error:  # noqa: BLE001 (logged there, unless the store refused)
            about = {"request_id": answer.request_id, "path": scope["path"]}
            said = api_error(error) or unforeseen(error, "request failed", **about)
            forget(error)
            await answer.refuse(said)
        finally:
            release(scope)
        metrics.count_request(scope, answer.status)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: one that may not come in is refused by an HTTP answer to its handshake."""
        try:
            head = scope[HEAD] = dict(scope["headers"])
            if self._let_in(scope, head) is None:
                await self._find(scope, head)
        except ApiError as fault:
            await _deny(scope, receive, send, fault)
            return
        if scope["path"] != SOCKET:
            await _deny(scope, receive, send, _unknown("WebSocket", scope["path"]))
            return
        try:
            await self._routes(scope, receive, send)
        finally:
            release(scope)

    async def _permit(self, head: Head, answer: "_Answer") -> None:
        """Answers a browser that asks what a page may send. Nothing is done yet, so no key is asked for."""
        if not self._cors.allows(head):
            raise _denied(foreign(head[b"origin"]))
        await answer.send({"type": "http.response.start", "status": 204, "headers": permission(head)})
        await answer.send({"type": "http.response.body", "body": b""})

    def _let_in(self, scope: Scope, head: Head) -> Caller | None:
        """Who asks; None: that has to be looked up. Raises PermissionDenied."""
        try:
            self._gate.check(head, scope.get("method", "GET"))
        except Refused as refusal:
            raise _denied(refusal) from None
        scope[BUDGET] = self._budget
        services: Services = scope["state"]["services"]
        asking = ANYBODY if scope["path"] in _OPEN else services.callers.known(head)
        scope[CALLER] = asking
        return asking

    async def _find(self, scope: Scope, head: Head) -> Caller:
        """Raises Unauthorized."""
        services: Services = scope["state"]["services"]
        asking = scope[CALLER] = await services.callers.find(head)
        return asking


async def _deny(scope: Scope, receive: Receive, send: Send, fault: ApiError) -> None:
    denial = HttpResponse(encode({"error": fault.body()}), fault.status, media_type="application/json")
    await WebSocket(scope, receive, send).send_denial_response(denial)


def _denied(refusal: Refused) -> PermissionDenied:
    return PermissionDenied(str(refusal), code=refusal.code)


class _Answer(Struct, eq=False):
    """Sends an answer, with the headers that each one has."""

    _send: Send
    _headers: Headers
    request_id: str = field(default_factory=new_request_id)
    status: int = 0
    meter: Meter | None = None
    _started: float = field(default_factory=time.perf_counter)

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            milliseconds = int((time.perf_counter() - self._started) * 1000)
            said: Headers = message.get("headers", ())
            message["headers"] = [
                *(said if self.meter is None else _with_limits(said, self.meter)),
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % milliseconds),
                VERSION,
                *self._headers,
            ]
        return self._send(message)

    async def refuse(self, fault: ApiError) -> None:
        """The error envelope; nothing when the answer has begun already."""
        if self.status:
            return
        headers = [(b"content-type", b"application/json"), *fault.headers]
        await self.send({"type": "http.response.start", "status": fault.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": encode({"error": fault.body()})})


def _with_limits(headers: Headers, meter: Meter) -> Headers:
    """What is left of a key, and not what an upstream says of its own."""
    return [*(each for each in headers if not each[0].startswith(b"x-ratelimit-")), *meter.headers()]


def _routing_fault(fault: HTTPException, scope: Mapping[str, Any]) -> ApiError:
    asked = f"{scope['method']} {scope['path']}"
    if fault.status_code == 404:
        return _unknown(scope["method"], scope["path"])
    if fault.status_code == 405:
        return MethodNotAllowed(f"Not allowed: {asked}.", _methods(scope))
    return InvalidRequest(str(fault.detail))


def _methods(scope: Mapping[str, Any]) -> set[str]:
    """What may be asked for at a place: each of its routes has methods of its own."""
    http = {**scope, "type": "http"}
    routes = [route for route in scope["router"].routes if route.matches(http)[0] is not Match.NONE]
    return {method for route in routes for method in route.methods}


def _unknown(method: str, path: str) -> NotFound:
    return NotFound(f"Unknown request URL: {method} {path}. {hint(path)}", code="unknown_url")
