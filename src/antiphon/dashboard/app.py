"""The dashboard as an ASGI application: a table of contents."""

from starlette.routing import Route
from starlette.types import ASGIApp

from antiphon.api.routing import Routes
from antiphon.config import Config
from antiphon.dashboard import again, code, live, media, page, response, responses, sign_in, timeline, turns
from antiphon.dashboard.edge import Edge

PLACE = "/dashboard"


def create_dashboard(config: Config) -> ASGIApp:
    """What answers under PLACE. It works with what the API has opened."""
    return Edge(Routes(_routes()), config)


def _routes() -> list[Route]:
    return [
        *responses.routes,
        *live.routes,
        *response.routes,
        *timeline.routes,
        *turns.routes,
        *code.routes,
        *again.routes,
        *media.routes,
        *sign_in.routes,
        Route("/dashboard/static/{name}", page.static, methods=["GET"]),
    ]
