"""What a browser must be sent so that it lets a page of another origin use the server: CORS."""

import re

from antiphon.guard.pages import Head, Origins

Headers = list[tuple[bytes, bytes]]

_METHODS = b"GET, POST, DELETE"
_MAX_AGE = b"600"
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]*")
_VARY = (b"vary", b"Origin")


class Cors:
    """Answers browsers for the pages of `origins`. They bring their key, if they need one, in a header:
    cookies mean nothing here."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._always: Headers = [_VARY] if origins else []

    def headers(self, head: Head) -> Headers:
        """What an answer says. Without origins that are let in, nothing."""
        origin = head.get(b"origin")
        if origin is None or origin not in self._origins:
            return self._always
        return [
            _VARY,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"*"),
        ]

    def allows(self, head: Head) -> bool:
        """Whether the preflight comes from a page that is let in."""
        return head.get(b"origin", b"") in self._origins


def is_preflight(head: Head, method: str) -> bool:
    """Whether a browser asks what a page may send, before it is sent."""
    return method == "OPTIONS" and b"origin" in head and b"access-control-request-method" in head


def permission(head: Head) -> Headers:
    """The answer to a preflight: everything that this API takes. Names of headers are given back, since a
    wildcard would not cover Authorization."""
    asked = head.get(b"access-control-request-headers", b"")
    names = asked if _NAMES.fullmatch(asked) else b"authorization, content-type"
    return [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", names),
        (b"access-control-allow-private-network", b"true"),
        (b"access-control-max-age", _MAX_AGE),
    ]
