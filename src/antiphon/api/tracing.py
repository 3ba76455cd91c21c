"""Traces at the edge: what a request is part of, and what became of its response."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.engine.spans import PREFIX, usage_of
from antiphon.protocol.request import CreateResponse
from antiphon.store.activity import ActivityRow
from antiphon.telemetry.histograms import FIRST_TOKEN
from antiphon.telemetry.tracing import CURRENT, HEADERS, OFF, Tracer, Value

_OF_CODEX = "ws_request_header_"
"""Before the name of a header that Codex sends in `client_metadata`."""


class Traced:
    """Wraps the application, where spans are told: what is done for a request is part of what its headers
    name. A WebSocket's handshake speaks for all that comes over it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracer = None if scope["type"] == "lifespan" else scope["state"]["services"].tracer
        if tracer is None:
            await self._app(scope, receive, send)
            return
        named = {name: value for name, value in scope["headers"] if name in HEADERS}
        with tracer.incoming({name.decode(): value.decode("latin-1") for name, value in named.items()}):
            await self._app(scope, receive, send)


def within(tracer: Tracer | None, request: CreateResponse) -> AbstractContextManager[object]:
    """What a response over a WebSocket is part of, where its frame says so: Codex names it in each."""
    if tracer is None or request.client_metadata is None:
        return OFF
    named = {name.decode(): request.client_metadata.get(f"{_OF_CODEX}{name.decode()}") for name in HEADERS}
    given = {name: value for name, value in named.items() if isinstance(value, str)}
    return tracer.incoming(given) if "traceparent" in given else OFF


def tell(row: ActivityRow) -> None:
    """What became of a response, for its span."""
    span = CURRENT.get()
    if span is not None:
        span.set(dict(_told(row)))
        if row.first_milliseconds is not None:
            span.measure(FIRST_TOKEN, row.first_milliseconds / 1000)
        if row.status in ("failed", "cancelled"):
            span.fail(row.error_code or row.status)


def _told(row: ActivityRow) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.response.id", row.response_id
    yield "gen_ai.request.model", row.model
    yield from usage_of(row)
    yield f"{PREFIX}.project", row.project
    yield f"{PREFIX}.status", row.status
    yield f"{PREFIX}.background", bool(row.background)
    if row.backend is not None:
        yield f"{PREFIX}.backend", row.backend
    if row.api_key is not None:
        yield f"{PREFIX}.api_key", row.api_key
    if row.conversation_id is not None:
        yield "gen_ai.conversation.id", row.conversation_id
    if row.first_milliseconds is not None:
        yield "gen_ai.response.time_to_first_chunk", row.first_milliseconds / 1000
