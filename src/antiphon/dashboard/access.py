"""Who looks: on a server without keys whoever may use it, else who has signed in with a key.

The cookie of a session holds the hash of the key and when it ends, sealed, so nothing is kept here, a session
goes on on any server of the installation, and a key that is taken away takes its sessions along.
"""

import time
from hmac import compare_digest
from typing import NamedTuple

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.callers import Caller, Callers
from antiphon.config import hash_key
from antiphon.context.seal import Seal
from antiphon.protocol.errors import PermissionDenied

COOKIE = "antiphon_session"
PROJECT = "antiphon_project"
"""The cookie that names the project which an administrator looks at."""
SECONDS = 7 * 24 * 60 * 60
"""For which a session lasts."""
_INSTALLATION = ""
"""What sessions are sealed for, since who opens one does not know its project yet."""


class Visitor(NamedTuple):
    """Who looks at a page."""

    caller: Caller
    csrf: str
    """What forms of this visitor bring along."""
    signed_in: bool
    """Whether by a key, so that there is something to sign out of."""

    @property
    def project(self) -> str:
        return self.caller.project


class Access:
    """Lets visitors in: where no key is needed, everybody."""

    def __init__(self, callers: Callers, seal: Seal) -> None:
        self._callers = callers
        self._seal = seal

    async def visitor(self, request: Request) -> Visitor | None:
        """None: nobody that we know."""
        if self._callers.anybody is not None:
            return self._visitor(_looking(request, self._callers.anybody), "", signed_in=False)
        cookie = request.cookies.get(COOKIE, "")
        opened = self._seal.open(_INSTALLATION, "session", cookie) if cookie.isascii() else None
        until, _, hashed = (opened or "0 ").partition(" ")
        caller = await self._callers.keyed(hashed) if float(until) > time.time() else None
        return None if caller is None else self._visitor(_looking(request, caller), cookie, signed_in=True)

    def _visitor(self, caller: Caller, cookie: str, *, signed_in: bool) -> Visitor:
        return Visitor(caller, self._seal.sign(caller.project, "csrf", cookie.encode()), signed_in)

    async def sign_in(self, key: str, answer: HttpResponse, *, secure: bool) -> bool:
        """Whether the key is one; if so the answer brings a session."""
        hashed = hash_key(key)
        if await self._callers.keyed(hashed) is None:
            return False
        sealed = self._seal.seal(_INSTALLATION, "session", f"{time.time() + SECONDS} {hashed}")
        answer.set_cookie(
            COOKIE, sealed, SECONDS, path="/dashboard", secure=secure, httponly=True, samesite="strict"
        )
        return True


def _looking(request: Request, caller: Caller) -> Caller:
    """An administrator, at the project that was chosen."""
    chosen = request.cookies.get(PROJECT)
    return replace(caller, project=chosen) if caller.admin and chosen else caller


def visitor(request: Request) -> Visitor:
    """Whose request it is."""
    found: Visitor = request.scope["visitor"]
    return found


def check_token(request: Request, given: str) -> None:
    """Raises PermissionDenied unless a form brought the token of its visitor."""
    if not compare_digest(visitor(request).csrf.encode(), given.encode()):
        raise PermissionDenied("This form is out of date. Load its page again.", code="csrf")
