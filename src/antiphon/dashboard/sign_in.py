"""Signing in with a key, and out."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.dashboard.access import COOKIE, Access, check_token
from antiphon.dashboard.form import form_of
from antiphon.dashboard.page import page

_HERE = re.compile(r"/dashboard(/[\w./%-]*)?", re.ASCII).fullmatch
"""Where one may be led to: never to another place."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/sign-in"""
    return await page(request, "sign_in.html", {"next": request.query_params.get("next", ""), "wrong": False})


async def sign_in(request: Request) -> HttpResponse:
    """POST /dashboard/sign-in. It needs no token: without a session there is nothing to be had by it."""
    form = await form_of(request)
    there = form.get("next", "")
    answer = RedirectResponse(there if _HERE(there) else "/dashboard", 303)
    access: Access = request.scope["access"]
    if await access.sign_in(form.get("key", "").strip(), answer, secure=request.url.scheme == "https"):
        return answer
    return await page(request, "sign_in.html", {"next": there, "wrong": True}, 401)


async def sign_out(request: Request) -> HttpResponse:
    """POST /dashboard/sign-out"""
    check_token(request, (await form_of(request)).get("csrf", ""))
    answer = RedirectResponse("/dashboard/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/dashboard", httponly=True, samesite="strict")
    return answer


routes = [
    Route("/dashboard/sign-in", show, methods=["GET"]),
    Route("/dashboard/sign-in", sign_in, methods=["POST"]),
    Route("/dashboard/sign-out", sign_out, methods=["POST"]),
]
