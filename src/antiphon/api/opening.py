"""What the server works with: opened when it starts, running while it runs, closed when it stops."""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from antiphon.api import metrics, tracing
from antiphon.api.backend_setup import MAKERS, backend_configs, named_models
from antiphon.api.callers import Callers
from antiphon.api.draining import Draining
from antiphon.api.image_setup import image_server_of
from antiphon.api.moderation_setup import moderator_of
from antiphon.api.protocol import HttpProtocol
from antiphon.api.pulse import Pulse
from antiphon.api.readiness import Readiness
from antiphon.api.recording_setup import recorder_of, sweeps_of
from antiphon.api.sandbox_setup import container_rules, sandbox_options
from antiphon.api.seal_setup import seal_of
from antiphon.api.search_setup import embedder_of, reranking_of
from antiphon.api.services import Services
from antiphon.api.surroundings import reachable
from antiphon.api.telemetry_setup import tracer_of
from antiphon.api.tool_setup import tool_resources
from antiphon.backends.router import Router as BackendRouter
from antiphon.backends.router import build
from antiphon.config import Config, FileSearchSettings, Outbound
from antiphon.containers.room import Room
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.engine.activity import tokens_of
from antiphon.engine.background.background import Background, Capacity
from antiphon.engine.background.owner import owner_name
from antiphon.engine.engine import Engine
from antiphon.engine.jobs import AT_ONCE, Jobs
from antiphon.engine.rewriting import QueryRewriter
from antiphon.engine.sweeping import Sweeping
from antiphon.keys.limiter import Limiter
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.embedder import Embedder
from antiphon.retrieval.pictures import Pictures
from antiphon.sandbox.open import Prepared, driver_of, made_early
from antiphon.searching.finder import StoreFinder
from antiphon.searching.indexer import Indexer
from antiphon.store.activity import ActivityRow
from antiphon.store.blobs import Blobs
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.file_storage import FileStorage
from antiphon.store.inline_data import REMOVE
from antiphon.store.keys import KeyUse
from antiphon.store.open import open_store
from antiphon.store.open_blobs import open_blobs
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.store import Store
from antiphon.store.vector_files import INDEX
from antiphon.tools.context import Images, ToolResources
from antiphon.web.fetch import Fetcher
from antiphon.webhooks.endpoints import Endpoint, key_of
from antiphon.webhooks.stored import StoredEndpoints
from antiphon.webhooks.webhooks import Webhooks


class _Closed(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=_Closed | None)


class Opened(AsyncExitStack):
    """What was opened last is closed first, and each is closed whatever becomes of the others."""

    def keep(self, made: T) -> T:
        if made is not None:
            self.push_async_callback(made.close)
        return made

    def keep_tools(self, resources: ToolResources) -> ToolResources:
        for each in (resources.web, resources.mcp, resources.children, resources.player):
            self.keep(each)
        return resources


async def open_services(config: Config, opened: Opened) -> Services:
    """All of it, from the ground up."""
    tracer = opened.keep(tracer_of(config))
    blobs = open_blobs(config.blobs.url, Path(config.data_dir))
    store = opened.keep(
        await open_store(config.store_url, blobs, config.store.listen_url, config.store.connections)
    )
    await store.usage.bound(config.limits.stored_bytes)
    files, documents = FileStorage(store.files, blobs), Documents()
    driver = driver_of(sandbox_options(config))
    room = Room(ContainerStorage(store, blobs), driver, container_rules(config))
    backends = opened.keep(build(backend_configs(config), MAKERS, [*named_models(config)]))
    fetcher = opened.keep(_fetcher(config.outbound))
    attachments = Attachments(files, fetcher, documents, opened.keep(Pictures()))
    embedder = opened.keep(embedder_of(config.embeddings))
    finder = _finder(config, opened, store, embedder)
    image_server = opened.keep(image_server_of(config, fetcher))
    images = None if image_server is None else Images(image_server, attachments.image, attachments.mask)
    resources = opened.keep_tools(tool_resources(config, documents, finder, room, images))
    moderator = opened.keep(moderator_of(config.moderation, backends, resources.children))
    seal = seal_of(config)
    recorder = opened.keep(recorder_of(config, store.recordings))
    limiter = Limiter(store, owner_name())
    ended = partial(_ended, limiter)
    verify, seconds = config.server.verify, config.limits.response_seconds
    engine = Engine(
        backends, store, seal, attachments, verify, seconds, resources, moderator, ended, recorder, tracer
    )
    webhooks = _webhooks(config, store, seal)
    background = Background(engine, webhooks, _capacity(config))
    sweeping = _sweeping(config, store, files, room)
    jobs = _jobs(config, store, Indexer(store, files, documents, embedder), sweeping)
    made = Services(
        config=config,
        engine=engine,
        background=background,
        webhooks=webhooks,
        store=store,
        callers=Callers(config, store.keys, limiter),
        files=files,
        jobs=jobs,
        embedder=embedder,
        finder=finder,
        rewriter=_rewriter(config.tools.file_search, backends),
        containers=room,
        image_server=image_server,
        attachments=attachments,
        moderator=moderator,
        tracer=tracer,
        readiness=_readiness(store, blobs, Draining([background.leave, jobs.leave])),
    )
    await sweeping.begin()
    await _run(made, opened, backends, driver)
    return made


