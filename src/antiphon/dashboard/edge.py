"""The edge of the dashboard: who is let in, what every answer says, and errors as pages."""

from functools import cached_property
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.api.app import gate_of
from antiphon.api.body import HEAD
from antiphon.api.callers import ANYBODY, CALLER
from antiphon.api.disconnect import Disconnected
from antiphon.api.faults import unforeseen
from antiphon.api.held import BUDGET, forget, release
from antiphon.api.seal_setup import seal_of
from antiphon.api.store_errors import api_error
from antiphon.config import Config
from antiphon.context.seal import Seal
from antiphon.dashboard.access import Access
from antiphon.dashboard.page import page
from antiphon.guard.budget import Budget
from antiphon.guard.pages import Head, Refused, check_same
from antiphon.protocol.errors import (
    ApiError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
)

OPEN = "/dashboard/sign-in"
_STATIC = "/dashboard/static/"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Edge:
    """Around the routes of the dashboard."""

    def __init__(self, routes: ASGIApp, config: Config) -> None:
        self._routes = routes
        self._config = config
        self._gate = gate_of(config.server)
        self._budget = Budget(config.limits.held_bytes)

    @cached_property
    def _seal(self) -> Seal:
        return seal_of(self._config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        request = Request(scope, receive)
        try:
            if not await self._let_in(scope, request):
                there = quote(request.url.path, safe="/")
                await RedirectResponse(f"{OPEN}?next={there}", 303)(scope, receive, answer.send)
                return
            await self._routes(scope, receive, answer.send)
        except Disconnected:
            pass
        except Exception as error:  # noqa: BLE001 (logged there, unless it is the request's)
            fault = _fault(error, scope)
            forget(error)
            if not answer.begun:
                await (await _error_page(request, fault))(scope, receive, answer.send)
        finally:
            release(scope)

    async def _let_in(self, scope: Scope, request: Request) -> bool:
        """Whether there is somebody whom we know, or need not. Raises PermissionDenied."""
        head: Head = scope[HEAD]
        access = Access(scope["state"]["services"].callers, self._seal)
        scope.update({"app": self, BUDGET: self._budget, "access": access})
        try:
            self._gate.check(head, scope["method"])
            if scope["method"] != "GET":
                check_same(head)
        except Refused as refusal:
            raise PermissionDenied(str(refusal), code=refusal.code) from None
        visitor = await access.visitor(request)
        scope["visitor"] = visitor
        scope[CALLER] = visitor.caller if visitor else ANYBODY
        return visitor is not None or scope["path"] == OPEN or scope["path"].startswith(_STATIC)


class _Answer:
    """Sends an answer with the headers that each one has."""

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await self._send(message)


async def _error_page(request: Request, fault: ApiError) -> HttpResponse:
    data = {"error": fault.body(), "status": fault.status, "reason": HTTPStatus(fault.status).phrase}
    return await page(request, "error.html", data, fault.status)


def _fault(error: Exception, scope: Scope) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            return MethodNotAllowed("This page cannot be asked for in this way.", {"GET"})
        return NotFound("There is no such page.")
    if isinstance(error, RecursionError):
        return InvalidRequest("What this page would show is nested too deeply.")
    return api_error(error) or unforeseen(error, "page failed", path=scope["path"])
