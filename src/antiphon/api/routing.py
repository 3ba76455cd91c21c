"""From a path to its endpoint: Starlette's router, with a table for the paths that have no parameters.

Starlette tries one route after another, and calls an endpoint through layers that turn exceptions into
answers. The edge does that itself (`middleware`), and most requests go to the same few paths.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Lifespan, Receive, Scope, Send


class Routes(Router):
    """Calls the endpoint of a request, which is left in its scope as `route`."""

    def __init__(self, routes: Sequence[BaseRoute], lifespan: Lifespan[Router] | None = None) -> None:
        super().__init__(routes, lifespan=lifespan, redirect_slashes=False)
        self._fixed = {
            (route.path, method): route
            for route in routes
            if isinstance(route, Route) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._fixed.get((scope["path"], scope["method"])) if scope["type"] == "http" else None
        if route is None:
            await super().__call__(scope, receive, send)
            return
        scope["route"] = route
        answer = await route.endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)