async def _run(made: Services, opened: Opened, backends: BackendRouter, driver: Prepared) -> None:
    """What goes on beside the requests."""
    config = made.config
    for running in (
        made.containers.running(Path(config.data_dir) / "sockets"),
        backends.probing(),
        Pulse(HttpProtocol.open_connections, made.background.at_work).running(),
        nullcontext() if config.server.role == "server" else made.webhooks.running(),
        made.background.running(),
        made.callers.limiter.running(),
        made.jobs.running(),
        made_early(driver) if config.sandbox.setup == "start" else nullcontext(),
        made.readiness.draining.at_sigterm(config.server.drain_seconds),
    ):
        await opened.enter_async_context(running)


def _readiness(store: Store, blobs: Blobs, draining: Draining) -> Readiness:
    return Readiness(
        {"store": store.reach, "queue": partial(store.work.due, [INDEX]), "blobs": blobs.reach}, draining
    )


def _ended(limiter: Limiter, row: ActivityRow, use: KeyUse | None) -> None:
    """A response has ended here. One in the background was settled with its end."""
    metrics.count_response(row)
    tracing.tell(row)
    if use is not None:
        limiter.settle(use, tokens_of(row, use))


def _finder(config: Config, opened: Opened, store: Store, embedder: Embedder) -> StoreFinder:
    reranking = reranking_of(config.reranker)
    if reranking is not None:
        opened.keep(reranking.reranker)
    return StoreFinder(store, embedder, config.tools.file_search.cache_bytes, reranking)


def _sweeping(config: Config, store: Store, files: FileStorage, room: Room) -> Sweeping:
    kept = config.retention
    rules = retention_rules(
        store, kept.responses_days, kept.events_hours, kept.deliveries_days, kept.activity_days
    )
    sweeps = files.sweep, store.vector_stores.sweep, room.storage.sweep, Retention(rules).sweep
    return Sweeping(store.work, [*sweeps, *sweeps_of(config, store)])


def _rewriter(settings: FileSearchSettings, backends: BackendRouter) -> QueryRewriter:
    return QueryRewriter(backends, settings.rewrite_model, settings.rewrite_seconds)


def _fetcher(settings: Outbound) -> Fetcher:
    return Fetcher(reachable(settings), settings.max_bytes, settings.seconds)


def _capacity(config: Config) -> Capacity:
    limits, carries = config.limits, config.server.role != "server"
    return Capacity(
        runs=limits.background_runs if carries else 0,
        queue=limits.background_queue,
        seconds=limits.background_seconds,
        quiet=limits.background_quiet,
    )


def _jobs(config: Config, store: Store, indexer: Indexer, sweeping: Sweeping) -> Jobs:
    at_once = 0 if config.server.role == "server" else AT_ONCE
    handlers = {**indexer.handlers, **sweeping.handlers, REMOVE: store.inline_data.remove}
    return Jobs(store.work, handlers, at_once=at_once)


def _webhooks(config: Config, store: Store, seal: Seal) -> Webhooks:
    stored = StoredEndpoints(store.webhook_endpoints, seal)
    configured = list(_endpoints(config))
    return Webhooks(configured, store.webhooks, stored=stored, reachable=reachable(config.outbound))


def _endpoints(config: Config) -> Iterator[Endpoint]:
    """The configured endpoints of webhooks, with their secrets read from the environment."""
    for name, settings in config.webhooks.items():
        secret = settings.secret or os.environ.get(settings.secret_env or "", "")
        yield Endpoint(name, settings.url, key_of(secret), frozenset(settings.events), settings.project)
