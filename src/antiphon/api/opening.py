"""What the server works with: opened when it starts, running while it runs, closed when it stops."""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Protocol, TypeVar

from antiphon.api import metrics
from antiphon.api.backend_setup import MAKERS, backend_configs, named_models
from antiphon.api.image_setup import image_server_of
from antiphon.api.moderation_setup import moderator_of
from antiphon.api.sandbox_setup import container_rules, sandbox_options
from antiphon.api.search_setup import embedder_of, reranking_of
from antiphon.api.services import Services
from antiphon.api.surroundings import reachable
from antiphon.api.tool_setup import tool_resources
from antiphon.backends.router import Router as BackendRouter
from antiphon.backends.router import build
from antiphon.config import Config, Limits, Outbound
from antiphon.config import Retention as Kept
from antiphon.containers.room import Room
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.engine.background.background import Background, Capacity
from antiphon.engine.engine import Engine
from antiphon.engine.jobs import Jobs
from antiphon.engine.moderating.moderator import Moderator
from antiphon.engine.rewriting import QueryRewriter
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.embedder import Embedder
from antiphon.sandbox.open import Prepared, driver_of, made_early
from antiphon.searching.finder import StoreFinder
from antiphon.searching.indexer import Indexer
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.file_storage import FileStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.inline_data import REMOVE
from antiphon.store.open import open_store
from antiphon.store.periodic import periodic
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.store import Store
from antiphon.tools.context import Images, ToolResources
from antiphon.web.fetch import Fetcher
from antiphon.webhooks.endpoints import Endpoint, key_of
from antiphon.webhooks.sender import Webhooks


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
        for each in (resources.web, resources.mcp, resources.children):
            self.keep(each)
        return resources


async def open_services(config: Config, opened: Opened) -> Services:
    """All of it, from the ground up."""
    blobs = FolderBlobs(Path(config.data_dir) / "files")
    store = opened.keep(await open_store(config.store_url, blobs))
    await store.usage.bound(config.limits.stored_bytes)
    files, documents = FileStorage(store.files, blobs), Documents()
    driver = driver_of(sandbox_options(config))
    room = Room(ContainerStorage(store, blobs), driver, container_rules(config))
    backends = opened.keep(build(backend_configs(config), MAKERS, [*named_models(config)]))
    fetcher = opened.keep(_fetcher(config.outbound))
    attachments = Attachments(files, fetcher, documents)
    embedder = opened.keep(embedder_of(config.embeddings))
    finder = _finder(config, opened, store, embedder)
    image_server = opened.keep(image_server_of(config, fetcher))
    images = None if image_server is None else Images(server=image_server, load=attachments.image)
    resources = opened.keep_tools(tool_resources(config, documents, finder, room, images))
    moderator = opened.keep(moderator_of(config.moderation, backends, resources.children))
    engine = _engine(config, backends, store, attachments, resources, moderator)
    indexer = Indexer(store, files, documents, embedder)
    webhooks = Webhooks(list(_endpoints(config)), store.webhooks)
    rewriting = config.tools.file_search
    made = Services(
        config=config,
        engine=engine,
        background=Background(engine, webhooks, _capacity(config.limits), ended=metrics.count_response),
        store=store,
        files=files,
        jobs=Jobs(store.work, {**indexer.handlers, REMOVE: store.inline_data.remove}),
        embedder=embedder,
        finder=finder,
        rewriter=QueryRewriter(backends, rewriting.rewrite_model, rewriting.rewrite_seconds),
        containers=room,
        image_server=image_server,
        attachments=attachments,
        moderator=moderator,
    )
    await _run(made, opened, backends, webhooks, driver)
    return made


async def _run(
    made: Services, opened: Opened, backends: BackendRouter, webhooks: Webhooks, driver: Prepared
) -> None:
    """What goes on beside the requests."""
    config, store, room = made.config, made.store, made.containers
    retention = _retention(store, config.retention)
    for running in (
        room.running(Path(config.data_dir) / "sockets"),
        backends.probing(),
        periodic(made.files.sweep, store.vector_stores.sweep, room.storage.sweep, retention.sweep),
        webhooks.running(),
        made.background.running(),
        made.jobs.running(),
        made_early(driver) if config.sandbox.setup == "start" else nullcontext(),
    ):
        await opened.enter_async_context(running)


def _engine(
    config: Config,
    backends: BackendRouter,
    store: Store,
    attachments: Attachments,
    resources: ToolResources,
    moderator: Moderator | None,
) -> Engine:
    seal = Seal.at(Path(config.data_dir) / "sealing.key")
    verify, seconds = config.server.verify, config.limits.response_seconds
    return Engine(backends, store, seal, attachments, verify, seconds, resources, moderator)


def _finder(config: Config, opened: Opened, store: Store, embedder: Embedder) -> StoreFinder:
    reranking = reranking_of(config.reranker)
    if reranking is not None:
        opened.keep(reranking.reranker)
    return StoreFinder(store, embedder, config.tools.file_search.cache_bytes, reranking)


def _fetcher(settings: Outbound) -> Fetcher:
    return Fetcher(reachable(settings), settings.max_bytes, settings.seconds)


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


def _endpoints(config: Config) -> Iterator[Endpoint]:
    """The configured endpoints of webhooks, with their secrets read from the environment."""
    for name, settings in config.webhooks.items():
        secret = settings.secret or os.environ.get(settings.secret_env or "", "")
        yield Endpoint(name, settings.url, key_of(secret), frozenset(settings.events), settings.project)
