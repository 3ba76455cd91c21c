"""The server as an ASGI application."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from antiphon.api import (
    container_files,
    containers,
    conversations,
    files,
    images,
    metrics,
    models,
    moderations,
    neighbours,
    prompts,
    responses,
    skill_versions,
    skills,
    uploads,
    vector_store_files,
    vector_stores,
    webhook_endpoints,
)
from antiphon.api.cors import Cors
from antiphon.api.middleware import ApiMiddleware
from antiphon.api.opening import Opened, open_services
from antiphon.api.routing import Routes
from antiphon.api.services import Services, services
from antiphon.api.telemetry_setup import destination
from antiphon.api.tracing import Traced
from antiphon.config import Config, Server
from antiphon.guard.budget import Budget
from antiphon.guard.pages import Gate, KeyedGate, OpenGate, Origins
from antiphon.store.faults import Unreachable

log = structlog.get_logger()

_PAUSE = 2.0
"""Seconds before another worker tries to reach the store."""


def create_app(config: Config) -> ASGIApp:
    """The application. What it needs is opened when it starts and closed when it stops."""
    found = _routes_of_worker() if config.server.role == "worker" else api_routes()
    routes = Routes(found, partial(_lifespan, config))
    server, origins = config.server, Origins(config.server.allowed_origins)
    budget = Budget(config.limits.held_bytes)
    app = ApiMiddleware(routes, gate_of(server), Cors(origins), budget)
    return app if destination(config.telemetry) is None else Traced(app)


@asynccontextmanager
async def _lifespan(config: Config, _: Any) -> AsyncIterator[dict[str, Services]]:
    async with Opened() as opened:
        try:
            made = await open_services(config, opened)
        except Unreachable as error:
            if multiprocessing.parent_process() is not None:
                await _make_way(error)
            raise
        yield {"services": made}


async def _make_way(error: Unreachable) -> NoReturn:
    """Die, as one of several workers. Who does that is replaced; who says that he cannot start ends the whole
    server. That has reached the store, and the other workers go on without it until it is back."""
    log.warning("the store is away: this worker makes way for one that tries again", error=str(error))
    await asyncio.sleep(_PAUSE)
    os._exit(1)


def gate_of(server: Server) -> Gate:
    """The address that the operator gave is one of the server's names."""
    if server.needs_key:
        return KeyedGate(server.allowed_hosts)
    return OpenGate([*server.allowed_hosts, server.host], Origins(server.allowed_origins))


async def health(_: Request) -> PlainTextResponse:
    """GET /healthz, and /health: programs look for either."""
    return PlainTextResponse("ok\n")


async def ready(request: Request) -> JSONResponse:
    """GET /readyz: 503 when nothing should be sent here."""
    is_ready, words = await services(request).readiness.said()
    return JSONResponse(words, 200 if is_ready else 503)


def api_routes() -> list[BaseRoute]:
    """All that the API has."""
    return [
        *responses.routes,
        *conversations.routes,
        *models.routes,
        *neighbours.routes,
        *images.routes,
        *moderations.routes,
        *prompts.routes,
        *files.routes,
        *uploads.routes,
        *vector_stores.routes,
        *vector_store_files.routes,
        *containers.routes,
        *container_files.routes,
        *skills.routes,
        *skill_versions.routes,
        *webhook_endpoints.routes,
        *_routes_of_worker(),
    ]


def _routes_of_worker() -> list[BaseRoute]:
    return [
        Route("/healthz", health, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics.show, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
    ]
