"""Where traces and metrics go, as the configuration and OpenTelemetry's own variables say."""

import asyncio
import os
from importlib.util import find_spec

import structlog

from antiphon import __version__
from antiphon.api.recording_setup import silent
from antiphon.config import Config, Telemetry
from antiphon.telemetry.tracing import Tracer

LACKING = "Traces and metrics need `pip install 'antiphon[telemetry]'`."
_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

log = structlog.get_logger()


def destination(settings: Telemetry) -> str | None:
    """The collector that the configuration names, else that of the variables; None: nothing is exported."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    return settings.otlp_endpoint or os.environ.get(_VARIABLE) or None


def installed() -> bool:
    """Whether all that exporting needs is."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def tracer_of(config: Config) -> Tracer | None:
    """None: nothing is exported. That the extra is missing keeps no server from answering."""
    settings = config.telemetry
    if destination(settings) is None:
        return None
    if not installed():
        log.warning("nothing is exported", reason=LACKING)
        return None
    from antiphon.telemetry.otlp import Destination, OtlpTracer

    projects = frozenset(silent(config))
    return OtlpTracer(Destination(settings.otlp_endpoint, settings.content == "all", projects, __version__))


async def obstacle_of(settings: Telemetry, seconds: float) -> str | None:
    """Why the collector takes nothing; None: it does. The extra must be installed."""
    from antiphon.telemetry import otlp

    return await asyncio.to_thread(otlp.obstacle, settings.otlp_endpoint, seconds)
