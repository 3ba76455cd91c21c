"""Deliveries of webhooks, as they are kept: what is to be sent to whom, and what became of it.

A delivery is written in the transaction that ends its response, so that an end that was seen is told
however the process dies; each home of the store has a function `enqueue` for that. It is the log as well:
a row stays when it was delivered or given up, until retention takes it.

Several processes send from one store. A due delivery is *taken* by one of them: it is not due again before
its lease ends, and each taking counts as an attempt. The count tells an outcome that comes too late, after
the lease ended and somebody else took the delivery: it is ignored.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

DeliveryStatus = Literal["pending", "delivered", "failed"]


class Delivery(Struct, frozen=True, kw_only=True):
    """An event for one endpoint. Secrets are not part of it: whoever sends it signs it."""

    id: str
    """The header `webhook-id`: the same in every attempt."""
    event_id: str
    """That of the event, which goes to every endpoint that wants it."""
    project: str
    endpoint: str
    """The name under which the endpoint is configured."""
    type: str
    """`response.completed` and so on."""
    response_id: str
    created_at: int
    """Seconds since the epoch."""
    body: bytes
    """The JSON that is sent."""


class Taken(Struct, frozen=True):
    """A delivery that this process may send now, for the `attempt`th time (from 1)."""

    delivery: Delivery
    attempt: int


class Outcome(Struct, frozen=True):
    """What became of an attempt."""

    status: DeliveryStatus
    at: float
    """Seconds since the epoch: when a pending one is due again, when others ended."""
    http_status: int | None = None
    """None: nobody answered."""
    error: str | None = None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A delivery in the log. Times are seconds since the epoch."""

    id: str
    event_id: str
    project: str
    endpoint: str
    type: str
    response_id: str
    created_at: int
    status: DeliveryStatus
    attempts: int
    next_at: float | None
    """When a pending one is due."""
    ended_at: int | None
    """When it was delivered or given up."""
    http_status: int | None
    """Of the last answer."""
    error: str | None
    """Why the last attempt was none."""


class Deliveries(Protocol):
    """The rows of all projects."""

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep them, due now: for events that come with nothing else to be written."""
        ...

    async def due(self, endpoint: str) -> float | None:
        """When the endpoint's next delivery is due; None: there is none to come."""
        ...

    async def take(self, endpoint: str, now: float, lease: float, limit: int) -> Sequence[Taken]:
        """The endpoint's due deliveries, at most `limit`: for `lease` seconds nobody else gets them."""
        ...

    async def settle(self, taken: Taken, outcome: Outcome) -> bool:
        """Write down what became of a taken delivery. False: it is somebody else's by now, or gone."""
        ...

    async def latest(self, limit: int, status: DeliveryStatus | None = None) -> Sequence[DeliveryRow]:
        """The newest first."""
        ...

    async def get(self, delivery_id: str) -> DeliveryRow | None: ...

    async def again(self, delivery_id: str, now: float) -> bool:
        """Have a delivery sent once more, as if it were new. False: there is none with this id."""
        ...

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` that were created before; gives how many went."""
        ...
