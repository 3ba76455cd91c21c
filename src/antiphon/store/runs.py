"""Background runs, as they are kept: a queue, who carries each run, and the log of what was told.

A run is accepted together with its response, which is stored as it stands: queued, with its input and no
output. From then on it is never lost. A server process *claims* a run for a lease, which it renews as long
as it lives, and writes down the log before anybody reads it. When the lease ends without a renewal, the
next claim takes the run over. A claim is a token: whoever lost it can write nothing more, so that a log
has one writer at any time. The end of a run is one transaction: the last events and the finished response.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from antiphon.store.base import ItemRow, ResponseRow
from antiphon.store.webhooks import Delivery


class LostRun(Exception):
    """The run is somebody else's now, or deleted."""


class QueueFull(Exception):
    """As many runs wait as may."""


class AcceptedRun(Struct, frozen=True):
    """A run to be kept. `response` has no output yet."""

    response: ResponseRow
    request: bytes
    """All that is needed to carry it out; kept until it ends. It may hold secrets, so it comes sealed."""
    events: Sequence[bytes]
    """The JSON of the first events."""
    streamed: bool
    """Whether its log may be read by clients, and is kept after its end."""


class Claim(Struct, frozen=True):
    """A run that is ours to carry."""

    key: int
    project: str
    id: str
    owner: str
    conversation_id: str | None
    streamed: bool
    cancelled: bool
    request: bytes
    progress: bytes | None
    claims: int
    """How often it was claimed, this time included."""
    started_at: float
    """When it was claimed first: seconds since the epoch."""
    next: int
    """The sequence number that comes next in its log."""


class Context(Struct, frozen=True):
    """What a run's model reads: JSON of items."""

    history: Sequence[bytes]
    input: Sequence[bytes]


class Record(Struct, frozen=True):
    """More of a run's log. `first` is the sequence number of the first event."""

    first: int
    events: Sequence[bytes]
    progress: bytes
    response: bytes | None = None
    """The response without output, when it changed."""


class RunEnd(Struct, frozen=True):
    """How a run ended: the finished response, with what is told last."""

    record: Record
    response: bytes
    """Without output."""
    output: Sequence[ItemRow]
    speaks: bool = True
    """Whether its items go to its conversation."""
    deliveries: Sequence[Delivery] = ()
    """Who is to be told of it."""


class LogStretch(Struct, frozen=True):
    """Events of a log, and whether it has ended (there may be more to read even so)."""

    events: Sequence[bytes]
    ended: bool


class Runs(Protocol):
    """The background runs of an installation. What is not there is None."""

    async def accept(
        self, project: str, run: AcceptedRun, queue: int, owner: str | None = None, lease: float = 0
    ) -> Claim | None:
        """Keep a run; durable when this returns. With an `owner`, and if nothing else waits, it is claimed
        at once. Raises QueueFull when `queue` runs wait already."""
        ...

    async def claim(self, owner: str, lease: float, only: tuple[str, str] | None = None) -> Claim | None:
        """Take the oldest run that nobody carries, for `lease` seconds; or `only` this one (project and id).
        `owner` names this process. It may be given what it carries already, when it renewed too late."""
        ...

    async def renew(self, owner: str, lease: float, ids: Sequence[str]) -> None:
        """Hold on to what the owner carries, by the ids of the responses."""
        ...

    async def release(self, owner: str) -> None:
        """Let go of all that the owner carries: others may claim it at once."""
        ...

    async def held(self, owner: str) -> Mapping[str, bool]:
        """The ids of the responses whose runs the owner carries, and whether each is to be cancelled."""
        ...

    async def context(self, claim: Claim) -> Context:
        """Raises LostRun."""
        ...

    async def log(self, claim: Claim) -> Sequence[bytes]:
        """All events so far. Raises LostRun."""
        ...

    async def record(self, claim: Claim, record: Record) -> None:
        """Append to the log; durable when this returns. Raises LostRun."""
        ...

    async def finish(self, claim: Claim, end: RunEnd) -> None:
        """End the run. Raises LostRun."""
        ...

    async def cancel(self, project: str, response_id: str) -> bool:
        """Ask whoever carries the run to cancel it. False: there is no such run, or it has ended."""
        ...

    async def running(self, project: str, response_id: str) -> bool:
        """Whether the response has a run that has not ended."""
        ...

    async def stretch(self, project: str, response_id: str, after: int) -> LogStretch | None:
        """Events behind the number `after` (-1: from the first), some at a time. None: there is no log that
        clients may read."""
        ...

    async def expire(self, before: float, limit: int) -> int:
        """Delete the logs of runs that ended before, the oldest first and at most so many; gives how many
        went."""
        ...

    async def news(self, response_id: str) -> None:
        """Returns when there may be more of a run's log, or after a moment."""
        ...
