"""The server as an ASGI application."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, Router
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
)
from antiphon.api.cors import Cors
from antiphon.api.image_setup import image_server_of
from antiphon.api.middleware import ApiMiddleware
from antiphon.api.moderation_setup import moderator_of
from antiphon.api.sandbox_setup import container_rules, sandbox_options
from antiphon.api.search_setup import can_embed, embedder_of, reranking_of
from antiphon.api.services import Services
from antiphon.api.web import web_of
from antiphon.backends.embedded import SMOLLM2, described
from antiphon.backends.llama import embedded
from antiphon.backends.router import MAKERS, BackendConfig, Maker, build
from antiphon.config import Config, Connector, Limits, Outbound, Server
from antiphon.config import Retention as Kept
from antiphon.containers.room import Room
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.engine.background.background import Background, Capacity
from antiphon.engine.engine import Engine
from antiphon.engine.jobs import Jobs
from antiphon.engine.rewriting import QueryRewriter
from antiphon.guard.addresses import Reachable, anywhere, is_public
from antiphon.guard.budget import Budget
from antiphon.guard.pages import Gate, KeyedGate, OpenGate, Origins
from antiphon.mcp.base import Address, Configured, Local
from antiphon.mcp.base import Limits as McpLimits
from antiphon.mcp.pool import Pool
from antiphon.model import Backend
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.finder import Finder
from antiphon.sandbox.open import driver_of, made_early
from antiphon.searching.finder import StoreFinder
from antiphon.searching.indexer import Indexer
from antiphon.store.blobs import Blobs
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.file_storage import FileStorage
from antiphon.store.open import open_store
from antiphon.store.periodic import periodic
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.store import Store
from antiphon.tools.context import Images, SearchLimits, ToolResources, Web
from antiphon.web.fetch import Fetcher
from antiphon.webhooks.endpoints import Endpoint, key_of
from antiphon.webhooks.sender import Webhooks
from antiphon.weights import gguf


def create_app(config: Config) -> ASGIApp:
    """The application. What it needs is opened when it starts and closed when it stops."""
    router = Router(_routes(), lifespan=partial(_lifespan, config), redirect_slashes=False)
    server, origins = config.server, Origins(config.server.allowed_origins)
    budget = Budget(config.limits.held_bytes)
    return ApiMiddleware(router, server.projects(), _gate(server, origins), Cors(origins), budget)


@asynccontextmanager
async def _lifespan(config: Config, _: Any) -> AsyncIterator[dict[str, Services]]:
    store = await open_store(config.store_url)
    await store.usage.bound(config.limits.stored_bytes)
    backends = build(backend_configs(config), _MAKERS)
    seal = Seal.at(Path(config.data_dir) / "sealing.key")
    blobs = Blobs(Path(config.data_dir) / "files")
    file_storage = FileStorage(store.files, blobs)
    driver = driver_of(sandbox_options(config))
    room = Room(ContainerStorage(store, blobs), driver, container_rules(config))
    fetcher = _fetcher(config.outbound)
    documents = Documents()
    attachments = Attachments(file_storage, fetcher, documents)
    embedder = embedder_of(config.embeddings)
    jobs = Jobs(store.work, Indexer(store, file_storage, documents, embedder).handlers)
    reranking = reranking_of(config.reranker)
    finder = StoreFinder(store, embedder, config.tools.file_search.cache_bytes, reranking)
    pool = Pool(McpLimits(**msgspec.structs.asdict(config.tools.mcp)), _reachable(config.outbound))
    web = web_of(config.tools.web_search, config.outbound, documents, pool, _mcp_addresses(config))
    image_server = image_server_of(config, fetcher)
    resources = _resources(config, finder, room, pool, web)
    if image_server is not None:
        made_images = Images(server=image_server, load=attachments.image)
        resources = replace(resources, images=made_images)
    moderator = moderator_of(config.moderation, backends, resources.children)
    retention = _retention(store, config.retention)
    webhooks = Webhooks(list(_endpoints(config)), store.webhooks)
    engine = Engine(
        backends,
        store,
        seal,
        attachments,
        config.server.verify,
        config.limits.response_seconds,
        resources,
        moderator,
    )
    settings = config.tools.file_search
    rewriter = QueryRewriter(backends, settings.rewrite_model, settings.rewrite_seconds)
    background = Background(engine, webhooks, _capacity(config.limits), ended=metrics.count_response)
    try:
        async with (
            room.running(Path(config.data_dir) / "sockets"),
            backends.probing(),
            periodic(file_storage.sweep, store.vector_stores.sweep, room.storage.sweep, retention.sweep),
            webhooks.running(),
            background.running(),
            jobs.running(),
            made_early(driver) if config.sandbox.setup == "start" else nullcontext(),
        ):
            made = Services(
                config,
                engine,
                background,
                store,
                file_storage,
                jobs,
                embedder,
                finder,
                rewriter,
                room,
                image_server,
                attachments,
                moderator,
            )
            yield {"services": made}
    finally:
        await resources.children.close()
        if resources.mcp is not None:
            await resources.mcp.close()
        if resources.web is not None:
            await resources.web.close()
        if image_server is not None:
            await image_server.close()
        await fetcher.close()
        await embedder.close()
        if reranking is not None:
            await reranking.reranker.close()
        if moderator is not None:
            await moderator.close()
        await backends.close()
        await store.close()


def _gate(server: Server, origins: Origins) -> Gate:
    """The address that the operator gave is one of the server's names."""
    if server.keys:
        return KeyedGate(server.allowed_hosts)
    return OpenGate([*server.allowed_hosts, server.host], origins)


