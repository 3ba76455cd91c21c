"""Spans, handed to a collector over OTLP by OpenTelemetry's SDK. Needs the extra `telemetry`.

The SDK has a thread of its own that sends, and a queue of bounded length before it: what it does not get rid
of is dropped. Its variables (`OTEL_…`) hold wherever nothing else is said here.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from contextvars import Token
from threading import Thread
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from msgspec import Struct
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from antiphon.telemetry.exporting import Spans, refusal_of, silence_library
from antiphon.telemetry.tracing import CURRENT, Attributes, KeptSpan, Kind, Span

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
END_SECONDS: Final = 2.0
"""What is still here when the server stops has so long to be sent."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Destination(Struct, frozen=True):
    """Where to, and what."""

    endpoint: str | None
    """Of the collector, without `/v1/traces`; None: what `OTEL_EXPORTER_OTLP_…` say."""
    content: bool
    """Whether spans have what was said."""
    version: str
    """Of this program."""


class _Ids(RandomIdGenerator):
    """Ids that are random, but for a span that has one already."""

    kept: KeptSpan | None = None

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.kept is None else int(self.kept.span_id, 16)

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.kept is None else int(self.kept.trace_id, 16)


class OtlpTracer:
    """Spans of this process. Use it in one thread."""

    def __init__(self, to: Destination) -> None:
        silence_library()
        self.content = to.content
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=_resource(to.version), shutdown_on_exit=False, id_generator=self._ids
        )
        if os.environ.get("OTEL_TRACES_EXPORTER") != "none":
            exporter = Spans(OTLPSpanExporter(endpoint=_path(to.endpoint, "v1/traces")))
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("antiphon", to.version)

    def incoming(self, headers: Mapping[str, str]) -> Span:
        """See `tracing.Tracer`; so for the others."""
        found = trace.get_current_span(_PROPAGATOR.extract(headers, Context()))
        return _OtlpSpan(self, found)

    def resume(self, name: str, kind: Kind, kept: KeptSpan | None) -> Span:
        if kept is None:
            return self.begin(name, kind, {}, Context())
        self._ids.kept = kept
        try:
            return self.begin(name, kind, {}, _PROPAGATOR.extract(kept.parent, Context()), kept.began)
        finally:
            self._ids.kept = None

    def begin(
        self, name: str, kind: Kind, attributes: Attributes, within: Context, began: int | None = None
    ) -> Span:
        """A span that is part of what `within` has."""
        span = self._tracer.start_span(name, within, _KINDS[kind], attributes, start_time=began)
        return _OtlpSpan(self, span)

    def kept(self, parent: "_OtlpSpan") -> KeptSpan:
        """A span that begins now."""
        known = parent.identity
        trace_id = known.trace_id if known.is_valid else self._ids.generate_trace_id()
        span_id = self._ids.generate_span_id()
        return KeptSpan(f"{trace_id:032x}", f"{span_id:016x}", time.time_ns(), dict(parent.headers))

    async def close(self) -> None:
        # A receiver that hangs holds the SDK's shutdown up, so that has a thread that nobody need wait for.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, END_SECONDS)


class _OtlpSpan:
    """A span of OpenTelemetry's."""

    def __init__(self, tracer: OtlpTracer, span: trace.Span) -> None:
        self.content = tracer.content
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())
        self._headers: Mapping[str, str] | None = None
        self._left = False
        self._tokens: tuple[Token[Span | None], Token[Context]] | None = None

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
        return self._tracer.begin(name, kind, attributes, self._context)

    def begin_kept(self) -> KeptSpan:
        return self._tracer.kept(self)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error: str) -> None:
        self._span.set_attribute("error.type", error)
        self._span.set_status(Status(StatusCode.ERROR))

    def measure(self, name: str, value: float, attributes: Attributes) -> None:
        return

    def leave(self) -> None:
        self._left = True

    def end(self, ago: float = 0.0) -> None:
        self._span.end(time.time_ns() - int(ago * 1e9))

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


def obstacle(endpoint: str | None, seconds: float) -> str | None:
    """Why the collector at an endpoint (`Destination`) takes nothing; None: it does."""
    return refusal_of(OTLPSpanExporter(endpoint=_path(endpoint, "v1/traces"), timeout=seconds))


def _path(endpoint: str | None, path: str) -> str | None:
    return None if endpoint is None else f"{endpoint.rstrip('/')}/{path}"


def _resource(version: str) -> Resource:
    """What tells this process from others; what the variables say wins."""
    own = Resource(
        {"service.name": "antiphon", "service.version": version, "service.instance.id": str(uuid4())}
    )
    return own.merge(OTELResourceDetector().detect())
