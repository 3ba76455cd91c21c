"""A model server over HTTP, whatever API it speaks: its connections, its key, and what goes wrong with it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Protocol

from yarl import URL

from antiphon.backends import upstream_errors
from antiphon.backends.http import Client, ConnectFault, ConnectTimeout, HttpAnswer, Patience
from antiphon.backends.sse import MAX_EVENT, Events
from antiphon.model import Delta, Pour
from antiphon.protocol.errors import ApiError, UpstreamError, UpstreamTimeout
from antiphon.protocol.wire import encode
from antiphon.telemetry import metrics

_UNKNOWING = (400, 404, 405, 422, 501)
"""How servers say that they do not know a question."""
_BURST = 4096
"""Bytes of a read behind which more has come by now, as it seems: what is read together costs less."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Of one answer, as it comes: a quarter of a million tokens, sent one by one."""
CONNECT_SECONDS = 10.0
"""For a connection."""


class Reader(Protocol):
    """What makes deltas of one answer. `ended`: no more is to come; `fault`: what was wrong with it, to be
    raised behind the deltas that came before."""

    ended: bool
    fault: ApiError | None

    def read_from(self, events: Events, data: bytes) -> list[Delta]:
        """The deltas of the events that one network read completes."""
        ...

    def whole(self, body: bytes) -> list[Delta]:
        """Those of an answer in one piece. Raises ApiError."""
        ...

    def cut(self, rest: bytes | None) -> list[Delta]:
        """The stream is over, and did not say so. Raises ApiError when it was cut off."""
        ...


