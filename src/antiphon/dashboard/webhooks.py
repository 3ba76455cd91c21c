"""Deliveries of webhooks: what was sent, what waits, what was given up, and sending one again."""

from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api.services import project, services
from antiphon.dashboard.access import check_token
from antiphon.dashboard.form import form_of
from antiphon.dashboard.page import next_page, page, page_query, routes_of
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.store.webhooks import DeliveryStatus
from antiphon.webhooks.redelivery import redeliver

STATUSES = get_args(DeliveryStatus)


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/webhooks"""
    status = request.query_params.get("status", "")
    if status not in ("", *STATUSES):
        raise InvalidRequest("status is pending, delivered or failed.", param="status")
    wanted = cast(DeliveryStatus, status) if status else None
    found = await services(request).store.webhooks.page(project(request), page_query(request), wanted)
    data = {
        "deliveries": found.rows,
        "status": status,
        "statuses": STATUSES,
        "next": next_page(request, found),
    }
    return await page(request, "webhooks.html", data)


async def again(request: Request) -> HttpResponse:
    """POST /dashboard/webhooks/{delivery_id}/again"""
    check_token(request, (await form_of(request)).get("csrf", ""))
    held = services(request)
    found = await held.store.webhooks.get(request.path_params["delivery_id"])
    if found is None or found.project != project(request):
        raise NotFound("There is no such delivery.")
    if not await redeliver(held.store, held.config.webhooks, found):
        raise InvalidRequest(f"It was for the endpoint '{found.endpoint}', which is not there any more.")
    held.webhooks.wake()
    return RedirectResponse("/dashboard/webhooks", 303)


routes = [
    *routes_of("/dashboard/webhooks", show),
    Route("/dashboard/webhooks/{delivery_id}/again", again, methods=["POST"]),
]
