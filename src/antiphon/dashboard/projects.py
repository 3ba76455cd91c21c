"""Which project an administrator looks at. Everybody else looks at that of the key."""

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api.callers import DEFAULT_PROJECT
from antiphon.api.services import services
from antiphon.dashboard.access import PROJECT, check_token, visitor
from antiphon.dashboard.form import form_of
from antiphon.dashboard.page import page, routes_of
from antiphon.protocol.errors import InvalidRequest, PermissionDenied

_MOST = 1000
"""Keys whose projects are known, the newest ones."""
_LONGEST = 64


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/projects: those that keys are of."""
    _check_admin(request)
    held = services(request)
    keys = await held.store.keys.newest(None, _MOST)
    known = {*held.config.projects_by_key().values(), *(key.project for key in keys), DEFAULT_PROJECT}
    data = {"projects": sorted(known), "project": visitor(request).project}
    return await page(request, "projects.html", data)


async def choose(request: Request) -> HttpResponse:
    """POST /dashboard/projects: pages are of that one from now on, until the browser is closed."""
    form = await form_of(request)
    check_token(request, form.get("csrf", ""))
    _check_admin(request)
    project = form.get("project", "")
    if not (project.isascii() and project.isprintable() and 1 <= len(project) <= _LONGEST):
        raise InvalidRequest("There is no such project.", param="project")
    answer = RedirectResponse("/dashboard", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(PROJECT, project, path="/dashboard", secure=secure, httponly=True, samesite="strict")
    return answer


def _check_admin(request: Request) -> None:
    """Raises PermissionDenied."""
    if not visitor(request).caller.admin:
        raise PermissionDenied("Only an administrator looks at other projects.")


routes = [
    *routes_of("/dashboard/projects", show),
    Route("/dashboard/projects", choose, methods=["POST"]),
]
