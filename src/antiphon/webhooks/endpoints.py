"""Who is sent what: the endpoints, and an event as deliveries to those that want it."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from antiphon.protocol.ids import new_delivery_id, new_event_id
from antiphon.store.webhooks import Delivery

EVENTS: Final = ("response.completed", "response.failed", "response.cancelled", "response.incomplete")
"""What is sent: how a background response ended."""

_SECRET_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)
"""How long a key may be, after the Standard Webhooks specification."""


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


def secret_of(key: bytes) -> str:
    """A key as the receiver's library takes it."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def deliveries_for(
    endpoints: Iterable[Endpoint], project: str, response_id: str, status: str, now: float
) -> list[Delivery]:
    """The end of a response as deliveries, one for each endpoint that wants it. A `status` that is no end
    makes none. `now`: seconds since the epoch."""
    event = f"response.{status}"
    wanted = [each for each in endpoints if each.wants(project, event)]
    if event not in EVENTS or not wanted:
        return []
    event_id, created_at = new_event_id(), int(now)
    body = {
        "id": event_id,
        "object": "event",
        "created_at": created_at,
        "type": event,
        "data": {"id": response_id},
    }
    return [
        Delivery(
            id=new_delivery_id(),
            event_id=event_id,
            project=project,
            endpoint=endpoint.name,
            type=event,
            response_id=response_id,
            created_at=created_at,
            body=msgspec.json.encode(body),
        )
        for endpoint in wanted
    ]
