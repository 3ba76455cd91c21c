"""Asking again, with changes: the request of a response in a form, whose answer is seen growing."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import admission, parsing
from antiphon.api.services import project, services
from antiphon.dashboard.access import check_token
from antiphon.dashboard.asked import asked, with_data
from antiphon.dashboard.code import lacks
from antiphon.dashboard.form import LARGE, form_of
from antiphon.dashboard.head import helpers_of, place_of
from antiphon.dashboard.page import page, routes_of
from antiphon.dashboard.shown import pretty
from antiphon.protocol.errors import ApiError, InvalidRequest
from antiphon.protocol.parse import parse_create

_GROWING = {"background": True, "stream": True}
"""What has a log that can be seen while it grows."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/again"""
    response, body = await asked(request)
    return await _form(request, response, body, _fields(body))


async def ask(request: Request) -> HttpResponse:
    """POST /dashboard/responses/{response_id}/again"""
    fields = await form_of(request, LARGE)
    check_token(request, fields.get("csrf", ""))
    try:
        made = await _accepted(request, fields)
    except ApiError as error:
        if error.status >= 500:
            raise
        response, body = await asked(request)
        return await _form(request, response, body, fields, error)
    return RedirectResponse(place_of(made), 303)


async def _accepted(request: Request, fields: Mapping[str, str]) -> str:
    """The id of the new response. Raises ApiError."""
    held, owner = services(request), project(request)
    body = await with_data(request, _body(fields))
    limits = held.config.limits
    make = partial(parse_create, lenient=held.config.server.lenient, most_items=limits.request_items)
    parsed = await parsing.parsed(body, make, limits.request_values)
    use = await admission.admit_response(request, parsed, held.engine.router)
    response = (await held.background.accept(owner, parsed, use)).response
    admission.hand_over(request.scope)
    return response.id


def _fields(body: Mapping[str, Any]) -> dict[str, str]:
    """What is in the form: a text as text, all else as JSON."""
    rest = {name: value for name, value in body.items() if name not in ("model", "background", "stream")}
    text = rest.pop("input") if isinstance(rest.get("input"), str) else ""
    return {"model": body["model"], "input": text, "request": pretty(rest)}


def _body(fields: Mapping[str, str]) -> dict[str, Any]:
    """Raises InvalidRequest."""
    try:
        body = msgspec.json.decode(fields.get("request") or "{}")
    except (msgspec.DecodeError, RecursionError) as fault:
        raise InvalidRequest(f"The request is no JSON: {fault}", param="request") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request is an object.", param="request")
    given = {name: fields[name] for name in ("model", "input") if fields.get(name)}
    return {**body, **given, **_GROWING}


async def _form(
    request: Request,
    response: Any,
    body: Mapping[str, Any],
    fields: Mapping[str, str],
    error: ApiError | None = None,
) -> HttpResponse:
    models = [model.id for model in await services(request).engine.router.models()]
    data = {
        "response": response,
        "request": body,
        "fields": {name: fields.get(name, "") for name in ("model", "input", "request")},
        "models": models,
        "error": error and error.body(),
    }
    helpers = {**helpers_of(response["id"]), "lacks": lacks(dict(body))}
    return await page(request, "again.html", data, error.status if error else 200, helpers)


_PLACE = "/dashboard/responses/{response_id}/again"
routes = [*routes_of(_PLACE, show), Route(_PLACE, ask, methods=["POST"])]
