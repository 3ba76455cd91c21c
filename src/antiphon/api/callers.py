"""Who asks: found by the key of a request, among those of the configuration and those made at run time.

What the store says of a key is remembered for two seconds, in each process by itself: so long a key that was
revoked may still be let in, and one whose limits changed may use the old ones.
"""

import time
from contextlib import suppress
from datetime import UTC

from msgspec import Struct, convert
from starlette.requests import HTTPConnection

from antiphon.config import Config, KeySettings, Server, is_loopback
from antiphon.guard.pages import Head
from antiphon.keys.limiter import Limiter
from antiphon.keys.meter import Meter
from antiphon.keys.secret import digest_of
from antiphon.protocol.errors import Unauthorized
from antiphon.store.keys import KeyLimits, KeyRow, Keys, KeyUse

CALLER = "caller"
"""The member of a request's scope that says who asks."""
DEFAULT_PROJECT = "default"
REMEMBERED_SECONDS = 2.0
_REMEMBERED = 4096


class Caller(Struct, frozen=True):
    """Who asks, and what he may."""

    project: str
    key: str | None = None
    """The name of his key; None: he has none, or needs none."""
    admin: bool = False
    """Whether he may see all projects, and make keys."""
    use: KeyUse | None = None
    """What he asks for counts to this; None: he has no key."""
    meter: Meter | None = None
    """What his key may still use; None: that is not bounded."""


ANYBODY = Caller(DEFAULT_PROJECT)
"""Who asks without a key where none is needed."""


def caller(connection: HTTPConnection) -> Caller:
    """Who asks."""
    found: Caller = connection.scope[CALLER]
    return found


class Callers:
    """All who may ask."""

    def __init__(self, config: Config, keys: Keys, limiter: Limiter) -> None:
        server = config.server
        self.limiter = limiter
        self._keys = keys
        self._configured = {each.digest: each for each in _configured(config)}
        self.anybody = None if server.needs_key else _anybody(server)
        """Who asks without a key; None: whoever asks needs one."""
        self._remembered: dict[bytes, Caller] = {}
        """By what their requests say; without hashing that, which costs more than all else here."""
        self._until = 0.0

    def known(self, head: Head) -> Caller | None:
        """Who asks, where nothing has to be looked up; else None."""
        given = head.get(b"authorization")
        if given is None:
            return self.anybody
        now = time.monotonic()
        if now >= self._until:
            self._until = now + REMEMBERED_SECONDS
            self._remembered.clear()
        return self._remembered.get(given)

    async def asking(self, head: Head) -> Caller:
        """Who asks. Raises Unauthorized."""
        return self.known(head) or await self.find(head)

    async def find(self, head: Head) -> Caller:
        """Who asks. Raises Unauthorized."""
        digest = _digest(head)
        row = self._configured.get(digest) or await self._keys.find(digest)
        if row is None and self.anybody is not None:
            found = self.anybody
        elif row is None:
            raise Unauthorized(f"Incorrect API key provided: {_shown(head)}.", code="invalid_api_key")
        else:
            found = self._of(row)
        if row is None or row.expires_at is None or row.expires_at > time.time() + REMEMBERED_SECONDS:
            self._remember(head, found)
        return found

    def _remember(self, head: Head, found: Caller) -> None:
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        if b"authorization" in head:
            self._remembered[head[b"authorization"]] = found

    async def keyed(self, digest: str) -> Caller | None:
        """Who has the key with that digest; None: it is none, or is let in no more."""
        row = self._configured.get(digest) or await self._keys.find(digest)
        with suppress(Unauthorized):
            return None if row is None else self._of(row)
        return None

    def _of(self, row: KeyRow) -> Caller:
        """Raises Unauthorized."""
        if row.revoked_at is not None:
            raise Unauthorized("This API key was revoked.", code="invalid_api_key")
        if row.expires_at is not None and row.expires_at <= time.time():
            raise Unauthorized("This API key has expired.", code="invalid_api_key")
        use = KeyUse(name=row.name, digest=row.digest, limits=row.limits)
        return Caller(row.project, row.name, row.admin, use, self.limiter.meter(use))


def _anybody(server: Server) -> Caller:
    """On loopback whoever asks is he who runs the server."""
    return Caller(DEFAULT_PROJECT, admin=True) if is_loopback(server.host) else ANYBODY


def _configured(config: Config) -> list[KeyRow]:
    """The keys of the configuration, as rows."""
    found = config.server.keys.items()
    return [_row(name, digest, config.keys.get(name, KeySettings())) for name, digest in found]


def _row(name: str, digest: str, settings: KeySettings) -> KeyRow:
    ends = settings.expires_at
    if ends is not None and ends.tzinfo is None:
        ends = ends.replace(tzinfo=UTC)
    return KeyRow(
        id="",
        project=settings.project or name,
        name=name,
        digest=digest,
        hint="",
        admin=settings.admin,
        limits=convert(settings, KeyLimits, from_attributes=True),
        created_at=0,
        expires_at=None if ends is None else int(ends.timestamp()),
    )


def _digest(head: Head) -> str:
    return digest_of(_key(head))


def _key(head: Head) -> str:
    scheme, _, key = head.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _shown(head: Head) -> str:
    key = _key(head)
    return f"{key[:3]}***" if key else "(none)"
