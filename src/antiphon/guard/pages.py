"""Which web pages may use the server.

A page in its owner's browser reaches what the owner reaches. Without API keys nothing else stands between it
and this server, so two things are asked of each request. *To whom is it addressed?* A page that rebinds its
name to our address (DNS rebinding) counts as ours in the browser's eyes, but it must name its own host, which
is a name that somebody can register. *Where does it come from?* A browser says so in `Origin` wherever a page
sends something or opens a WebSocket, and in `Sec-Fetch-Site` for the rest. No other client sends either.

With keys a request that has none is refused whoever sends it, and a browser adds none of its own accord.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Protocol

Head = Mapping[bytes, bytes]
"""Headers of a request, by their names in lower case."""

_CONTAINERS = frozenset({"host.docker.internal", "host.containers.internal"})
"""How containers call their machine. Nobody can register a name under `.internal`."""
_SITE = b"sec-fetch-site"
_LONGEST_NAME = 255
_REMEMBERED = 512
_ANY = "*"


class Refused(Exception):
    """The request comes from where none may; the message names the setting that lets it in."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Gate(Protocol):
    """Lets requests in."""

    def check(self, head: Head, method: str) -> None:
        """Raises Refused."""


class Origins:
    """The origins whose pages may use the server: `https://app.example.com`, or `*` for all."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.encode() for origin in allowed)
        self._all = _ANY.encode() in self._allowed

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def __contains__(self, origin: bytes) -> bool:
        return self._all or origin.lower() in self._allowed


class OpenGate:
    """For a server without keys."""

    def __init__(self, hosts: Iterable[str], origins: Origins) -> None:
        self._is_ours = _rule(hosts, is_unregistrable)
        self._origins = origins

    def check(self, head: Head, method: str) -> None:
        """Raises Refused."""
        host = head.get(b"host", b"")
        if not self._is_ours(host):
            raise Refused(
                "This server has no API keys, so it answers only under names that no web page can have: "
                f"localhost, IP addresses, and names without dots, not '{_shown(host)}'. If that is its own, "
                "put it into allowed_hosts of [server].",
                "host_not_allowed",
            )
        origin = head.get(b"origin")
        if origin is None:
            if _SITE in head:
                _check_fetch(head, method)
        elif origin not in self._origins and not _is_same(origin, host):
            raise foreign(origin)


class KeyedGate:
    """For a server with keys, which decide. Hosts matter only if the operator has named some."""

    def __init__(self, hosts: Iterable[str]) -> None:
        named = list(hosts)
        self._is_ours = _rule(named, is_unregistrable if named else lambda _: True)

    def check(self, head: Head, method: str) -> None:
        """Raises Refused."""
        host = head.get(b"host", b"")
        if not self._is_ours(host):
            raise Refused(
                f"This server does not answer as '{_shown(host)}'. If that is its name, put it into "
                "allowed_hosts of [server].",
                "host_not_allowed",
            )


def check_same(head: Head) -> None:
    """Raises Refused for a request that a page of another origin sends, also one that may use the API."""
    origin = head.get(b"origin")
    if origin is not None and not _is_same(origin, head.get(b"host", b"")):
        raise foreign(origin)


def foreign(origin: bytes) -> Refused:
    """What a page is answered that may not use this server."""
    return Refused(
        f"Web pages of the origin '{_shown(origin)}' may not use this server. If you trust them, put the "
        "origin into allowed_origins of [server].",
        "origin_not_allowed",
    )


def is_unregistrable(name: str) -> bool:
    """Whether a host name is one that no stranger's page can have."""
    if "." not in name or name.endswith(".localhost") or name in _CONTAINERS:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_fetch(head: Head, method: str) -> None:
    """What no `Origin` is sent with: images, scripts, frames, and links. Only links may be followed here from
    elsewhere: the page where they stand sees nothing of what comes."""
    if head[_SITE] in (b"none", b"same-origin"):
        return
    is_link = head.get(b"sec-fetch-mode") == b"navigate" and head.get(b"sec-fetch-dest") == b"document"
    if not (is_link and method in ("GET", "HEAD")):
        raise Refused(
            "Web pages of other sites may not use this server, and this request comes from one. If you trust "
            "it, put its origin into allowed_origins of [server].",
            "origin_not_allowed",
        )


def _rule(hosts: Iterable[str], rest: Callable[[str], bool]) -> Callable[[bytes], bool]:
    """Whether a Host header names one of `hosts`, or what `rest` lets pass. Answers are remembered."""
    exact = frozenset(hosts)
    suffixes = tuple(host[1:] for host in exact if host.startswith("*."))

    @lru_cache(_REMEMBERED)
    def known(host: bytes) -> bool:
        name = _name(host)
        return _ANY in exact or name in exact or name.endswith(suffixes) or rest(name)

    return lambda host: len(host) <= _LONGEST_NAME and known(host)


def _name(host: bytes) -> str:
    """A Host header without its port, as names are compared."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")


def _is_same(origin: bytes, host: bytes) -> bool:
    """Whether a page comes from this server itself."""
    scheme, _, place = origin.lower().partition(b"://")
    return scheme in (b"http", b"https") and place == host.lower()


def _shown(value: bytes) -> str:
    text = "".join(letter for letter in value[:100].decode("latin-1") if letter.isprintable())
    return text if len(value) <= 100 else f"{text}..."
