"""Who looks: on a server without keys whoever may use it, else who has signed in with a key.

The cookie of a session holds the hash of the key and when it ends, sealed, so nothing is kept here, a session
goes on on any server of the installation, and a key that is taken away takes its sessions along.
"""

import time
from collections.abc import Mapping
from hmac import compare_digest
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.config import hash_key
from antiphon.context.seal import Seal
from antiphon.protocol.errors import PermissionDenied

COOKIE = "antiphon_session"
SECONDS = 7 * 24 * 60 * 60
"""For which a session lasts."""
DEFAULT_PROJECT = "default"
_INSTALLATION = ""
"""What sessions are sealed for, since who opens one does not know its project yet."""


class Visitor(NamedTuple):
    """Who looks at a page."""

    project: str
    csrf: str
    """What forms of this visitor bring along."""
    signed_in: bool
    """Whether by a key, so that there is something to sign out of."""


class Access:
    """Lets visitors in. `projects` maps hashed keys to projects; without any, everybody is let in."""

    def __init__(self, projects: Mapping[str, str], seal: Seal) -> None:
        self._projects = projects
        self._seal = seal

    def visitor(self, request: Request) -> Visitor | None:
        """None: nobody that we know."""
        if not self._projects:
            return self._visitor(DEFAULT_PROJECT, "", signed_in=False)
        cookie = request.cookies.get(COOKIE, "")
        opened = self._seal.open(_INSTALLATION, "session", cookie) if cookie.isascii() else None
        until, _, hashed = (opened or "0 ").partition(" ")
        project = self._projects.get(hashed)
        if project is None or float(until) < time.time():
            return None
        return self._visitor(project, cookie, signed_in=True)

    def _visitor(self, project: str, cookie: str, *, signed_in: bool) -> Visitor:
        return Visitor(project, self._seal.sign(project, "csrf", cookie.encode()), signed_in)

    def sign_in(self, key: str, answer: HttpResponse, *, secure: bool) -> bool:
        """Whether the key is one; if so the answer brings a session."""
        hashed = hash_key(key)
        if hashed not in self._projects:
            return False
        sealed = self._seal.seal(_INSTALLATION, "session", f"{time.time() + SECONDS} {hashed}")
        answer.set_cookie(
            COOKIE, sealed, SECONDS, path="/dashboard", secure=secure, httponly=True, samesite="strict"
        )
        return True


def visitor(request: Request) -> Visitor:
    """Whose request it is."""
    found: Visitor = request.scope["visitor"]
    return found


def check_token(request: Request, given: str) -> None:
    """Raises PermissionDenied unless a form brought the token of its visitor."""
    if not compare_digest(visitor(request).csrf, given):
        raise PermissionDenied("This form is out of date. Load its page again.", code="csrf")
