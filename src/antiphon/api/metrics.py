"""What `/metrics` shows, in Prometheus' form."""

from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import Scope

from antiphon.api.services import project, services
from antiphon.protocol.response import Response

registry = CollectorRegistry()
_requests = Counter(
    "antiphon_http_requests", "HTTP requests", ("method", "route", "status"), registry=registry
)
_responses = Counter("antiphon_responses", "Responses by how they ended", ("status",), registry=registry)
_tokens = Counter("antiphon_tokens", "Tokens read and written by models", ("kind",), registry=registry)
_input_tokens, _output_tokens = _tokens.labels("input"), _tokens.labels("output")


def count_request(scope: Scope, status: int) -> None:
    """Count an answered request, under the pattern of its route: ids would make a series each."""
    route = scope.get("route")
    path = getattr(route, "path", "unknown")
    _requests_of(scope["method"], path, status).inc()


def count_response(response: Response) -> None:
    """Count a response that has ended."""
    _responses_of(response.status).inc()
    if response.usage is not None:
        _input_tokens.inc(response.usage.input_tokens)
        _output_tokens.inc(response.usage.output_tokens)


@cache  # the client looks its labels up under a lock, and keeps them all as well
def _requests_of(method: str, path: str, status: int) -> Counter:
    return _requests.labels(method, path, str(status or "gone"))


@cache
def _responses_of(status: str) -> Counter:
    return _responses.labels(status)


async def show(request: Request) -> HttpResponse:
    """GET /metrics. Of what is stored whoever asks sees only his own project's part."""
    asking = project(request)
    stored = await services(request).store.usage.stored(asking)
    shown = generate_latest(registry) + (b"" if stored is None else _shown(asking, stored))
    return HttpResponse(shown, media_type=CONTENT_TYPE_LATEST)


def _shown(project: str, stored: int) -> bytes:
    own = CollectorRegistry()
    gauge = Gauge("antiphon_stored_bytes", "Bytes that the project keeps", ("project",), registry=own)
    gauge.labels(project).set(stored)
    return generate_latest(own)
