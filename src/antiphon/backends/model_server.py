"""A server beside the backends whose model writes nothing: it embeds texts, or ranks them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from yarl import URL

from antiphon.backends import upstream_errors
from antiphon.backends.http import Client, HttpAnswer, Patience
from antiphon.backends.retry import pause_before_retry
from antiphon.protocol.errors import ApiError, RateLimited, UpstreamError, UpstreamTimeout

T = TypeVar("T")

_IN_FLIGHT = 4
_MAX_ANSWER = 64 * 2**20
_PATIENCE = Patience(connect=10.0, read=120.0)


class ServerFault(Exception):
    """It did not answer as it should; the message says why and which section of the configuration helps."""


class TooManyTexts(ServerFault):
    """It takes fewer texts at once."""


class ModelServer:
    """`what` it is, and the `section` of the configuration that names it, are for messages. `at_once`: texts
    of one request; a server that takes fewer says so, and is asked with one half of them."""

    def __init__(self, what: str, section: str, url: URL, api_key: str | None, at_once: int) -> None:
        self.name = f"The {what} at {url.parent.with_user(None).with_query(None)}"
        self._section = section
        self._url = url
        self._api_key = api_key or ""
        self._at_once = at_once
        self._client: Client | None = None
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    async def in_batches(
        self, texts: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[list[T]]]
    ) -> list[T]:
        """What `ask` gives for each text. Raises ServerFault."""
        rows: list[T] = []
        while len(rows) < len(texts):
            rows += await self._some(texts[len(rows) : len(rows) + self._at_once], ask)
        return rows

    async def _some(
        self, texts: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[list[T]]]
    ) -> list[T]:
        """The rows of the first of these texts: of all, unless the server takes fewer at once."""
        while True:
            try:
                async with self._slots:
                    return await ask(texts)
            except TooManyTexts:
                if len(texts) == 1:
                    raise
                texts = texts[: len(texts) // 2]
                self._at_once = min(self._at_once, len(texts))

    async def post(self, body: bytes) -> bytes:
        """The body of its answer to JSON. When it cannot just now, it is asked once more. Raises
        ServerFault."""
        try:
            return await self._asked(body)
        except ApiError as fault:
            pause = pause_before_retry(fault)
            if pause is None:
                raise self.fault(fault.message) from fault
        await asyncio.sleep(pause)
        try:
            return await self._asked(body)
        except ApiError as fault:
            raise self.fault(fault.message) from fault

    def fault(self, said: str) -> ServerFault:
        """Without its key, and with what helps."""
        return ServerFault(self._words(said))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _asked(self, body: bytes) -> bytes:
        try:
            with await self._opened().request("POST", self._url, body, _PATIENCE) as response:
                return await self._body(response)
        except TimeoutError as fault:
            raise UpstreamTimeout(f"{self.name} did not answer in time.") from fault
        except OSError as fault:
            raise UpstreamError(f"{self.name} cannot be reached.") from fault

    async def _body(self, response: HttpAnswer) -> bytes:
        """Of an answer, whole. Raises what its refusal means."""
        too_large = partial(self.fault, f"{self.name} sent an answer that is too large.")
        body = await response.body(_MAX_ANSWER, too_large)
        if response.status != 200:
            raise self._refusal(response, body[: upstream_errors.MAX_BODY])
        return body

    def _refusal(self, response: HttpAnswer, body: bytes) -> Exception:
        status, words = response.status, upstream_errors.words_in(body)
        said = f"{self.name} answered with HTTP {status}" + (f": {words}" if words else ".")
        if status in (413, 422) or (status == 400 and "batch" in words.lower()):
            return TooManyTexts(self._words(said))
        later = upstream_errors.retry_after(response.headers)
        if status == 429:
            return RateLimited(said, retry_after=later)
        if status >= 500 or status == 408:
            return UpstreamError(said, retry_after=later)
        return self.fault(said)

    def _opened(self) -> Client:
        """The client, made in the loop that uses it. Raises ServerFault for an address or a key that HTTP
        cannot carry."""
        if self._client is None:
            headers = {"Accept-Encoding": "identity", "User-Agent": "antiphon"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            try:
                self._client = Client(self._url, headers, name=self._section)
            except ValueError as fault:
                raise self.fault(f"{self.name} cannot be asked: {fault}.") from fault
        return self._client

    def _words(self, said: str) -> str:
        discreet = said.replace(self._api_key, "***") if self._api_key else said
        return f"{discreet} [{self._section}] names the server, the model and the key."
