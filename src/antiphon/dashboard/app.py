"""The dashboard as an ASGI application: a table of contents."""

from starlette.routing import Route
from starlette.types import ASGIApp

from antiphon.api.app import api_routes
from antiphon.api.routing import Routes
from antiphon.config import Config
from antiphon.dashboard import (
    again,
    bridge,
    code,
    container,
    containers,
    conversation,
    conversations,
    files,
    keys,
    live,
    media,
    page,
    playground,
    projects,
    prompt,
    prompts,
    queue,
    response,
    responses,
    sign_in,
    timeline,
    turns,
    usage,
    vector_store,
    vector_stores,
    webhooks,
)
from antiphon.dashboard.edge import Edge


def create_dashboard(config: Config) -> ASGIApp:
    """What answers under `/dashboard`. It works with what the API has opened."""
    return Edge(Routes(_routes()), config)


def _routes() -> list[Route]:
    return [
        *responses.routes,
        *live.routes,
        *response.routes,
        *conversations.routes,
        *conversation.routes,
        *playground.routes,
        *files.routes,
        *vector_stores.routes,
        *vector_store.routes,
        *containers.routes,
        *container.routes,
        *queue.routes,
        *webhooks.routes,
        *prompts.routes,
        *prompt.routes,
        *keys.routes,
        *usage.routes,
        *timeline.routes,
        *turns.routes,
        *code.routes,
        *again.routes,
        *media.routes,
        *projects.routes,
        *sign_in.routes,
        Route(bridge.PATH, bridge.Bridge(api_routes())),
        Route("/dashboard/static/{name}", page.static, methods=["GET"]),
    ]
