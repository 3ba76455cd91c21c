"""/v1/webhook_endpoints and /v1/webhook_event_types (endpoints.md section 7)."""

import time
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.guard.addresses import is_public, parts_of, written_address
from antiphon.protocol.errors import InvalidRequest, NotFound, Unavailable
from antiphon.protocol.parse import parse
from antiphon.protocol.webhooks import (
    EVENTS,
    CreateEndpoint,
    RotateSecret,
    SampleRequest,
    SampleResult,
    UpdateEndpoint,
    WebhookEndpoint,
)
from antiphon.store.webhook_endpoints import MOST, EndpointChange, EndpointRow
from antiphon.webhooks.sending import NotSent
from antiphon.webhooks.stored import KEPT_SECONDS, StoredEndpoints


async def create(request: Request) -> HttpResponse:
    """POST /webhook_endpoints"""
    asked = await parsing.read_as(request, CreateEndpoint)
    _check_url(request, asked.url)
    made = await _stored(request).create(project(request), asked.name, asked.url, _once(asked.event_types))
    if made is None:
        raise InvalidRequest(
            f"A project has at most {MOST} webhook endpoints: delete one first.",
            code="too_many_webhook_endpoints",
        )
    return json(_shown(*made))


async def list_endpoints(request: Request) -> HttpResponse:
    """GET /webhook_endpoints"""
    query = pages.page_query(request.query_params)
    page = await services(request).store.webhook_endpoints.page(project(request), query)
    return pages.show_rows(page, _shown)


async def retrieve(request: Request) -> HttpResponse:
    """GET /webhook_endpoints/{id}"""
    return json(_shown(await _row(request)))


async def update(request: Request) -> HttpResponse:
    """POST /webhook_endpoints/{id}"""
    asked = await parsing.read_as(request, UpdateEndpoint)
    if asked.url is not None:
        _check_url(request, asked.url)
    events = None if asked.event_types is None else _once(asked.event_types)
    change = EndpointChange(int(time.time()), asked.name, asked.url, events)
    rows = services(request).store.webhook_endpoints
    return json(_shown(_found(request, await rows.update(project(request), _id(request), change))))


async def delete(request: Request) -> HttpResponse:
    """DELETE /webhook_endpoints/{id}. What waits for it is given up."""
    if not await services(request).store.webhook_endpoints.delete(project(request), _id(request)):
        raise _not_found(request)
    return json({"id": _id(request), "object": "webhook_endpoint.deleted", "deleted": True})


async def rotate(request: Request) -> HttpResponse:
    """POST /webhook_endpoints/{id}/rotate_secret"""
    lenient = services(request).config.server.lenient
    asked = await parsing.read(request, partial(parse, kind=RotateSecret, lenient=lenient), empty=b"{}")
    kept = KEPT_SECONDS if asked.keep_old_secret_active_for_24_hours else 0
    made = await _stored(request).rotate(project(request), _id(request), kept)
    if made is None:
        raise _not_found(request)
    return json(_shown(*made))


async def test(request: Request) -> HttpResponse:
    """POST /webhook_endpoints/{id}/test: an event about a response that there is not, sent once."""
    asked = await parsing.read_as(request, SampleRequest)
    endpoint = _stored(request).opened(await _row(request))
    if endpoint is None:
        raise Unavailable("The endpoint's secret was sealed with another key: rotate it.")
    try:
        status = await services(request).webhooks.test(endpoint, asked.event_type)
    except NotSent as fault:
        raise InvalidRequest(
            f"The event could not be delivered to the endpoint. {fault}", code="webhook_delivery_failed"
        ) from None
    return json(
        SampleResult(webhook_endpoint_id=endpoint.name, event_type=asked.event_type, status_code=status)
    )


async def event_types(request: Request) -> HttpResponse:
    """GET /webhook_event_types"""
    return json({"object": "list", "data": EVENTS})


def _stored(request: Request) -> StoredEndpoints:
    return services(request).webhooks.stored


def _id(request: Request) -> str:
    return str(request.path_params["endpoint_id"])


async def _row(request: Request) -> EndpointRow:
    rows = services(request).store.webhook_endpoints
    return _found(request, await rows.get(project(request), _id(request)))


def _found(request: Request, row: EndpointRow | None) -> EndpointRow:
    if row is None:
        raise _not_found(request)
    return row


def _not_found(request: Request) -> NotFound:
    return NotFound(f"No webhook endpoint found with id '{_id(request)}'.", param="webhook_endpoint_id")


def _once(events: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(events))


def _check_url(request: Request, url: str) -> None:
    """Raises InvalidRequest for one that is not of a public server over TLS, unless the operator allows it.
    Where a name leads is looked at when something is sent."""
    parts = parts_of(url)
    if parts is None:
        raise _bad("It must be a URL that begins with https://.")
    if services(request).config.outbound.allow_private:
        return
    if parts.scheme != "https":
        raise _bad(
            "It must begin with https://, unless this server's operator sets `[outbound] allow_private`."
        )
    address = written_address(parts.hostname or "")
    if address is not None and not is_public(address):
        raise _bad("It leads to an address that is not public ([outbound] allow_private of this server).")


def _bad(why: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'url'. {why}", param="url", code="invalid_url")


def _shown(row: EndpointRow, secret: str | None = None) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=row.id,
        name=row.name,
        url=row.url,
        event_types=list(row.events),
        created_at=row.created_at,
        updated_at=row.updated_at,
        signing_secret_hint=row.secret.hint,
        signing_secret=secret,
    )


_ONE = "/v1/webhook_endpoints/{endpoint_id}"

routes = [
    Route("/v1/webhook_endpoints", create, methods=["POST"]),
    Route("/v1/webhook_endpoints", list_endpoints, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/rotate_secret", rotate, methods=["POST"]),
    Route(f"{_ONE}/test", test, methods=["POST"]),
    Route("/v1/webhook_event_types", event_types, methods=["GET"]),
]
