"""The numbers of this process, in Prometheus' form. docs/telemetry.md says what each one is.

Counters are looked up once for each combination of labels: the client does it under a lock.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from antiphon.telemetry import worker_files
from antiphon.telemetry.tally import Count, Tally, Values

if worker_files.is_shared():
    worker_files.keep_in_files()

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
Outcome = Literal["completed", "incomplete", "failed", "cancelled"]

registry = CollectorRegistry()
_tally = None if worker_files.is_shared() else Tally(registry)
"""None: others look at the numbers of this process, also when it was killed."""
_requests = Counter(
    "antiphon_http_requests", "HTTP requests", ("method", "route", "status"), registry=registry
)
_responses = Counter("antiphon_responses", "Responses by how they ended", ("status",), registry=registry)
_by_backend = Counter(
    "antiphon_backend_responses", "Responses by who answered", ("backend", "status"), registry=registry
)
_errors = Counter("antiphon_errors", "Responses that failed, by their code", ("code",), registry=registry)
_tokens = Counter("antiphon_tokens", "Tokens read and written by models", ("kind",), registry=registry)
_duration = Histogram(
    "antiphon_response_seconds", "From a request to its end", buckets=_SECONDS, registry=registry
)
_first = Histogram(
    "antiphon_first_output_seconds", "From a request to its first output", buckets=_SECONDS, registry=registry
)
_calls = Counter(
    "antiphon_tool_calls", "Tool calls that the server ran", ("type", "outcome"), registry=registry
)
_call_seconds = Histogram(
    "antiphon_tool_call_seconds", "How long they took", ("type",), buckets=_SECONDS, registry=registry
)
_upstream = Counter(
    "antiphon_upstream_requests",
    "Requests to upstreams by what came",
    ("server", "status"),
    registry=registry,
)
_up = Gauge(
    "antiphon_upstream_up",
    "Whether a server answered when it was last asked",
    ("server",),
    registry=registry,
    multiprocess_mode="mostrecent",
)
connections = Gauge(
    "antiphon_open_connections", "Connections of clients", registry=registry, multiprocess_mode="liveall"
)
runs = Gauge(
    "antiphon_background_runs", "Background runs at work", registry=registry, multiprocess_mode="livesum"
)
loop_lag = Gauge(
    "antiphon_event_loop_lag_seconds",
    "The longest time for which the event loop was held, of the last ten seconds",
    registry=registry,
    multiprocess_mode="livemax",
)


def count_request(method: str, route: str, status: int) -> None:
    """An HTTP request was answered; 0: its client was gone."""
    _counter(_requests, method, route, str(status or "gone")).inc()


def count_end(status: str, backend: str | None, error: str | None) -> None:
    """A response ended, with the code of its error if it failed."""
    for counter in _of_end(status, backend, error):
        counter.inc()


def count_tokens(read: int, written: int) -> None:
    """As servers say it, which may be nonsense: a counter takes nothing that is below zero."""
    _read_tokens.inc(max(read, 0))
    _written_tokens.inc(max(written, 0))


def observe_response(seconds: float, first: float | None) -> None:
    """`first`: when it had its first output; None: it had none."""
    _durations.observe(seconds)
    if first is not None:
        _firsts.observe(first)


def count_call(kind: str, outcome: Outcome, seconds: float) -> None:
    """A tool call of ours ended. `kind`: the type of its item."""
    _counter(_calls, kind, outcome).inc()
    _histogram(_call_seconds, kind).observe(seconds)


def count_upstream(server: str, status: str) -> None:
    """A server was asked. `status` is that of HTTP, or `unreachable`, `silent` or `broken`."""
    _counter(_upstream, server, status).inc()


def set_up(server: str, up: bool) -> None:
    """Whether a server answers, as far as was found out just now."""
    _up.labels(server).set(up)


@cache
def _counter(family: Counter, *labels: str) -> Counter | Count:
    counter = family.labels(*labels)
    return counter if _tally is None else _tally.count(counter)


@cache
def _histogram(family: Histogram, *labels: str) -> Histogram | Values:
    histogram = family.labels(*labels) if labels else family
    return histogram if _tally is None else _tally.values(histogram)


@cache
def _of_end(status: str, backend: str | None, error: str | None) -> Sequence[Counter | Count]:
    counters = [_counter(_responses, status)]
    if backend is not None:
        counters.append(_counter(_by_backend, backend, status))
    if error is not None:
        counters.append(_counter(_errors, error))
    return counters


# Both are there from the start: a rate needs a zero to begin with.
_read_tokens, _written_tokens = _counter(_tokens, "input"), _counter(_tokens, "output")
_durations, _firsts = _histogram(_duration), _histogram(_first)
