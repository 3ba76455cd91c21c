"""API keys: listed for whoever is signed in, made, limited and revoked by an administrator.

A key is shown once, in the answer to the form that made it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api.services import services
from antiphon.dashboard.access import check_token, visitor
from antiphon.dashboard.form import form_of
from antiphon.dashboard.page import page, routes_of
from antiphon.keys.issuing import BadKey, Issuer, NewKey, shown
from antiphon.protocol.errors import InvalidRequest, PermissionDenied
from antiphon.store.keys import KeyLimits

MOST = 500
"""Keys that are shown, the newest ones."""
_NUMBERS = ("requests_per_minute", "tokens_per_minute", "concurrency", "token_budget")


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/keys"""
    return await _page(request, None)


async def create(request: Request) -> HttpResponse:
    """POST /dashboard/keys"""
    form = await _administrators(request)
    project = form.get("project", "").strip() or visitor(request).project
    with _refusals():
        new = await _issuer(request).create(
            project, form.get("name", "").strip(), _limits(form), _ends(form), admin="admin" in form
        )
    return await _page(request, new)


async def limit(request: Request) -> HttpResponse:
    """POST /dashboard/keys/{key_id}/limit: what the form leaves empty is no limit any more."""
    form = await _administrators(request)
    with _refusals():
        await _issuer(request).limit(request.path_params["key_id"], _limits(form), _ends(form))
    return RedirectResponse("/dashboard/keys", 303)


async def revoke(request: Request) -> HttpResponse:
    """POST /dashboard/keys/{key_id}/revoke"""
    await _administrators(request)
    with _refusals():
        await _issuer(request).revoke(request.path_params["key_id"])
    return RedirectResponse("/dashboard/keys", 303)


async def _page(request: Request, new: NewKey | None) -> HttpResponse:
    who = visitor(request)
    rows = await services(request).store.keys.newest(None if who.caller.admin else who.project, MOST)
    data = {"keys": [shown(row) for row in rows], "may_change": who.caller.admin}
    return await page(request, "keys.html", data, helpers={"new": new})


async def _administrators(request: Request) -> Mapping[str, str]:
    """The form of an administrator. Raises PermissionDenied."""
    form = await form_of(request)
    check_token(request, form.get("csrf", ""))
    if not visitor(request).caller.admin:
        raise PermissionDenied("Only the key of an administrator makes, limits and revokes keys.")
    return form


def _issuer(request: Request) -> Issuer:
    return Issuer(services(request).store.keys, None)


@contextmanager
def _refusals() -> Iterator[None]:
    """What a key cannot be, as answers."""
    try:
        yield
    except BadKey as error:
        raise InvalidRequest(str(error)) from None


def _limits(form: Mapping[str, str]) -> KeyLimits:
    """Raises InvalidRequest."""
    numbers = {name: _number(name, form[name]) for name in _NUMBERS if form.get(name)}
    models, tiers = (form.get(name, "").replace(",", " ").split() for name in ("models", "service_tiers"))
    window = "day" if form.get("budget_window") == "day" else "month"
    return KeyLimits(models=tuple(models), service_tiers=tuple(tiers), budget_window=window, **numbers)  # type: ignore[arg-type]


def _number(name: str, given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 17):
        raise InvalidRequest(f"{name} is a number.", param=name)
    return int(given)


def _ends(form: Mapping[str, str]) -> int | None:
    """When a day begins, in UTC. Raises InvalidRequest."""
    given = form.get("expires")
    if not given:
        return None
    try:
        return int(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        raise InvalidRequest("expires is a day such as 2027-01-31.", param="expires") from None


routes = [
    *routes_of("/dashboard/keys", show),
    Route("/dashboard/keys", create, methods=["POST"]),
    Route("/dashboard/keys/{key_id}/limit", limit, methods=["POST"]),
    Route("/dashboard/keys/{key_id}/revoke", revoke, methods=["POST"]),
]
