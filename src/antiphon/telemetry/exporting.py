"""OpenTelemetry's exporters: they say once when a collector takes nothing, and once when it does again."""

import logging
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from antiphon.telemetry.counted import Counted

log = structlog.get_logger()


class _Heard(logging.Handler):
    """Keeps what the library has to say, for each of its threads, instead of writing it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if not self.first:
            self._said.first = _words(record)

    @property
    def first(self) -> str:
        """What was said first in this thread since `forget`: what comes later names no cause."""
        return getattr(self._said, "first", "")

    def forget(self) -> None:
        self._said.first = ""


def _words(record: logging.LogRecord) -> str:
    """The fault that it is about, if there is one, else what it says."""
    fault = next((each for each in record.args or () if isinstance(each, Exception)), None)
    if fault is None:
        return record.getMessage()
    while isinstance(inner := getattr(fault, "reason", None) or next(iter(fault.args), None), Exception):
        fault = inner
    return str(fault).rpartition(": ")[2]


_heard = _Heard()


def silence_library() -> None:
    """It would write lines to our log for each attempt."""
    library = logging.getLogger("opentelemetry")
    if _heard not in library.handlers:
        library.addHandler(_heard)
        library.propagate = False


class Outage:
    """Whether `what` gets through."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing = False

    def note(self, *, sent: bool) -> None:
        """How an attempt went, in the thread that made it."""
        if sent is self._failing:
            self._failing = not sent
            if sent:
                log.info(f"{self._what} are exported again")
            else:
                log.warning(f"{self._what} cannot be exported, and are dropped", reason=_heard.first)
        _heard.forget()


class SpanExporter(OTLPSpanExporter):
    """`endpoint`: with its path; None: what the library's variables say."""

    def __init__(self, endpoint: str | None) -> None:
        super().__init__(endpoint)
        self._outage = Outage("traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._outage.note(sent=result is SpanExportResult.SUCCESS)
        return result


class MetricExporter(OTLPMetricExporter):
    """The same for metrics, and for what was `counted` beside them."""

    def __init__(self, endpoint: str | None, counted: Counted) -> None:
        super().__init__(endpoint)
        self._outage = Outage("metrics")
        self._counted = counted

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
    ) -> MetricExportResult:
        (own,) = metrics_data.resource_metrics
        counts = ScopeMetrics(InstrumentationScope("antiphon"), self._counted.metrics(), "")
        both = ResourceMetrics(own.resource, [*own.scope_metrics, counts], own.schema_url)
        result = super().export(MetricsData([both]), timeout_millis, **more)
        self._outage.note(sent=result is MetricExportResult.SUCCESS)
        return result


def refusal(endpoint: str | None, seconds: float) -> str | None:
    """Why a collector takes no spans; None: it does."""
    silence_library()
    _heard.forget()
    exporter = OTLPSpanExporter(endpoint, timeout=seconds)
    try:
        return None if exporter.export(()) is SpanExportResult.SUCCESS else _heard.first
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
