"""Who is sent what: the endpoints, and an event as deliveries to those that want it."""

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec

from antiphon.protocol.ids import new_delivery_id, new_event_id
from antiphon.protocol.webhooks import EVENTS
from antiphon.store.webhooks import Delivery

_SECRET_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)
"""How long a key may be, after the Standard Webhooks specification."""
_NEW_KEY_BYTES: Final = 32


class BadSecret(ValueError):
    """It is not a secret of the Standard Webhooks scheme; the message says why, and does not hold it."""


@dataclass(frozen=True)
class Endpoint:
    """Where events are sent."""

    name: str
    url: str = field(repr=False)
    """May hold a password, so it is not shown either."""
    key: bytes = field(repr=False)
    events: frozenset[str] = frozenset(EVENTS)
    project: str | None = None
    """Whose events; None: every project's."""
    old_key: bytes | None = field(default=None, repr=False)
    """The key in front of it."""
    old_until: float = 0
    """How long that counts as well: seconds since the epoch."""

    def signing_keys(self, now: float) -> tuple[bytes, ...]:
        """`now`: seconds since the epoch."""
        return (self.key, self.old_key) if self.old_key is not None and now < self.old_until else (self.key,)

    def wants(self, project: str, event: str) -> bool:
        return event in self.events and self.project in (None, project)


def key_of(secret: str) -> bytes:
    """The key that a secret `whsec_…` writes down. Raises `BadSecret`."""
    if not secret.startswith(_SECRET_PREFIX):
        raise BadSecret(f"it does not begin with {_SECRET_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret(f"what follows {_SECRET_PREFIX} is not base64") from None
    if len(key) not in _KEY_BYTES:
        raise BadSecret(f"it holds {len(key)} bytes, and not {_KEY_BYTES[0]} to {_KEY_BYTES[-1]}")
    return key


def new_secret() -> str:
    return secret_of(secrets.token_bytes(_NEW_KEY_BYTES))


def secret_of(key: bytes) -> str:
    """A key as the receiver's library takes it."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def deliveries_for(
    endpoints: Iterable[Endpoint], project: str, response_id: str, status: str, now: float
) -> list[Delivery]:
    """The end of a response as deliveries, one for each endpoint that wants it. A `status` that is no end
    makes none. `now`: seconds since the epoch."""
    kind = f"response.{status}"
    wanted = [each for each in endpoints if each.wants(project, kind)]
    if kind not in EVENTS or not wanted:
        return []
    event = Event(project, kind, response_id, int(now))
    return [event.to(endpoint) for endpoint in wanted]


@dataclass(frozen=True)
class Event:
    """The end of a response, which goes to every endpoint that wants it."""

    project: str
    kind: str
    response_id: str
    created_at: int
    """Seconds since the epoch."""
    id: str = field(default_factory=new_event_id)

    @cached_property
    def body(self) -> bytes:
        """The JSON that is sent."""
        return msgspec.json.encode(
            {
                "id": self.id,
                "object": "event",
                "created_at": self.created_at,
                "type": self.kind,
                "data": {"id": self.response_id},
            }
        )

    def to(self, endpoint: Endpoint) -> Delivery:
        """The event on its way to an endpoint."""
        return Delivery(
            id=new_delivery_id(),
            event_id=self.id,
            project=self.project,
            endpoint=endpoint.name,
            type=self.kind,
            response_id=self.response_id,
            created_at=self.created_at,
            body=self.body,
        )
