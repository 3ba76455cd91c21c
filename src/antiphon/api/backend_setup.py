"""What answers, as the configuration says."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from antiphon.api.surroundings import secret
from antiphon.backends.embedded import SMOLLM2, described
from antiphon.backends.llama import embedded
from antiphon.backends.named_models import NamedModel
from antiphon.backends.router import MAKERS as ROUTED
from antiphon.backends.router import BackendConfig, Maker, Router, build
from antiphon.config import Config
from antiphon.config.model_settings import ModelSettings
from antiphon.model import Backend, Capabilities
from antiphon.weights import gguf


def _embedded(config: BackendConfig) -> Backend:
    if config.unix_socket is None:
        raise ValueError(f"backends.{config.name}: `antiphon serve` runs the embedded model, nobody else")
    model = described(gguf.read(Path(config.model))) if config.model else SMOLLM2
    return embedded(
        Path(config.unix_socket),
        model.within(config.context_window) if config.context_window else model,
        timeout=config.timeout,
        max_output_tokens=config.max_output_tokens,
        text_runs=config.text_runs,
        name=config.name,
    )


MAKERS: dict[str, Maker] = {**ROUTED, "llama": _embedded}
"""Of each `type` of a backend."""

_CAPABILITIES = frozenset(Capabilities.__struct_fields__) & frozenset(ModelSettings.__struct_fields__)


def backend_configs(config: Config) -> Iterator[BackendConfig]:
    """The configured backends, with their keys read from the environment."""
    for name, settings in config.backends.items():
        yield BackendConfig(
            name=name,
            type=settings.type,
            base_url=settings.base_url or next(iter(settings.base_urls), None),
            base_urls=settings.base_urls,
            model=settings.model,
            unix_socket=settings.unix_socket,
            api_key=secret(settings.api_key_env),
            models=settings.models,
            default=settings.default,
            dialect=settings.dialect,
            timeout=settings.timeout,
            first_byte_timeout=settings.first_byte_timeout,
            max_concurrency=settings.max_concurrency,
            fallbacks=settings.fallbacks,
            hosted=settings.hosted,
            context_window=settings.context_window,
            structured_output=settings.structured_output,
            text_calls=settings.text_calls,
            text_runs=settings.text_runs,
            answer_bytes=config.limits.answer_bytes,
            max_output_tokens=settings.max_output_tokens,
        )


def routed(config: Config) -> Router:
    """Who answers to which name, for who runs no models here: those are away. Raises ValueError for a
    configuration that makes no sense."""
    found = (_away(each) if each.type == "llama" else each for each in backend_configs(config))
    return build(found, MAKERS, [*named_models(config)])


def _away(config: BackendConfig) -> BackendConfig:
    return replace(config, type="chat_completions", model=None, unix_socket=os.devnull)


def named_models(config: Config) -> Iterator[NamedModel]:
    """What the configuration says of models."""
    for name, settings in config.models.items():
        said = {member: getattr(settings, member) for member in _CAPABILITIES}
        yield NamedModel(
            name=name,
            aliases=settings.aliases,
            fallbacks=settings.fallbacks,
            instructions=settings.instructions,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_output_tokens=settings.max_output_tokens,
            reasoning_effort=settings.reasoning_effort,
            capabilities={member: _known(value) for member, value in said.items() if value not in (None, [])},
        )


def _known(value: Any) -> Any:
    """A setting, as `Capabilities` has it."""
    return frozenset(value) if isinstance(value, list) else value
