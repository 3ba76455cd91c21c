"""/v1/responses (endpoints.md section 1)."""

from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from antiphon.api import admission, answered, pages, parsing, sse, websocket
from antiphon.api.body import json
from antiphon.api.disconnect import connected
from antiphon.api.replay import Replay
from antiphon.api.services import Services, project, services
from antiphon.engine.emission import AtOnce, Emit
from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol.counting import TokenCount
from antiphon.protocol.error_messages import unsupported
from antiphon.protocol.errors import InvalidRequest, NotFound, UpgradeRequired
from antiphon.protocol.parse import Parsed, parse_count
from antiphon.protocol.projection import Projection, projection
from antiphon.protocol.response import TERMINAL, Response
from antiphon.store.keys import KeyUse

_BETA = "beta"
"""The member with which the SDK asks for its beta types; the answers have their members anyway."""


async def create(request: Request) -> ASGIApp:
    """POST /responses"""
    held, own = services(request), project(request)
    parsed = await parsing.read(request, held.parse)
    if not parsed.request.stream and parsed.request.stream_options is not None:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    use = await admission.admit_response(request, parsed, held.engine.router)
    if parsed.request.background:
        return await _accept(request, parsed, use)
    if parsed.request.stream:
        options = parsed.request.stream_options
        plain = options is not None and options.include_obfuscation is False
        frames = sse.plain if plain else sse.obfuscated
        return sse.EventStream(partial(_execute, held, own, parsed, use), frames)
    with connected(request.scope):
        async with held.engine.run(own, parsed, use=use) as run:
            response = await run.result()
            headers = answered.headers(held.engine, run.plan)
    shows = run.shows
    shown = replace(response, output=shows.items(response.output)) if shows else response
    return json(shown, headers=headers)


async def upgrade(request: Request) -> HttpResponse:
    """GET /responses, with nothing that asks for a WebSocket. Codex goes on over HTTP at once when it hears
    426, and tries again for some seconds after anything else."""
    raise UpgradeRequired(
        "GET /v1/responses opens a WebSocket: send 'Upgrade: websocket', and let every proxy in between pass "
        "it on. Without one, send POST /v1/responses.",
        code="upgrade_required",
    )


async def _accept(request: Request, parsed: Parsed, use: KeyUse | None) -> ASGIApp:
    """A response in the background: queued, whatever becomes of this connection."""
    held, own = services(request), project(request)
    accepted = await held.background.accept(own, parsed, use)
    admission.hand_over(request.scope)
    response, headers = accepted.response, answered.headers(held.engine, accepted.plan)
    if parsed.request.stream:
        shows, seconds = projection(parsed.request.include), held.config.server.keep_alive
        return Replay(held.store.runs, own, response.id, -1, seconds, shows, headers, accepted.events)
    return json(response, headers=headers)


async def _execute(
    held: Services,
    project: str,
    parsed: Parsed,
    use: KeyUse | None,
    emit: Emit,
    at_once: AtOnce,
    begin: sse.Begin,
) -> None:
    """A response that somebody follows while it is made."""
    async with held.engine.run(project, parsed, use=use) as run:
        begin(partial(answered.headers, held.engine, run.plan))
        await run.execute(emit, held.config.server.keep_alive, run.shows, at_once)


async def retrieve(request: Request) -> ASGIApp:
    """GET /responses/{id}"""
    params = request.query_params
    pages.check_members(params, ("include", "stream", "starting_after", "include_obfuscation", _BETA))
    shows = pages.asked(params)
    response = await _stored(request, shows)
    if pages.boolean(params, "stream"):
        return await _replay(request, response, shows)
    if "starting_after" in params:
        raise InvalidRequest(
            "The 'starting_after' parameter is only allowed when 'stream' is true.", param="starting_after"
        )
    return json(response)


async def _replay(request: Request, response: Response, shows: Projection) -> ASGIApp:
    """The log of a background response, live or ended, without obfuscation (behaviours.md section 1.4)."""
    held = services(request)
    runs, after = held.store.runs, pages.number(request.query_params, "starting_after", default=-1)
    if not response.background:
        raise _not_streamed("background=true.")
    found = await runs.events_after(project(request), response.id, after)
    if found is None:
        raise _not_streamed("stream=true, or its events are kept no longer.")
    return Replay(runs, project(request), response.id, after, held.config.server.keep_alive, shows)


