"""Spans and metrics, handed to a collector over OTLP by OpenTelemetry's SDK. Needs the extra `telemetry`.

The SDK has threads of its own that send, and a queue of bounded length before them: what it does not get rid
of is dropped. Its variables (`OTEL_…`) hold wherever nothing else is said here.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
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
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
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
_NAME_LENGTH: Final = 256
"""Characters of what makes a series of its own, or names a span. Clients choose names of models."""
_LONGEST: Final = 65_536
"""Characters of an attribute."""
_FEWER: Final = 512
"""Spans that wait, where they have what was said."""
_UNSET: Final = Status()
_FAILED: Final = Status(StatusCode.ERROR)


class Destination(Struct, frozen=True):
    """Where to, and what."""

    endpoint: str | None
    """Of the collector, without `/v1/traces`; None: what `OTEL_EXPORTER_OTLP_…` say."""
    content: bool
    """Whether spans have what was said."""
    silent: Collection[str]
    """Projects of whose responses they have not."""
    version: str
    """Of this program."""

    def url(self, path: str) -> str | None:
        return None if self.endpoint is None else f"{self.endpoint.rstrip('/')}/{path}"


class OtlpTracer:
    """Spans of this process, and its metrics. Use it in one thread.

    Spans are made here, and are the SDK's from their end on: its own way to make them costs several times as
    much, and has no way to go on with one of another process. Whether one is told is decided where a trace
    enters, by the SDK's sampler.
    """

    def __init__(self, to: Destination) -> None:
        silence_library()
        self.about = _resource(to.version)
        self.scope = InstrumentationScope(_NAME, to.version)
        self.silent = to.silent
        self._content = to.content
        self._ids = RandomIdGenerator()
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._spans = _processor(to) if _wanted("traces") else None
        readers = [_reader(to)] if _wanted("metrics") else []
        self._metrics = MeterProvider(readers, self.about, shutdown_on_exit=False)
        meter = self._metrics.get_meter(_NAME, to.version)
        meter.create_observable_gauge(
            "process.uptime", [_since(time.monotonic())], "s", "How long this process has run"
        )
        self.histograms = {
            name: meter.create_histogram(
                name, form.unit, form.about, explicit_bucket_boundaries_advisory=form.bounds
            )
            for name, form in FORMS.items()
        }

    def incoming(self, headers: Mapping[str, str]) -> "_OtlpSpan":
        """See `tracing.Tracer`; so for the others."""
        found = trace.get_current_span(_PROPAGATOR.extract(headers, Context())).get_span_context()
        return _OtlpSpan(self, None, found, "", "internal", 0, content=self._content)

    def resume(self, name: str, kind: Kind, kept: KeptSpan | None) -> Span:
        if kept is None:
            return self.incoming({}).begin(name, kind, {})
        parent = self.incoming(kept.parent)
        identity = self._entered(parent, name, kind, int(kept.trace_id, 16), int(kept.span_id, 16))
        return _OtlpSpan(self, parent, identity, name, kind, kept.began)

    def identity(self, parent: "_OtlpSpan", name: str, kind: Kind) -> SpanContext:
        """Of a span that is part of another one."""
        known, span_id = parent.identity, self._ids.generate_span_id()
        if known.is_remote or not known.is_valid:
            trace_id = known.trace_id if known.is_valid else self._ids.generate_trace_id()
            return self._entered(parent, name, kind, trace_id, span_id)
        return SpanContext(known.trace_id, span_id, False, known.trace_flags, known.trace_state)

    def end(self, span: ReadableSpan) -> None:
        if self._spans is not None:
            self._spans.on_end(span)

    async def close(self) -> None:
        # A receiver that hangs holds the SDK's shutdown up, so that has threads that nobody need wait for.
        parts = [each for each in (self._spans, self._metrics) if each is not None]
        endings = [Thread(target=each.shutdown, daemon=True) for each in parts]
        for ending in endings:
            ending.start()
        await asyncio.to_thread(_join, endings)

    def _entered(
        self, parent: "_OtlpSpan", name: str, kind: Kind, trace_id: int, span_id: int
    ) -> SpanContext:
        """Of a span whose parent is none of ours."""
        sampled = self._sampler.should_sample(parent.context, trace_id, name, _KINDS[kind])
        told = sampled.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if told else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id, False, flags, sampled.trace_state)


class _OtlpSpan:
    """A span with the identity that OpenTelemetry knows it by."""

    def __init__(
        self,
        tracer: OtlpTracer,
        parent: "_OtlpSpan | None",
        identity: SpanContext,
        name: str,
        kind: Kind,
        began: int,
        *,
        content: bool = False,
    ) -> None:
        """`parent` None: it is told by somebody else."""
        self.identity = identity
        self.began = began / 1e9
        self._tracer = tracer
        self._parent = parent
        self._name = name
        self._kind = kind
        self._began = began
        self._content: bool = content if parent is None else parent._content
        self._attributes: dict[str, Value] = {}
        self._failed = False
        self._left = parent is None
        self._context: Context | None = None
        self._tokens: tuple[Token[Span | None], Token[Context]] | None = None

    @property
    def content(self) -> bool:
        return self._content and bool(self.identity.trace_flags.sampled)

    def belong(self, project: str, *, stored: bool) -> None:
        self._content = self._content and stored and project not in self._tracer.silent

    @property
    def context(self) -> Context:
        """Where OpenTelemetry looks for it."""
        if self._context is None:
            self._context = trace.set_span_in_context(trace.NonRecordingSpan(self.identity), Context())
        return self._context

    @property
    def headers(self) -> Mapping[str, str]:
        known = self.identity
        if not known.is_valid:
            return {}
        named = f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags & 0xFF:02x}"
        state = known.trace_state.to_header()
        return {"traceparent": named, "tracestate": state} if state else {"traceparent": named}

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> Span:
        identity = self._tracer.identity(self, name, kind)
        begun = _OtlpSpan(self._tracer, self, identity, name, kind, time.time_ns())
        begun.set(attributes)
        return begun

    def begin_kept(self) -> KeptSpan:
        known = self._tracer.identity(self, "", "server")
        return KeptSpan(f"{known.trace_id:032x}", f"{known.span_id:016x}", time.time_ns(), dict(self.headers))

    def set(self, attributes: Attributes) -> None:
        self._attributes.update(attributes)

    def fail(self, error: str) -> None:
        self._attributes["error.type"] = error
        self._failed = True

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        own = self._attributes
        shared = {name: str(own[name])[:_NAME_LENGTH] for name in SHARED if name in own}
        self._tracer.histograms[name].record(value, {**shared, **(attributes or {})}, self.context)

    def leave(self) -> None:
        self._left = True

    def end(self, ago: float = 0.0) -> None:
        ended = time.time_ns() - int(ago * 1e9)
        self.measure(DURATIONS[str(self._attributes[OPERATION])], (ended - self._began) / 1e9)
        if self.identity.trace_flags.sampled:
            self._tracer.end(self._told(ended))

    def _told(self, ended: int) -> ReadableSpan:
        above = self._parent.identity if self._parent is not None else None
        return ReadableSpan(
            _sound(self._name[:_NAME_LENGTH]),
            self.identity,
            above if above is not None and above.is_valid else None,
            self._tracer.about,
            {
                name: _sound(value) if isinstance(value, str) else value
                for name, value in self._attributes.items()
            },
            kind=_KINDS[self._kind],
            status=_FAILED if self._failed else _UNSET,
            start_time=self._began,
            end_time=ended,
            instrumentation_scope=self._tracer.scope,
        )

    def __enter__(self) -> Self:
        # The MCP library looks for a span where OpenTelemetry has it, and tells servers of it.
        self._tokens = CURRENT.set(self), context.attach(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tokens is not None
        ours, theirs = self._tokens
        context.detach(theirs)
        CURRENT.reset(ours)
        if kind is not None and not self._failed:
            self.fail("cancelled" if issubclass(kind, asyncio.CancelledError) else kind.__name__)
        if not self._left:
            self.end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, fault, trace)


def obstacle(endpoint: str | None, seconds: float) -> str | None:
    """Why the collector at an endpoint (`Destination`) takes nothing; None: it does."""
    return refusal(Destination(endpoint, False, (), "").url("v1/traces"), seconds)


def _wanted(signal: str) -> bool:
    return os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") != "none"


def _sound(text: str) -> str:
    """As the protocol can carry it: a text that it cannot would cost all spans that are sent with it."""
    cut = text[:_LONGEST]
    return cut if cut.isascii() else cut.encode(errors="replace").decode()


def _processor(to: Destination) -> BatchSpanProcessor:
    """What was said takes room: there are fewer spans then."""
    queue, batch = (_FEWER, _FEWER // 4) if to.content else (None, None)
    if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ or "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in os.environ:
        queue = batch = None
    return BatchSpanProcessor(SpanExporter(to.url("v1/traces")), queue, max_export_batch_size=batch)


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
