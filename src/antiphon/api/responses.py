"""/v1/responses (ENDPOINTS.md section 1)."""

from collections.abc import Sequence
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from antiphon.api import metrics, pages, sse, websocket
from antiphon.api.body import json, read_body
from antiphon.api.disconnect import connected
from antiphon.api.services import Services, project, services
from antiphon.engine.run import Run
from antiphon.protocol.counting import TokenCount
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.events import Event
from antiphon.protocol.parse import Parsed, parse_count, parse_create
from antiphon.protocol.response import Response
from antiphon.store.base import StoredResponse


async def create(request: Request) -> ASGIApp:
    """POST /responses"""
    held = services(request)
    server = held.config.server
    parsed = parse_create(await read_body(request, server.max_body_bytes), server.lenient)
    if parsed.request.stream:
        options = parsed.request.stream_options
        plain = options is not None and options.include_obfuscation is False
        log = _Log(held, project(request), parsed)
        frame = sse.frame if plain else sse.obfuscated_frame
        return sse.EventStream(log.batches(), frame, log.pulse, server.keep_alive)
    if parsed.request.stream_options is not None:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    async with connected(request.receive), held.engine.run(project(request), parsed) as run:
        response = await run.result()
    metrics.count_response(response)
    return json(response)


class _Log:
    """The log of a response that is made now."""

    def __init__(self, held: Services, project: str, parsed: Parsed) -> None:
        self._running = held.engine.run(project, parsed)
        self._run: Run | None = None

    async def batches(self) -> sse.Batches:
        async with self._running as self._run, aclosing(self._run.events()) as batches:
            async for told in batches:
                yield told
            metrics.count_response(self._run.machine.snapshot())

    def pulse(self) -> Sequence[Event]:
        return self._run.keep_alive() if self._run else ()


async def retrieve(request: Request) -> HttpResponse:
    """GET /responses/{id}"""
    pages.check_members(request.query_params, ("include", "stream", "starting_after", "include_obfuscation"))
    pages.includes(request.query_params)
    found = await _stored(request)
    if request.query_params.get("stream") == "true":
        raise InvalidRequest(
            "This response cannot be streamed because it was not created with background=true.",
            param="stream",
        )
    response = msgspec.json.decode(found.json, type=Response)
    response.output = [msgspec.Raw(item) for item in found.output]
    return json(response)


async def delete(request: Request) -> HttpResponse:
    """DELETE /responses/{id}"""
    response_id = request.path_params["response_id"]
    if not await services(request).store.delete_response(project(request), response_id):
        raise _not_found(response_id)
    return json({"id": response_id, "object": "response", "deleted": True})


async def cancel(request: Request) -> HttpResponse:
    """POST /responses/{id}/cancel"""
    await _stored(request)
    raise InvalidRequest("Cannot cancel a synchronous response.")


async def compact(request: Request) -> HttpResponse:
    """POST /responses/compact. The body is that of POST /responses, since Codex sends with it what it sends
    with every request; nothing is streamed or stored."""
    held = services(request)
    server = held.config.server
    parsed = parse_create(await read_body(request, server.max_body_bytes), server.lenient)
    async with connected(request.receive):
        return json(await held.engine.compact(project(request), parsed))


async def input_tokens(request: Request) -> HttpResponse:
    """POST /responses/input_tokens"""
    held = services(request)
    server = held.config.server
    parsed = parse_count(await read_body(request, server.max_body_bytes) or b"{}", server.lenient)
    async with connected(request.receive):
        return json(TokenCount(input_tokens=await held.engine.count(project(request), parsed)))


async def input_items(request: Request) -> HttpResponse:
    """GET /responses/{id}/input_items"""
    query = pages.page_query(request.query_params, ("include",))
    pages.includes(request.query_params)
    response_id = request.path_params["response_id"]
    page = await services(request).store.input_items(project(request), response_id, query)
    if page is None:
        raise _not_found(response_id)
    return pages.show_page(page)


async def _stored(request: Request) -> StoredResponse:
    response_id = request.path_params["response_id"]
    found = await services(request).store.response(project(request), response_id)
    if found is None:
        raise _not_found(response_id)
    return found


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id}' not found.", param="id")


routes: list[BaseRoute] = [
    Route("/v1/responses", create, methods=["POST"]),
    WebSocketRoute("/v1/responses", websocket.respond),
    Route("/v1/responses/compact", compact, methods=["POST"]),
    Route("/v1/responses/input_tokens", input_tokens, methods=["POST"]),
    Route("/v1/responses/{response_id}", retrieve, methods=["GET"]),
    Route("/v1/responses/{response_id}", delete, methods=["DELETE"]),
    Route("/v1/responses/{response_id}/cancel", cancel, methods=["POST"]),
    Route("/v1/responses/{response_id}/input_items", input_items, methods=["GET"]),
]
