"""What works here, what does not, and what to type: the checks behind `antiphon doctor`."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from antiphon.api.backend_setup import backend_configs, routed
from antiphon.api.image_setup import image_server_of
from antiphon.api.moderation_setup import moderator_of
from antiphon.api.sandbox_setup import sandbox_options
from antiphon.api.seal_setup import BadSealingKey, seal_of
from antiphon.api.search_setup import can_embed, reranking_of
from antiphon.api.telemetry_setup import LACKING, destination, installed, obstacle_of
from antiphon.api.web_setup import key_variables, missing
from antiphon.backends.router import build
from antiphon.config import BackendSettings, Config
from antiphon.engine.warnings import unheeded
from antiphon.guard.pool import Pool
from antiphon.model import (
    Backend,
    CallStarted,
    Capabilities,
    Finished,
    Function,
    JsonSchema,
    Message,
    TextDelta,
    TextPart,
    Turn,
)
from antiphon.protocol.errors import ApiError
from antiphon.protocol.wire import JsonObject
from antiphon.retrieval.reranker import RerankerError
from antiphon.sandbox import environment
from antiphon.sandbox.base import SandboxUnavailable
from antiphon.sandbox.open import Options, driver_of
from antiphon.scripting.player import is_installed
from antiphon.store.blobs import BlobsUnusable
from antiphon.store.faults import Unreachable
from antiphon.store.open import UnknownStore, reach_postgres, without_secrets
from antiphon.store.open_blobs import open_blobs
from antiphon.weights.errors import WeightsError
from antiphon.weights.files import in_words
from antiphon.weights.gguf import read
from antiphon.weights.library import find
from antiphon.weights.reference import parse

State = Literal["ok", "warning", "failed"]

_SECONDS = 10.0
_DEEP_SECONDS = 120.0
_MODELS_SHOWN = 5
_ASK = (Message("user", (TextPart("Answer with the word OK."),)),)
_WORD: JsonObject = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
_FUNCTION = Function("report", "Reports a word.", _WORD)
_SCHEMA = JsonSchema("word", _WORD)


_DATABASE_SECONDS = 10.0
_COLLECTOR_SECONDS = 3.0


class Finding(Struct, frozen=True):
    """What a check found out."""

    subject: str
    state: State
    words: str
    hint: str = ""
    """What to type, or to change."""


async def examine(config: Config, deep: bool) -> AsyncGenerator[Finding, None]:
    """All findings, as they come. With `deep`, each backend is sent a few tiny requests."""
    yield _data_dir(Path(config.data_dir))
    if config.store.is_shared or config.blobs.url is not None:
        yield await _homes(config)
    if config.store.is_shared:
        yield await _database(config)
    yield _keys(config)
    yield _search(config)
    yield await _sandbox(config)
    yield _programs()
    if config.reranker.base_url is not None:
        yield await _reranker(config)
    wrong = _misnamed(config) if config.backends else None
    yield await _moderation(config, deep) if wrong is None else Finding("models", "failed", wrong)
    yield _web(config)
    yield await _telemetry(config)
    yield await _images(config)
    if not config.backends:
        found = _embedded("backends", BackendSettings(type="llama"), Path(config.data_dir))
        yield replace(found, words=f"none is configured: {found.words}")
    for name, settings in config.backends.items():
        async with aclosing(_backend(config, name, settings, deep)) as findings:
            async for finding in findings:
                yield finding


def _data_dir(path: Path) -> Finding:
    if not path.exists():
        return Finding("data", "ok", f"{path} will be made by `antiphon serve`")
    if os.access(path, os.W_OK | os.X_OK):
        return Finding("data", "ok", f"{path} can be written")
    return Finding("data", "failed", f"{path} cannot be written", "Use --data-dir, or make it writable.")


async def _homes(config: Config) -> Finding:
    """What several servers share besides the database."""
    try:
        seal_of(config)
        await open_blobs(config.blobs.url, Path(config.data_dir)).check()
    except (BadSealingKey, BlobsUnusable) as error:
        return Finding("homes", "failed", str(error))
    return Finding("homes", "ok", f"blobs can be read and written: {config.blobs.url or 'in a folder'}")


async def _database(config: Config) -> Finding:
    """It is reached, and left as it is: `antiphon serve` makes the tables."""
    url = without_secrets(config.store_url)
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            await reach_postgres(config.store_url, config.store.listen_url)
    except (UnknownStore, Unreachable, TimeoutError) as error:
        return Finding("database", "failed", f"{url}: {error or 'it does not answer'}", "Look at [store].")
    return Finding("database", "ok", f"{url} can be reached")


def _search(config: Config) -> Finding:
    if can_embed(config.embeddings):
        return Finding("search", "ok", "files can be searched")
    hint = "`pip install 'antiphon[retrieval]'` installs what it needs."
    return Finding("search", "warning", "files cannot be searched: file_search is not offered", hint)


def _programs() -> Finding:
    if is_installed():
        return Finding("programs", "ok", "models can write programs that call tools")
    hint = "`pip install 'antiphon[programs]'` installs V8."
    return Finding("programs", "warning", "no V8 is there: programmatic_tool_calling is not offered", hint)


async def _sandbox(config: Config) -> Finding:
    if config.sandbox.driver == "none":
        return Finding("sandbox", "ok", "turned off by driver of [sandbox]: no code from models runs")
    options = sandbox_options(config)
    driver = driver_of(options)
    try:
        reason = await driver.obstacle()
    finally:
        await driver.close()
    if reason is not None:
        return Finding("sandbox", "warning", f"no code from models runs. {reason}")
    if options.driver == "jupyter":
        return Finding("sandbox", "ok", f"kernels of the Jupyter gateway at {options.url}")
    return _environment(options)


def _environment(options: Options) -> Finding:
    try:
        own = options.environment and environment.given(options.environment)
    except SandboxUnavailable as fault:
        return Finding("sandbox", "failed", str(fault))
    found = own or environment.find(options.data_dir)
    if found is None:
        hint = "`antiphon sandbox setup` makes it now."
        return Finding("sandbox", "ok", "bubblewrap; its Python is made when code first runs", hint)
    return Finding("sandbox", "ok", f"bubblewrap; its Python is in {found.folder}")


async def _reranker(config: Config) -> Finding:
    reranking = reranking_of(config.reranker)
    assert reranking is not None
    try:
        async with asyncio.timeout(_SECONDS):
            await reranking.reranker.scores("Which one is a colour?", ["blue", "seven"])
    except RerankerError as fault:
        return Finding("reranker", "failed", str(fault), "Until it answers, results are not reranked.")
    except TimeoutError:
        return Finding("reranker", "failed", f"no answer within {_SECONDS:g} seconds")
    finally:
        await reranking.reranker.close()
    return Finding("reranker", "ok", f"{config.reranker.base_url} ranks results")


async def _moderation(config: Config, deep: bool) -> Finding:
    settings, subject = config.moderation, "moderation"
    if settings.base_url is None and settings.judge is None:
        hint = 'base_url of [moderation] names a server that judges; or judge = "MODEL" has a model do it.'
        return Finding(subject, "ok", "nothing judges: requests that ask for it are refused", hint)
    if settings.api_key_env and settings.api_key_env not in os.environ:
        return Finding(subject, "failed", f"its key is read from {settings.api_key_env}, which is not set")
    if settings.judge is not None and not deep:
        return Finding(subject, "ok", f"{settings.judge} judges")
    router, children = routed(config), Pool()
    moderator = moderator_of(settings, router, children)
    assert moderator is not None
    try:
        await moderator.judge([(TextPart("The sky is blue."),)])
    except ApiError as fault:
        return Finding(subject, "failed", str(fault), "Until it answers, nothing passes that may be blocked.")
    finally:
        await moderator.close()
        await children.close()
        await router.close()
    return Finding(subject, "ok", f"{settings.judge or settings.base_url} judges")


def _misnamed(config: Config) -> str | None:
    """What is wrong with the names of models and backends, in words."""
    try:
        routed(config)
    except ValueError as error:
        return str(error)
    return None


def _web(config: Config) -> Finding:
    settings = config.tools.web_search
    if not settings.engines:
        hint = "`antiphon serve --web-search duckduckgo`, or engine of [tools.web_search], turns it on."
        return Finding("web", "ok", "not searched: web_search is not offered", hint)
    unset = [name for name in key_variables(settings).values() if name not in os.environ]
    if unset:
        return Finding("web", "failed", f"the key is read from {unset[0]}, which is not set")
    if words := missing(settings):
        return Finding("web", "failed", words)
    return Finding("web", "ok", f"searched by {', '.join(settings.engines)}")


async def _telemetry(config: Config) -> Finding:
    subject, to = "telemetry", destination(config.telemetry)
    if to is None:
        hint = 'otlp_endpoint = "http://HOST:4318" of [telemetry] turns it on.'
        return Finding(subject, "ok", "traces and metrics are not exported; /metrics has the numbers", hint)
    if not installed():
        return Finding(subject, "failed", f"nothing is exported to {to}", LACKING)
    reason = await obstacle_of(config.telemetry, _COLLECTOR_SECONDS)
    if reason is not None:
        hint = "It must take OTLP over HTTP with protobuf, which collectors do on port 4318 and not on 4317."
        return Finding(subject, "failed", f"the collector at {to} takes nothing: {reason}", hint)
    return Finding(subject, "ok", f"the collector at {to} takes traces and metrics")


async def _images(config: Config) -> Finding:
    settings = config.images
    server = image_server_of(config)
    if server is None:
        hint = 'base_url = "http://HOST/v1" and model = "MODEL" of [images] turn it on.'
        return Finding("images", "ok", "no pictures are made: image_generation is not offered", hint)
    if settings.api_key_env and settings.api_key_env not in os.environ:
        return Finding("images", "failed", f"the key is read from {settings.api_key_env}, which is not set")
    try:
        dialect = await server.probe()
    except ApiError as fault:
        return Finding("images", "failed", fault.message)
    finally:
        await server.close()
    words = f"made by {settings.model} at {settings.base_url} (dialect {dialect.name})"
    return Finding("images", "ok", words)


def _keys(config: Config) -> Finding:
    made = "`antiphon key list` shows those that were made at run time."
    if config.server.keys:
        words = f"{len(config.server.keys)} in [server.keys], {len(config.keys)} of them with [keys.NAME]"
        return Finding("keys", "ok", words, made)
    if config.server.require_keys:
        words = "none in [server.keys]: who has one that was made at run time is let in, and nobody else"
        return Finding("keys", "ok", words, f"`antiphon key create NAME --admin` makes one. {made}")
    local = config.server.host in ("127.0.0.1", "localhost", "::1")
    if local:
        return Finding("keys", "ok", f"none: anybody who reaches {config.server.host} is let in")
    hint = "`antiphon key PROJECT` makes a key."
    return Finding("keys", "failed", f"none, but the server listens on {config.server.host}", hint)


async def _backend(
    config: Config, name: str, settings: BackendSettings, deep: bool
) -> AsyncGenerator[Finding, None]:
    subject = f"backend {name}"
    if settings.type == "llama":
        yield _embedded(subject, settings, Path(config.data_dir))
        return
    if settings.api_key_env and settings.api_key_env not in os.environ:
        yield Finding(subject, "failed", f"its key is read from {settings.api_key_env}, which is not set")
    (own,) = (each for each in backend_configs(config) if each.name == name)
    for url in own.base_urls or (own.base_url,):
        server = f"{subject} at {url}" if own.base_urls else subject
        router = build([replace(own, base_url=url, base_urls=(), fallbacks=())])
        try:
            async for finding in _reached(server, router.backends[0], settings, deep):
                yield finding
        finally:
            await router.close()


def _embedded(subject: str, settings: BackendSettings, data_dir: Path) -> Finding:
    try:
        reference = parse(settings.model or "")
        path = find(reference, data_dir)
        if path is None:
            hint = f"`antiphon pull {settings.model or ''}".rstrip() + "` fetches it now."
            return Finding(subject, "ok", f"{reference}, which `antiphon serve` fetches and runs", hint)
        file = read(path)
    except WeightsError as error:
        return Finding(subject, "failed", str(error))
    return Finding(subject, "ok", f"{reference} ({in_words(file.size)}), which `antiphon serve` runs")


async def _reached(
    subject: str, backend: Backend, settings: BackendSettings, deep: bool
) -> AsyncGenerator[Finding, None]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await backend.probe()
            models = [model.id for model in await backend.models()]
    except (ApiError, TimeoutError) as fault:
        hint = "Does it run there? base_url is its URL, with /v1."
        yield Finding(subject, "failed", str(fault) or f"no answer within {_SECONDS:g} seconds", hint)
        return
    yield Finding(subject, "ok", found or "its dialect is configured, or known by its address")
    shown = ", ".join(models[:_MODELS_SHOWN]) or "none"
    more = f" and {len(models) - _MODELS_SHOWN} more" if len(models) > _MODELS_SHOWN else ""
    yield Finding(subject, "ok" if models else "warning", f"models: {shown}{more}")
    model = _model(settings, models)
    can = backend.capabilities(model)
    yield Finding(subject, "ok", f"can: {_listed(can)}")
    if can.hosted:
        yield Finding(subject, "ok", f"its server runs: {', '.join(sorted(can.hosted))}")
    if names := unheeded(can):
        yield Finding(subject, "ok", f"not sent, and named in x-antiphon-warnings: {', '.join(names)}")
    if deep and model:
        for words, turn in _requests(model):
            yield await _tried(subject, words, backend, turn)


def _model(settings: BackendSettings, models: Sequence[str]) -> str:
    """The model that is asked."""
    if isinstance(settings.default, str):
        return settings.default
    return models[0] if models else ""


def _listed(can: Capabilities) -> str:
    known = {
        "functions": can.tools,
        "several calls at once": can.parallel_tools,
        "JSON schema": can.json_schema,
        "lark grammar": can.grammar,
        "regex": can.regex,
        "logprobs": can.logprobs,
        "images": can.images,
        "audio": can.audio,
        "reasoning effort": can.reasoning,
    }
    lacking = [name for name, able in known.items() if not able]
    able = ", ".join(name for name, able in known.items() if able)
    return f"{able} (not: {', '.join(lacking)})" if lacking else able


def _requests(model: str) -> Sequence[tuple[str, Turn]]:
    asked = Turn(model, _ASK, max_tokens=256)
    return (
        ("an answer", asked),
        ("a forced call", Turn(model, _ASK, functions=(_FUNCTION,), choice="required", max_tokens=256)),
        ("an answer held to a schema", Turn(model, _ASK, format=_SCHEMA, max_tokens=256)),
    )


async def _tried(subject: str, words: str, backend: Backend, turn: Turn) -> Finding:
    loop = asyncio.get_running_loop()
    begun, said, called, reason = loop.time(), "", False, ""
    try:
        async with asyncio.timeout(_DEEP_SECONDS), aclosing(backend.stream(turn)) as batches:
            async for batch in batches:
                for delta in batch:
                    called = called or isinstance(delta, CallStarted)
                    said += delta.text if isinstance(delta, TextDelta) else ""
                    reason = delta.reason if isinstance(delta, Finished) else reason
    except (ApiError, TimeoutError) as fault:
        return Finding(subject, "failed", f"{words}: {fault or 'no answer in time'}")
    seconds = f"{loop.time() - begun:.1f} s"
    if turn.choice == "required" and not called:
        return Finding(subject, "failed", f"{words}: no call was made ({seconds})")
    return Finding(subject, "ok", f"{words}: {'called' if called else repr(said[:40])} ({reason}, {seconds})")
