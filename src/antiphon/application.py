"""All that one port answers: the API, and the dashboard beside it."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.api.app import create_app
from antiphon.config import Config
from antiphon.guard.lazily import imported

_PLACE = "/dashboard"


def create_application(config: Config) -> ASGIApp:
    """The API with the dashboard, where one is wanted. A worker has no pages."""
    api = create_app(config)
    if not config.dashboard.enabled or config.server.role == "worker":
        return api
    dashboard, below = _Dashboard(config), f"{_PLACE}/"
    own = (_PLACE, f"{_PLACE}.json")

    def either(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(_PLACE) and (path in own or path.startswith(below)):
                return dashboard(scope, receive, send)
        return api(scope, receive, send)

    return either


class _Dashboard:
    """Made when somebody looks first: its pages, and what shows them, take six megabytes."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            module = await imported("antiphon.dashboard.app")
            self._app = self._app or module.create_dashboard(self._config)
        await self._app(scope, receive, send)
