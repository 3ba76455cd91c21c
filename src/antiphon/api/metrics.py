"""What `/metrics` shows, of all workers together."""

import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import Scope

from antiphon.api.services import Services, project, services
from antiphon.store.activity import ActivityRow
from antiphon.telemetry import metrics, worker_files


def count_request(scope: Scope, status: int) -> None:
    """Count an answered request, under the pattern of its route: ids would make a series each."""
    route = scope.get("route")
    metrics.count_request(scope["method"], getattr(route, "path", "unknown"), status)


def count_response(row: ActivityRow) -> None:
    """Count a response that has ended."""
    metrics.count_end(row.status, row.backend, row.error_code if row.status == "failed" else None)
    metrics.count_tokens(row.input_tokens, row.output_tokens)
    first = row.first_milliseconds
    metrics.observe_response(row.milliseconds / 1000, None if first is None else first / 1000)


async def show(request: Request) -> HttpResponse:
    """GET /metrics. Of what is stored whoever asks sees only his own project's part."""
    registry = worker_files.of_all_workers() if worker_files.is_shared() else metrics.registry
    shown = generate_latest(registry) + await _stored(services(request), project(request))
    return HttpResponse(shown, media_type=CONTENT_TYPE_LATEST)


async def _stored(held: Services, project: str) -> bytes:
    """What the store says at this moment."""
    now, own = time.time(), CollectorRegistry()
    waiting = Gauge("antiphon_queue_length", "What waits to be done", ("queue",), registry=own)
    age = Gauge("antiphon_queue_age_seconds", "How long the oldest has waited", ("queue",), registry=own)
    runs = await held.store.runs.waiting()
    waiting.labels("background").set(runs.count)
    age.labels("background").set(0 if runs.since is None else max(0.0, now - runs.since))
    waiting.labels("jobs").set(await held.store.work.waiting())
    stored = await held.store.usage.stored(project)
    if stored is not None:
        kept = Gauge("antiphon_stored_bytes", "Bytes that the project keeps", ("project",), registry=own)
        kept.labels(project).set(stored)
    return generate_latest(own)