class Upstream:
    """A server at `base_url` (with its `/v1`), reached over TCP or a unix socket. `speaks` is the name of its
    API, for messages; `patience` is that with which it
    is asked, unless another one is given. `ready` is awaited before each request and raises Unavailable while
    the server starts; `name`: under which it is configured."""

    def __init__(
        self,
        base_url: str,
        *,
        speaks: str,
        headers: Mapping[str, str],
        patience: Patience,
        api_key: str = "",
        unix_socket: str | None = None,
        answer_bytes: int = ANSWER_BYTES,
        ready: Callable[[], Awaitable[None]] | None = None,
        name: str | None = None,
    ) -> None:
        given = URL(base_url)
        self._base = URL(str(given.with_query(None)).rstrip("/"))
        self._query = given.query
        self.url: Callable[[str], URL] = lru_cache(self._below)
        """Of what is below the base URL, with its query: Azure has its version there."""
        self.where = str(self._base.with_user(None))
        self.host = self._base.host or ""
        self.api_key = api_key
        self.answer_bytes = answer_bytes
        self._speaks = speaks
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "antiphon", **headers}
        self._unix_socket = unix_socket
        self._patience = patience
        self._ready = ready
        self._name = name
        self._client: Client | None = None
        self._up: bool | None = None
        """Whether it answered when it was last asked; None: it was not."""

    def _below(self, path: str) -> URL:
        url = self._base / path
        return url.with_query(self._query) if self._query else url

    def beside(self, path: str) -> URL:
        """Next to `/v1`, not below it."""
        return (self._base.parent if self._base.name == "v1" else self._base) / path

    def post(self, path: str, body: bytes, patience: Patience | None = None) -> Awaitable[HttpAnswer]:
        """An answer, as it begins; close it. Raises ApiError."""
        return self.request("POST", self.url(path), body, patience)

    async def request(
        self, method: str, url: URL, body: bytes | None = None, patience: Patience | None = None
    ) -> HttpAnswer:
        """The same to any URL of the server."""
        if self._ready is not None:
            await self._ready()
        patience = patience or self._patience
        try:
            answer = await self._opened().request(method, url, body, patience)
        except OSError as fault:
            metrics.count_upstream(self.where, _what_failed(fault))
            self._found(up=False)
            raise self.fault(fault, patience) from fault
        metrics.count_upstream(self.where, str(answer.status))
        self._found(up=answer.status < 500)
        return answer

    def _found(self, *, up: bool) -> None:
        if up is not self._up:
            self._up = up
            metrics.set_up(self.where, up)

    async def ask(self, method: str, url: URL, asked: object = None) -> bytes | None:
        """The body of a small answer; None when the server does not know the question. Raises ApiError."""
        with await self.request(method, url, None if asked is None else encode(asked)) as response:
            if response.status in _UNKNOWING:
                return None
            if response.status != 200:
                raise self.discreet(self.refused(response, await self.refusal(response), ""))
            return await self.body(response)

    async def body(self, response: HttpAnswer) -> bytes:
        """The whole of an answer that is not large. Raises UpstreamError."""
        try:
            return await response.body(MAX_EVENT, _too_large)
        except OSError as fault:
            raise self.fault(fault, response.patience) from fault

    def check_page(self, response: HttpAnswer) -> None:
        """Raises UpstreamError for a web page, which is no answer of an API."""
        if response.content_type == "text/html":
            raise UpstreamError(f"The upstream at {self.where} answered with a web page.")

    async def deltas(self, response: HttpAnswer, reader: Reader) -> AsyncGenerator[list[Delta], Pour | None]:
        """The deltas of an answer, a batch for each read of the socket. Raises ApiError."""
        coming = _Coming(reader, self.where, self.answer_bytes)
        try:
            data = await response.read()
            if data.lstrip().startswith(b"{"):  # no stream, whatever it calls itself
                yield reader.whole(data + await response.body(MAX_EVENT, _too_large))
                return
            while data:
                pour = yield coming.take(data)
                if pour is not None and coming.flows(data):
                    left = coming.left
                    await response.pour(partial(coming.pour, pour))
                    if coming.left < left:  # else nothing was poured: it is packed, or has come by now
                        yield []
                if reader.fault is not None:
                    raise reader.fault
                if reader.ended:
                    await response.drain()
                    return
                data = await response.read()
        except OSError as fault:
            if not reader.ended:
                raise self.fault(fault, response.patience) from fault
            return
        yield reader.cut(coming.rest())

    async def refusal(self, response: HttpAnswer) -> bytes:
        """The body of a refusal, as much of it as counts."""
        try:
            return (await response.beginning(upstream_errors.MAX_BODY))[: upstream_errors.MAX_BODY]
        except OSError as fault:
            raise self.fault(fault, response.patience) from fault

    def refused(self, response: HttpAnswer, words: bytes, model: str) -> ApiError:
        """What a refusal means."""
        return upstream_errors.refused(
            response.status,
            words,
            response.headers,
            where=self.where,
            model=model,
            speaks=self._speaks,
        )

    def discreet(self, error: ApiError) -> ApiError:
        """Some servers repeat the key that they refuse."""
        if self.api_key and self.api_key in error.message:
            error.message = error.message.replace(self.api_key, "***")
            error.args = (error.message,)
        return error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def fault(self, fault: Exception, patience: Patience) -> UpstreamError:
        """What went wrong on the way, in our words."""
        if isinstance(fault, ConnectTimeout):
            return UpstreamTimeout(f"The upstream at {self.where} did not take up the connection in time.")
        if isinstance(fault, TimeoutError):
            wait = patience.read
            return UpstreamTimeout(f"The upstream at {self.where} was silent for more than {wait:g} seconds.")
        if isinstance(fault, ConnectFault):
            return UpstreamError(f"The upstream at {self.where} cannot be reached: {fault}.", retry_after=1)
        return UpstreamError(f"The upstream at {self.where} broke off the connection.")

    def _opened(self) -> Client:
        """The client, made in the loop that uses it. Raises UpstreamError for an address that is none."""
        if self._client is None:
            try:
                self._client = Client(
                    self._base,
                    self._headers,
                    unix_socket=self._unix_socket,
                    name=self._name,
                )
            except ValueError as fault:
                raise UpstreamError(
                    f"The upstream at {self.where} cannot be asked: its address or its key is none that "
                    "HTTP can carry."
                ) from fault
        return self._client


class _Coming:
    """What comes of one answer, given to its reader. More than `most` bytes are too many."""

    def __init__(self, reader: Reader, where: str, most: int) -> None:
        self._reader = reader
        self._where = where
        self._most = most
        self.left = most
        """How much may still come."""
        self._events = Events()
        self.rest = self._events.rest

    def take(self, data: bytes) -> list[Delta]:
        """The deltas of one read. Raises UpstreamError."""
        self.left -= len(data)
        if self.left < 0:
            raise upstream_errors.endless(self._where, self._most)
        return self._reader.read_from(self._events, data)

    def pour(self, into: Pour, data: bytes) -> bool:
        """Those of one read go there. Whether the next may too."""
        return into(self.take(data)) and self.flows(data)

    def flows(self, data: bytes) -> bool:
        """Whether an answer goes on in small reads."""
        return len(data) < _BURST and not self._reader.ended and self._reader.fault is None


def _what_failed(fault: OSError) -> str:
    if isinstance(fault, ConnectFault | ConnectTimeout):
        return "unreachable"
    return "silent" if isinstance(fault, TimeoutError) else "broken"


def _too_large() -> UpstreamError:
    return UpstreamError("The upstream sent an answer that is too large.")


def bearer(api_key: str | None) -> dict[str, str]:
    """A key as most servers take it."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
