"""The API for pages: what is at /v1 is at /dashboard/v1 too, for whoever is signed in.

So pages change things by the same requests as any other client, with the same checks. A session is a cookie,
which a browser sends of its own accord: whatever is no GET brings the visitor's token along.
"""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from antiphon.api.held import release
from antiphon.api.routing import Routes
from antiphon.dashboard.access import check_token

PATH = "/dashboard/v1/{rest:path}"
TOKEN = "x-csrf-token"
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""What answers of the API may do when a browser shows one: nothing."""


class Bridge:
    """Answers as the routes of the API do. Their faults are for the edge of the dashboard."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = Routes(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError."""
        request = Request(scope)
        if scope["method"] != "GET":
            check_token(request, request.headers.get(TOKEN, ""))
        before = {"path": scope["path"], "path_params": scope["path_params"]}

        async def sandboxed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = _SANDBOX
            await send(message)

        # The scope itself: who leaves, and a server that stops, are noted there.
        scope.update(path=f"/v1/{scope['path_params']['rest']}", path_params={})
        try:
            await self._routes(scope, receive, sandboxed)
        finally:
            scope.update(before)
            release(scope)
