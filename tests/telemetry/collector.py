"""A collector that takes OTLP over HTTP, as the OpenTelemetry Collector does."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PATIENCE = 120.0
"""Seconds for what must come."""


@dataclass(frozen=True)
class Span:
    """A span, as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    attributes: dict[str, Any]
    failed: bool
    began: int
    ended: int
    resource: dict[str, Any]

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}"


class Collector:
    """Use it as a context manager. `status` is what it answers; with `hangs` it never does."""

    def __init__(self, status: int = 200, *, hangs: bool = False) -> None:
        self.status = status
        self.spans: list[Span] = []
        self.metrics: list[tuple[dict[str, Any], Metric]] = []
        """With the resource that they are about."""
        self.requests: list[str] = []
        """The paths that were asked for."""
        self.headers: list[dict[str, str]] = []
        self._hangs = hangs
        self._over = threading.Event()
        self._news = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, enough: Callable[[Self], Any]) -> Any:
        """What `enough` finds, as soon as it is true."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while not (found := enough(self)):
                assert self._news.wait(end - time.monotonic()), f"it did not come; there are {self.names()}"
        return found

    def wait_spans(self, count: int) -> Sequence[Span]:
        """All spans, once there are so many."""
        self.wait(lambda here: len(here.spans) >= count)
        return self.spans

    def wait_span(self, name: str) -> Span:
        """The first of that name."""
        found: Span = self.wait(lambda here: next((each for each in here.spans if each.name == name), None))
        return found

    def children(self, span: Span) -> list[Span]:
        return [each for each in self.spans if each.parent_id == span.span_id]

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        with self._news:
            self.requests.append(path)
            self.headers.append(headers)
            if self.status == 200 and path.endswith("/v1/traces"):
                self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            elif self.status == 200 and path.endswith("/v1/metrics"):
                self.metrics += _metrics(ExportMetricsServiceRequest.FromString(body))
            self._news.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers.get("Content-Encoding") == "gzip"
                collector._take(self.path, dict(self.headers), gzip.decompress(body) if packed else body)
                if collector._hangs:
                    collector._over.wait()
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        return Handler


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = plain(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _span(span, resource)


def _span(span: Sent, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        attributes=plain(span.attributes),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        resource=resource,
    )


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[dict[str, Any], Metric]]:
    for of_resource in request.resource_metrics:
        resource = plain(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                yield resource, metric


def plain(attributes: Sequence[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
