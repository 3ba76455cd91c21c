"""Sends what is due, until it is delivered or given up.

Each endpoint has a sender of its own, so that one that does not answer keeps nobody else waiting. A sender
sleeps until its next delivery is due, but never long: other processes may have written something. What was
under way when a process died is due again when its lease ends; so an event may come twice, never not at all.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import structlog
from aiohttp.client_exceptions import ClientConnectorDNSError

from antiphon.store.webhooks import Deliveries, Delivery, Outcome, Taken
from antiphon.webhooks.endpoints import Endpoint, deliveries_for
from antiphon.webhooks.schedule import DELAYS, next_attempt, seconds_asked
from antiphon.webhooks.signing import headers

log = structlog.get_logger()

SECONDS = 20.0
"""How long an endpoint may take to answer."""
LEASE_SECONDS = 60.0
"""How long nobody else takes what is being sent: an attempt, and writing down what became of it."""
AT_ONCE = 8
"""How many deliveries an endpoint gets at the same time."""
POLL_SECONDS = 5.0
"""How long what another process has written may lie."""
GRACE_SECONDS = 5.0
"""How long deliveries that are under way may take when the server stops."""

_HEADERS = {"User-Agent": "Antiphon", "Content-Type": "application/json"}
_GONE = 410
"""By the Standard Webhooks specification: don't come again."""


class Webhooks:
    """The endpoints of this server, and the tasks that send to them. One in each process."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        deliveries: Deliveries,
        clock: Callable[[], float] = time.time,
        *,
        delays: Sequence[float] = DELAYS,
        seconds: float = SECONDS,
    ) -> None:
        """`delays`: seconds after each failed attempt; `seconds`: how long an endpoint may take."""
        self._endpoints = endpoints
        self._senders = [_Sender(each, deliveries, clock, delays, seconds) for each in endpoints]

    def deliveries_for(self, project: str, response_id: str, status: str, now: float) -> list[Delivery]:
        """What is to be kept when a background response ends, in the transaction that writes its end.
        `status` is that of the response, `now` the time of its end in seconds since the epoch."""
        return deliveries_for(self._endpoints, project, response_id, status, now)

    def wake(self) -> None:
        """Have a look at once: something was written here. To be called in the event loop."""
        for sender in self._senders:
            sender.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends while the block runs. At its end, what is under way may finish."""
        if not self._senders:
            yield
            return
        async with _session() as session:
            for sender in self._senders:
                sender.start()
            tasks = [asyncio.create_task(sender.run(session)) for sender in self._senders]
            try:
                yield
            finally:
                for sender in self._senders:
                    sender.stop()
                await _finish(tasks)


async def _finish(tasks: Sequence[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _session() -> aiohttp.ClientSession:
    # A connection that was kept may be closed just when it is used again: that would be a failure.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None),
    )


class _Sender:
    """Sends one endpoint its deliveries."""

    def __init__(
        self,
        endpoint: Endpoint,
        deliveries: Deliveries,
        clock: Callable[[], float],
        delays: Sequence[float],
        seconds: float,
    ) -> None:
        self._endpoint = endpoint
        self._deliveries = deliveries
        self._clock = clock
        self._delays = delays
        self._seconds = seconds
        self._woken = asyncio.Event()
        self._stopping = False
        self._under_way = 0

    def wake(self) -> None:
        self._woken.set()

    def start(self) -> None:
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        self.wake()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until `stop`; then what is under way is finished."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._woken.clear()
                try:
                    for taken in await self._take():
                        self._under_way += 1
                        group.create_task(self._deliver(session, taken))
                    pause = await self._pause()
                except Exception:  # the top of a task: the store may be well again next time
                    log.exception("webhooks could not be read", endpoint=self._endpoint.name)
                    pause = POLL_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()

    async def _take(self) -> Sequence[Taken]:
        """What is due, as much as may be sent now. Nothing is written when there is nothing."""
        free, now = AT_ONCE - self._under_way, self._clock()
        due = await self._deliveries.due(self._endpoint.name)
        if not free or due is None or due > now:
            return ()
        return await self._deliveries.take(self._endpoint.name, now, LEASE_SECONDS, free)

    async def _pause(self) -> float:
        """How long there is nothing to do, unless somebody wakes us: each delivery that ends does."""
        if self._under_way == AT_ONCE:
            return POLL_SECONDS
        due = await self._deliveries.due(self._endpoint.name)
        return POLL_SECONDS if due is None else min(max(due - self._clock(), 0.0), POLL_SECONDS)

    async def _deliver(self, session: aiohttp.ClientSession, taken: Taken) -> None:
        try:
            outcome = await self._attempt(session, taken)
            self._report(taken, outcome)
            await self._deliveries.settle(taken, outcome)
        except Exception:  # the top of a task: the delivery is due again when its lease ends
            log.exception("webhook could not be settled", delivery=taken.delivery.id)
        finally:
            self._under_way -= 1
            self.wake()

    async def _attempt(self, session: aiohttp.ClientSession, taken: Taken) -> Outcome:
        delivery = taken.delivery
        signed = headers(self._endpoint.key, delivery.id, self._clock(), delivery.body)
        try:
            async with (
                asyncio.timeout(self._seconds),
                session.post(
                    self._endpoint.url, data=delivery.body, headers=signed, allow_redirects=False
                ) as answer,
            ):
                return self._judged(taken, answer)
        except TimeoutError:
            return self._failed(taken, f"It did not answer within {self._seconds:g} seconds.")
        except Exception as error:  # noqa: BLE001 (whatever the client raises for a URL: it was not sent)
            return self._failed(taken, _in_words(error))

    def _judged(self, taken: Taken, answer: aiohttp.ClientResponse) -> Outcome:
        status, now = answer.status, self._clock()
        if 200 <= status < 300:
            return Outcome("delivered", now, status)
        if status == _GONE:
            return Outcome("failed", now, status, "It answered 410: it wants no more of this.")
        asked = seconds_asked(answer.headers.get("Retry-After"), now)
        return self._failed(taken, f"It answered {status}.", status, asked)

    def _failed(
        self, taken: Taken, error: str, http_status: int | None = None, retry_after: float | None = None
    ) -> Outcome:
        now = self._clock()
        again = next_attempt(taken.attempt, now, retry_after, self._delays)
        if again is None:
            return Outcome("failed", now, http_status, error)
        return Outcome("pending", again, http_status, error)

    def _report(self, taken: Taken, outcome: Outcome) -> None:
        bound = log.bind(
            delivery=taken.delivery.id,
            endpoint=self._endpoint.name,
            type=taken.delivery.type,
            response=taken.delivery.response_id,
            attempt=taken.attempt,
        )
        if outcome.status == "delivered":
            bound.info("webhook delivered")
        elif outcome.status == "failed":
            bound.error("webhook given up", error=outcome.error)
        else:
            bound.warning("webhook failed", error=outcome.error, again_in=round(outcome.at - self._clock()))


def _in_words(error: Exception) -> str:
    """Why nobody answered. In words of ours: aiohttp's may quote the URL, and a password in it."""
    if isinstance(error, ClientConnectorDNSError):
        return "Its host was not found."
    if isinstance(error, ssl.SSLError):
        return "No secure connection: its certificate or TLS was not accepted."
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number).lower() if number else "no reason given"
        return f"It could not be connected to: {reason}."
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return "Its URL cannot be used: there is no such host or port."
    if isinstance(error, aiohttp.ClientError | OSError):
        return f"The connection broke: {type(error).__name__}."
    return f"It could not be sent: {type(error).__name__}."
