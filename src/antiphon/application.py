"""All that one port answers: the API, and the dashboard beside it."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.api.app import create_app
from antiphon.config import Config


def create_application(config: Config) -> ASGIApp:
    """The API with the dashboard, where one is wanted. A worker has no pages."""
    api = create_app(config)
    if not config.dashboard.enabled or config.server.role == "worker":
        return api
    from antiphon.dashboard.app import PLACE, create_dashboard

    dashboard, below = create_dashboard(config), f"{PLACE}/"
    own = (PLACE, f"{PLACE}.json")

    def either(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(PLACE) and (path in own or path.startswith(below)):
                return dashboard(scope, receive, send)
        return api(scope, receive, send)

    return either
