"""A model server over HTTP, whatever API it speaks: its connections, its key, and what goes wrong with it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from yarl import URL

from antiphon.backends import upstream_errors
from antiphon.backends.http import Client, ConnectFault, ConnectTimeout, HttpAnswer, Patience
from antiphon.backends.sse import MAX_EVENT, Events
from antiphon.model import Delta
from antiphon.protocol.errors import ApiError, UpstreamError, UpstreamTimeout
from antiphon.protocol.wire import encode

# Shorter than the 5 s after which uvicorn, and with it vLLM and SGLang, hang up on an idle connection.
_KEEP_ALIVE = 4.0
_CONNECT = 10.0
_UNKNOWING = (400, 404, 405, 422, 501)
"""How servers say that they do not know a question."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Of one answer, as it comes."""


class Reader(Protocol):
    """What makes deltas of one answer. `ended`: no more is to come; `fault`: what was wrong with it, to be
    raised behind the deltas that came before."""

    ended: bool
    fault: ApiError | None

    def read(self, events: list[bytes]) -> list[Delta]:
        """The deltas of the events of one network read."""
        ...

    def whole(self, body: bytes) -> list[Delta]:
        """Those of an answer in one piece. Raises ApiError."""
        ...

    def cut(self, rest: bytes | None) -> list[Delta]:
        """The stream is over, and did not say so. Raises ApiError when it was cut off."""
        ...


class Upstream:
    """A server at `base_url` (with its `/v1`). `speaks` is the name of its API, for messages; `phrases` are
    how it says that a context is too long; `timeout` is for the first byte and between two reads."""

    def __init__(
        self,
        base_url: str,
        *,
        speaks: str,
        headers: Mapping[str, str],
        api_key: str = "",
        unix_socket: str | None = None,
        timeout: float = 600.0,
        answer_bytes: int = ANSWER_BYTES,
        phrases: tuple[str, ...] = (),
    ) -> None:
        self._base = URL(base_url.rstrip("/"))
        self.where = str(self._base.with_user(None).with_query(None))
        self.host = self._base.host or ""
        self.phrases = phrases
        self._speaks = speaks
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "antiphon", **headers}
        self._api_key = api_key
        self._unix_socket = unix_socket
        self._patience = Patience(_CONNECT, timeout)
        self._answer_bytes = answer_bytes
        self._client: Client | None = None

    async def post(self, path: str, body: bytes) -> HttpAnswer:
        """An answer, as it begins; close it. Raises UpstreamError."""
        return await self._request("POST", path, body)

    async def ask(
        self, method: str, path: str, asked: object = None, query: Mapping[str, str] | None = None
    ) -> bytes | None:
        """The body of a small answer; None when the server does not know the question. Raises ApiError."""
        response = await self._request(method, path, None if asked is None else encode(asked), query)
        async with response:
            if response.status in _UNKNOWING:
                return None
            if response.status != 200:
                raise self.discreet(self.refused(response, await self.refusal(response), ""))
            try:
                return await response.body(MAX_EVENT, _too_large)
            except OSError as fault:
                raise self._fault(fault) from fault

    async def deltas(self, response: HttpAnswer, reader: Reader) -> AsyncGenerator[list[Delta], None]:
        """The deltas of an answer, a batch for each read of the socket. Raises ApiError."""
        if response.content_type == "text/html":
            raise UpstreamError(f"The upstream at {self.where} answered with a web page.")
        try:
            data = await response.read()
            if data.lstrip().startswith(b"{"):  # no stream, whatever it calls itself
                yield reader.whole(data + await response.body(MAX_EVENT, _too_large))
                return
            events, left = Events(), self._answer_bytes
            while data:
                left -= len(data)
                if left < 0:
                    raise upstream_errors.endless(self.where, self._answer_bytes)
                yield reader.read(events.feed(data))
                if reader.fault is not None:
                    raise reader.fault
                if reader.ended:
                    await response.drain()
                    return
                data = await response.read()
        except OSError as fault:
            if not reader.ended:
                raise self._fault(fault) from fault
            return
        yield reader.cut(events.rest())

    async def refusal(self, response: HttpAnswer) -> bytes:
        """The body of a refusal, as much of it as counts."""
        try:
            return (await response.beginning(upstream_errors.MAX_BODY))[: upstream_errors.MAX_BODY]
        except OSError as fault:
            raise self._fault(fault) from fault

    def refused(self, response: HttpAnswer, words: bytes, model: str) -> ApiError:
        """What a refusal means."""
        return upstream_errors.refused(
            response.status,
            words,
            response.headers,
            where=self.where,
            model=model,
            phrases=self.phrases,
            speaks=self._speaks,
        )

    def discreet(self, error: ApiError) -> ApiError:
        """Some servers repeat the key that they refuse."""
        if self._api_key and self._api_key in error.message:
            error.message = error.message.replace(self._api_key, "***")
            error.args = (error.message,)
        return error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _request(
        self, method: str, path: str, body: bytes | None, query: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        url = (self._base / path).update_query(query)
        try:
            return await self._opened().request(method, url, body, self._patience)
        except OSError as fault:
            raise self._fault(fault) from fault

    def _opened(self) -> Client:
        """The client, made in the loop that uses it. Raises UpstreamError for an address that is none."""
        if self._client is None:
            try:
                self._client = Client(
                    self._base, self._headers, unix_socket=self._unix_socket, keep=_KEEP_ALIVE
                )
            except ValueError as fault:
                raise UpstreamError(
                    f"The upstream at {self.where} cannot be asked: its address or its key is none that "
                    "HTTP can carry."
                ) from fault
        return self._client

    def _fault(self, fault: OSError) -> UpstreamError:
        if isinstance(fault, ConnectTimeout):
            return UpstreamTimeout(f"The upstream at {self.where} did not take up the connection in time.")
        if isinstance(fault, TimeoutError):
            wait = self._patience.read
            return UpstreamTimeout(f"The upstream at {self.where} was silent for more than {wait:g} seconds.")
        if isinstance(fault, ConnectFault):
            return UpstreamError(f"The upstream at {self.where} cannot be reached: {fault}.", retry_after=1)
        return UpstreamError(f"The upstream at {self.where} broke off the connection.")


def _too_large() -> UpstreamError:
    return UpstreamError("The upstream sent an answer that is too large.")
