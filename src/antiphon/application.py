"""All that one port answers: the API, and the dashboard beside it."""

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

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_page = path.startswith(PLACE) and (path in own or path.startswith(below))
        await (dashboard if is_page and scope["type"] == "http" else api)(scope, receive, send)

    return either
