"""Spans and metrics, handed to a collector over OTLP by OpenTelemetry's SDK. Needs the extra `telemetry`.

The SDK has threads of its own that send, and a queue of bounded length before them: what it does not get rid
of is dropped. Its variables (`OTEL_…`) hold wherever nothing else is said here.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from threading import Thread
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from msgspec import Struct
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from antiphon.telemetry.counted import Counted
from antiphon.telemetry.exporting import MetricExporter, SpanExporter, refusal, silence_library
from antiphon.telemetry.histograms import DURATIONS, FORMS, OPERATION, SHARED
from antiphon.telemetry.metrics import registry
from antiphon.telemetry.tracing import CURRENT, Attributes, KeptSpan, Kind, Span, Value

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
END_SECONDS: Final = 2.0
"""What is still here when the server stops has so long to be sent."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NAME: Final = "antiphon"


class Destination(Struct, frozen=True):
    """Where to, and what."""

    endpoint: str | None
    """Of the collector, without `/v1/traces`; None: what `OTEL_EXPORTER_OTLP_…` say."""
    content: bool
    """Whether spans have what was said."""
    version: str
    """Of this program."""

    def url(self, path: str) -> str | None:
        return None if self.endpoint is None else f"{self.endpoint.rstrip('/')}/{path}"


class _Ids(RandomIdGenerator):
    """Ids that are random, but for a span that has one already."""

    kept: KeptSpan | None = None

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.kept is None else int(self.kept.span_id, 16)

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.kept is None else int(self.kept.trace_id, 16)


class OtlpTracer:
    """Spans of this process, and its metrics. Use it in one thread."""

    def __init__(self, to: Destination) -> None:
        silence_library()
        self._content = to.content
        self._ids = _Ids()
        about = _resource(to.version)
        self._traces = TracerProvider(resource=about, shutdown_on_exit=False, id_generator=self._ids)
        if _wanted("traces"):
            self._traces.add_span_processor(BatchSpanProcessor(SpanExporter(to.url("v1/traces"))))
        self._tracer = self._traces.get_tracer(_NAME, to.version)
        readers = [_reader(to)] if _wanted("metrics") else []
        self._metrics = MeterProvider(readers, about, shutdown_on_exit=False)
        meter = self._metrics.get_meter(_NAME, to.version)
        meter.create_observable_gauge(
            "process.uptime", [_since(time.monotonic())], "s", "How long this process has run"
        )
        self._histograms = {
            name: meter.create_histogram(
                name, form.unit, form.about, explicit_bucket_boundaries_advisory=form.bounds
            )
            for name, form in FORMS.items()
        }

    def incoming(self, headers: Mapping[str, str]) -> Span:
        """See `tracing.Tracer`; so for the others."""
        found = trace.get_current_span(_PROPAGATOR.extract(headers, Context()))
        return _OtlpSpan(self, found, {}, 0, self._content)

    def resume(self, name: str, kind: Kind, kept: KeptSpan | None) -> Span:
        if kept is None:
            return self.begin(name, kind, {}, Context(), time.time_ns(), self._content)
        self._ids.kept = kept
        try:
            within = _PROPAGATOR.extract(kept.parent, Context())
            return self.begin(name, kind, {}, within, kept.began, self._content)
        finally:
            self._ids.kept = None

    def begin(
        self, name: str, kind: Kind, attributes: Attributes, within: Context, began: int, content: bool
    ) -> Span:
        """A span that is part of what `within` has."""
        span = self._tracer.start_span(name, within, _KINDS[kind], attributes, start_time=began)
        return _OtlpSpan(self, span, attributes, began, content)

    def kept(self, parent: "_OtlpSpan") -> KeptSpan:
        """A span that begins now."""
        known = parent.identity
        trace_id = known.trace_id if known.is_valid else self._ids.generate_trace_id()
        span_id = self._ids.generate_span_id()
        return KeptSpan(f"{trace_id:032x}", f"{span_id:016x}", time.time_ns(), dict(parent.headers))

    def measure(self, name: str, value: float, attributes: Attributes, within: Context) -> None:
        self._histograms[name].record(value, attributes, within)

    async def close(self) -> None:
        # A receiver that hangs holds the SDK's shutdown up, so that has threads that nobody need wait for.
        endings = [Thread(target=each.shutdown, daemon=True) for each in (self._traces, self._metrics)]
        for ending in endings:
            ending.start()
        await asyncio.to_thread(_join, endings)


class _OtlpSpan:
    """A span of OpenTelemetry's."""

    def __init__(
        self, tracer: OtlpTracer, span: trace.Span, attributes: Attributes, began: int, content: bool
    ) -> None:
        self._content = content
        self.began = began / 1e9
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())
        self._shared: dict[str, Value] = {}
        self._share(attributes)
        self._headers: Mapping[str, str] | None = None
        self._left = False
        self._tokens: tuple[Token[Span | None], Token[Context]] | None = None

    @property
    def content(self) -> bool:
        return self._content and self._span.is_recording()

    def conceal(self) -> None:
        self._content = False

    @property
    def identity(self) -> trace.SpanContext:
        return self._span.get_span_context()

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            carried: dict[str, str] = {}
            _PROPAGATOR.inject(carried, self._context)
            self._headers = carried
        return self._headers

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        return self._tracer.begin(name, kind, attributes, self._context, time.time_ns(), self._content)

    def begin_kept(self) -> KeptSpan:
        return self._tracer.kept(self)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)
        self._share(attributes)

    def fail(self, error: str) -> None:
        self.set({"error.type": error})
        self._span.set_status(Status(StatusCode.ERROR))

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        self._tracer.measure(name, value, {**self._shared, **(attributes or {})}, self._context)

    def leave(self) -> None:
        self._left = True

    def end(self, ago: float = 0.0) -> None:
        ended = time.time_ns() - int(ago * 1e9)
        duration = DURATIONS.get(str(self._shared.get(OPERATION)))
        if duration is not None:
            self.measure(duration, ended / 1e9 - self.began)
        self._span.end(ended)

    def __enter__(self) -> Self:
        # The MCP library looks for a span where OpenTelemetry has it, and tells servers of it.
        self._tokens = CURRENT.set(self), context.attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tokens is not None
        ours, theirs = self._tokens
        context.detach(theirs)
        CURRENT.reset(ours)
        if kind is not None:
            self.fail(kind.__name__)
        if not self._left:
            self.end()

    def _share(self, attributes: Attributes) -> None:
        self._shared.update((name, attributes[name]) for name in SHARED & attributes.keys())


def obstacle(endpoint: str | None, seconds: float) -> str | None:
    """Why the collector at an endpoint (`Destination`) takes nothing; None: it does."""
    return refusal(Destination(endpoint, False, "").url("v1/traces"), seconds)


def _wanted(signal: str) -> bool:
    return os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") != "none"


def _reader(to: Destination) -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(MetricExporter(to.url("v1/metrics"), Counted(registry)))


def _since(began: float) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Something is always there to be exported, so that what is counted beside it is too."""
    return lambda _: [Observation(time.monotonic() - began)]


def _join(endings: Iterable[Thread]) -> None:
    end = time.monotonic() + END_SECONDS
    for ending in endings:
        ending.join(max(0.0, end - time.monotonic()))


def _resource(version: str) -> Resource:
    """What tells this process from others; what the variables say wins."""
    own = Resource({"service.name": _NAME, "service.version": version, "service.instance.id": str(uuid4())})
    return own.merge(OTELResourceDetector().detect())
