"""One event to one endpoint, over HTTP."""

import asyncio
import os
import ssl
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from antiphon.guard.addresses import NOT_PUBLIC, Reachable, is_forbidden, sockets
from antiphon.guard.lazily import imported
from antiphon.store.webhooks import Delivery
from antiphon.webhooks.endpoints import Endpoint
from antiphon.webhooks.signing import headers

if TYPE_CHECKING:
    import aiohttp

SECONDS = 20.0
"""How long an endpoint may take to answer."""

_HEADERS = {"User-Agent": "Antiphon", "Content-Type": "application/json"}


class NotSent(Exception):
    """Nobody answered; the message says why, in words that name neither the URL nor a password in it."""


class Reply(NamedTuple):
    """What an endpoint answered."""

    status: int
    retry_after: str | None
    """The header."""


class Client:
    """Sends to addresses that are `reachable`. Use it within one event loop."""

    def __init__(self, reachable: Reachable) -> None:
        self._reachable = reachable
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, endpoint: Endpoint, delivery: Delivery, now: float, seconds: float) -> Reply:
        """`now`: seconds since the epoch; `seconds`: how long it may take. Raises NotSent."""
        signed = headers(endpoint.signing_keys(now), delivery.id, now, delivery.body)
        session = await self._opened()
        try:
            async with (
                asyncio.timeout(seconds),
                session.post(
                    endpoint.url, data=delivery.body, headers=signed, allow_redirects=False
                ) as answer,
            ):
                return Reply(answer.status, answer.headers.get("Retry-After"))
        except TimeoutError:
            raise NotSent(f"It did not answer within {seconds:g} seconds.") from None
        except Exception as error:  # noqa: BLE001 (whatever the client raises for a URL: it was not sent)
            raise NotSent(_in_words(error)) from None

    async def _opened(self) -> "aiohttp.ClientSession":
        """When something is sent: most servers have no webhooks."""
        await imported("aiohttp")
        import aiohttp

        if self._session is None:
            # A connection that was kept may be closed just when it is used again: that would be a failure.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, socket_factory=sockets(self._reachable)),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _in_words(error: Exception) -> str:
    """In words of ours: aiohttp's may quote the URL, and a password in it."""
    import aiohttp

    if is_forbidden(error):
        return f"Its URL {NOT_PUBLIC}."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
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