def _not_streamed(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"This response cannot be streamed because it was not created with {reason}", param="stream"
    )


async def delete(request: Request) -> HttpResponse:
    """DELETE /responses/{id}"""
    response_id = request.path_params["response_id"]
    if not await services(request).store.responses.delete(project(request), response_id):
        raise _not_found(response_id)
    return json({"id": response_id, "object": "response", "deleted": True})


async def cancel(request: Request) -> HttpResponse:
    """POST /responses/{id}/cancel"""
    shows = projection(None)
    response = await _stored(request, shows)
    if not response.background:
        raise InvalidRequest("Cannot cancel a synchronous response.")
    if response.status not in TERMINAL:
        await services(request).background.cancel(project(request), response.id)
        response = await _stored(request, shows)
    return json(response)


async def compact(request: Request) -> HttpResponse:
    """POST /responses/compact. The body is that of POST /responses, since Codex sends with it what it sends
    with every request; nothing is streamed or stored."""
    held = services(request)
    parsed = await parsing.read(request, held.parse)
    if parsed.request.background:
        raise unsupported("background", "a compaction is waited for")
    if parsed.request.has_agents:
        raise unsupported("multi_agent", "what several agents know is not compacted together")
    if parsed.request.moderation is not None:
        raise unsupported("moderation", "a compaction has no place for what is found")
    await admission.admit_response(request, parsed, held.engine.router)
    with connected(request.scope):
        compacted = await held.engine.compact(project(request), parsed)
    admission.settle(request.scope, compacted.usage.total_tokens)
    return json(compacted)


async def input_tokens(request: Request) -> HttpResponse:
    """POST /responses/input_tokens"""
    held = services(request)
    server, limits = held.config.server, held.config.limits
    count = partial(parse_count, lenient=server.lenient, most_items=limits.request_items)
    parsed = await parsing.read(request, count, empty=b"{}")
    with connected(request.scope):
        return json(TokenCount(input_tokens=await held.engine.count(project(request), parsed)))


async def input_items(request: Request) -> HttpResponse:
    """GET /responses/{id}/input_items"""
    query = pages.page_query(request.query_params, ("include", _BETA))
    shows = pages.asked(request.query_params)
    response_id = request.path_params["response_id"]
    page = await services(request).store.responses.input_items(project(request), response_id, query)
    if page is None:
        raise _not_found(response_id)
    return await pages.show_items(page, shows)


async def _stored(request: Request, shows: Projection) -> Response:
    response_id = request.path_params["response_id"]
    made = services(request).engine.making.get(project(request), response_id)
    found = await services(request).store.responses.get(project(request), response_id)
    if found is None:
        raise _not_found(response_id)
    if made is not None and not made.plan.request.background:
        live = made.log.machine.snapshot()  # of a successor the store has the beginning alone
        return replace(live, output=shows.items(live.output))
    response = msgspec.json.decode(found.json, type=Response)
    size = len(found.output) + in_bytes(sum(map(len, found.output)))
    response.output = await offload(size, _shown, found.output, shows)
    return response


def _shown(output: Sequence[bytes], shows: Projection) -> list[msgspec.Raw]:
    return [msgspec.Raw(shows.stored_item(item)) for item in output]


def _not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id}' not found.", param="id")


routes: list[BaseRoute] = [
    Route("/v1/responses", create, methods=["POST"]),
    Route("/v1/responses", upgrade, methods=["GET"]),
    WebSocketRoute("/v1/responses", websocket.respond),
    Route("/v1/responses/compact", compact, methods=["POST"]),
    Route("/v1/responses/input_tokens", input_tokens, methods=["POST"]),
    Route("/v1/responses/{response_id}", retrieve, methods=["GET"]),
    Route("/v1/responses/{response_id}", delete, methods=["DELETE"]),
    Route("/v1/responses/{response_id}/cancel", cancel, methods=["POST"]),
    Route("/v1/responses/{response_id}/input_items", input_items, methods=["GET"]),
]
