"""What answers, as the configuration says."""

from collections.abc import Iterator
from pathlib import Path

from antiphon.api.surroundings import secret
from antiphon.backends.embedded import SMOLLM2, described
from antiphon.backends.llama import embedded
from antiphon.backends.router import MAKERS as ROUTED
from antiphon.backends.router import BackendConfig, Maker
from antiphon.config import Config
from antiphon.model import Backend
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
    )


MAKERS: dict[str, Maker] = {**ROUTED, "llama": _embedded}
"""Of each `type` of a backend."""


def backend_configs(config: Config) -> Iterator[BackendConfig]:
    """The configured backends, with their keys read from the environment."""
    for name, settings in config.backends.items():
        yield BackendConfig(
            name=name,
            type=settings.type,
            base_url=settings.base_url,
            model=settings.model,
            unix_socket=settings.unix_socket,
            api_key=secret(settings.api_key_env),
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
