"""The endpoints of an installation at work: those of its configuration, and those that clients made.

Each has a sender of its own, so that one that does not answer keeps nobody else waiting. An endpoint of the
configuration has one as long as the process lives, one that a client made as long as something waits for it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from antiphon.guard.addresses import Reachable, anywhere, is_public
from antiphon.protocol.ids import new_response_id
from antiphon.store.webhooks import Deliveries, Delivery
from antiphon.webhooks.endpoints import Endpoint, Event, deliveries_for
from antiphon.webhooks.schedule import DELAYS
from antiphon.webhooks.sender import POLL_SECONDS, Find, Patience, Sender
from antiphon.webhooks.sending import SECONDS, Client
from antiphon.webhooks.stored import StoredEndpoints

log = structlog.get_logger()

GRACE_SECONDS = 5.0
"""How long deliveries that are under way may take when the server stops."""


class Webhooks:
    """Whom this installation sends to, and the tasks that do it. One in each process."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        deliveries: Deliveries,
        clock: Callable[[], float] = time.time,
        *,
        stored: StoredEndpoints,
        reachable: Reachable = is_public,
        delays: Sequence[float] = DELAYS,
        seconds: float = SECONDS,
    ) -> None:
        """`endpoints`: those of the configuration, `stored`: those of clients, which may lead to addresses
        that are `reachable`. `delays`: seconds after each failed attempt; `seconds`: how long an endpoint may
        take."""
        self.stored = stored
        self._endpoints = endpoints
        self._clock = clock
        self._reachable = reachable
        self._seconds = seconds
        self._senders: dict[str, Sender] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._stopping = False
        patience = Patience(delays, seconds)
        self._sender = partial(Sender, deliveries=deliveries, clock=clock, patience=patience)

    async def deliveries_for(self, project: str, response_id: str, status: str, now: float) -> list[Delivery]:
        """What is to be kept when a background response ends, in the transaction that writes its end.
        `status` is that of the response, `now` the time of its end in seconds since the epoch."""
        everyone = [*self._endpoints, *await self.stored.wanting(project, f"response.{status}")]
        return deliveries_for(everyone, project, response_id, status, now)

    async def test(self, endpoint: Endpoint, kind: str) -> int:
        """Send an endpoint of a client an event of this kind, about a response that there is not; gives the
        status of its answer. Raises NotSent."""
        assert endpoint.project is not None
        now = self._clock()
        sample = Event(endpoint.project, kind, new_response_id(), int(now)).to(endpoint)
        async with Client(self._reachable) as client:
            return (await client.send(endpoint, sample, now, self._seconds)).status

    def wake(self) -> None:
        """Have a look at once: something was written here. To be called in the event loop."""
        self._woken.set()
        for sender in self._senders.values():
            sender.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends while the block runs. At its end, what is under way may finish."""
        self._stopping = False
        async with Client(anywhere) as trusted, Client(self._reachable) as guarded:
            for endpoint in self._endpoints:
                self._begin(endpoint.name, partial(_same, endpoint), trusted)
            following = asyncio.create_task(self._follow(guarded))
            try:
                yield
            finally:
                self._stopping = True
                self._woken.set()
                await following
                for sender in self._senders.values():
                    sender.stop()
                await _finish(self._tasks)

    def _begin(self, name: str, find: Find, client: Client) -> None:
        sender = self._senders[name] = self._sender(name, find)
        task = asyncio.create_task(sender.run(client))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self._senders[name]

    async def _follow(self, client: Client) -> None:
        """Those of clients have senders as long as something waits for them."""
        configured = {endpoint.name for endpoint in self._endpoints}
        while not self._stopping:
            self._woken.clear()
            try:
                awaited = {name: project for project, name in await self.stored.awaited()}
                for name in awaited.keys() - self._senders.keys():
                    self._begin(name, partial(self.stored.get, awaited[name], name), client)
                for name in self._senders.keys() - awaited.keys() - configured:
                    self._senders[name].stop()
            except Exception:  # the top of a task: the store may be well again next time
                log.exception("webhook endpoints could not be read")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()


async def _same(endpoint: Endpoint) -> Endpoint:
    return endpoint


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