def _reachable(settings: Outbound) -> Reachable:
    return anywhere if settings.allow_private else is_public


def _fetcher(settings: Outbound) -> Fetcher:
    return Fetcher(_reachable(settings), settings.max_bytes, settings.seconds)


def _retention(store: Store, kept: Kept) -> Retention:
    return Retention(
        retention_rules(
            store, kept.responses_days, kept.events_hours, kept.deliveries_days, kept.activity_days
        )
    )


def _capacity(limits: Limits) -> Capacity:
    return Capacity(
        runs=limits.background_runs, queue=limits.background_queue, seconds=limits.background_seconds
    )


def _resources(config: Config, finder: Finder, room: Room, pool: Pool, web: Web | None) -> ToolResources:
    return ToolResources(
        mcp=pool,
        connectors=_connectors(config),
        mcp_servers=_mcp_servers(config),
        web=web,
        finder=finder if can_embed(config.embeddings) else None,
        containers=room,
        file_search=SearchLimits(
            stores=config.tools.file_search.stores, seconds=config.tools.file_search.seconds
        ),
    )


def _connectors(config: Config) -> dict[str, Configured]:
    return {
        name: Configured(url=connector.url, headers=_connector_headers(connector))
        for name, connector in config.connectors.items()
    }


def _mcp_servers(config: Config) -> dict[str, Local]:
    return {
        name: Local(command=server.command, args=server.args, env=server.env)
        for name, server in config.mcp_servers.items()
    }


def _mcp_addresses(config: Config) -> dict[str, Address]:
    """The servers that the operator named, by their names."""
    return {**_connectors(config), **_mcp_servers(config)}


def _connector_headers(connector: Connector) -> dict[str, str]:
    token = os.environ.get(connector.authorization_env) if connector.authorization_env else None
    return connector.headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _embedded(config: BackendConfig) -> Backend:
    if config.unix_socket is None:
        raise ValueError(f"backends.{config.name}: `antiphon serve` runs the embedded model, nobody else")
    model = described(gguf.read(Path(config.model))) if config.model else SMOLLM2
    return embedded(
        Path(config.unix_socket),
        model.within(config.context_window) if config.context_window else model,
        timeout=config.timeout,
        max_output_tokens=config.max_output_tokens,
    )


_MAKERS: dict[str, Maker] = {**MAKERS, "llama": _embedded}


def backend_configs(config: Config) -> Iterator[BackendConfig]:
    """The configured backends, with their keys read from the environment."""
    for name, settings in config.backends.items():
        yield BackendConfig(
            name=name,
            type=settings.type,
            base_url=settings.base_url,
            model=settings.model,
            unix_socket=settings.unix_socket,
            api_key=os.environ.get(settings.api_key_env) if settings.api_key_env else None,
            models=settings.models,
            default=settings.default,
            dialect=settings.dialect,
            timeout=settings.timeout,
            context_window=settings.context_window,
            structured_output=settings.structured_output,
            text_calls=settings.text_calls,
            answer_bytes=config.limits.answer_bytes,
            max_output_tokens=settings.max_output_tokens,
        )


def _endpoints(config: Config) -> Iterator[Endpoint]:
    """The configured endpoints of webhooks, with their secrets read from the environment."""
    for name, settings in config.webhooks.items():
        secret = settings.secret or os.environ.get(settings.secret_env or "", "")
        yield Endpoint(name, settings.url, key_of(secret), frozenset(settings.events), settings.project)


async def health(_: Request) -> PlainTextResponse:
    """GET /healthz, and /health: programs look for either."""
    return PlainTextResponse("ok\n")


def _routes() -> list[BaseRoute]:
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
        Route("/healthz", health, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics.show, methods=["GET"]),
    ]
