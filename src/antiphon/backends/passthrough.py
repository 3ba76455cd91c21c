"""Passing a request on to a server, and its answer back, byte by byte.

The server gets the request's body with its own key, and nothing of the client's head. Of the head of its
answer the client gets what says something about the body: all else belongs to the connection behind us.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn, Self

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from antiphon.backends import upstream_errors
from antiphon.backends.http import HttpAnswer, Patience
from antiphon.backends.retry import pause_before_retry
from antiphon.guard.offload import in_bytes, offload
from antiphon.model import Members, Passed
from antiphon.model.json_text import read_json
from antiphon.model.passthrough import Answer
from antiphon.protocol.errors import ApiError, InvalidRequest, NotFound, UpstreamError
from antiphon.protocol.wire import encode

_TYPE = b"content-type"
_JSON = (_TYPE, b"application/json")
_HANDED_ON = (_TYPE, b"retry-after")
_LIMITS = b"x-ratelimit-"
_LENGTH = b"content-length"
_UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
"""Has proxies before us hand a stream on as it comes."""
_OWN_FAULTS = (401, 403)
"""What an upstream says of the key that we have there: it concerns the operator, not the client."""
_LENGTHS = ("max_tokens", "max_completion_tokens")
_HELD_TO_FORM = ("grammar", "json_schema", "tools", "functions")
_PLAIN_FORMATS = (None, "text", "json_object")

Headers = Sequence[tuple[bytes, bytes]]
Check = Callable[[Members], None]
"""Raises InvalidRequest for a request that this server must not get."""


class Server(Struct, frozen=True):
    """Where requests are passed on to, and how."""

    where: str
    """Its address, for people."""
    key: str
    post: Callable[[str, bytes, Patience], Awaitable[HttpAnswer]]
    """Sends a body to a path below the base URL. Raises ApiError, or OSError."""
    fault: Callable[[Exception, Patience], UpstreamError]
    """What went wrong, in our words."""
    streaming: Patience
    whole: Patience
    """For answers in one piece, which are silent until they are written."""
    answer_bytes: int
    """Of one answer, as it comes."""
    max_tokens: str = "max_tokens"
    """How it calls the longest answer."""
    hints: frozenset[str] = frozenset()
    """What it understands besides what all do, see `dialects`."""
    helps: str = (
        "A server that does is configured as a backend of its own: base_url and models of [backends.NAME]."
    )
    """What to do when it does not serve a path."""


class HttpPassthrough(Struct, frozen=True):
    """All endpoints of a server."""

    server: Server
    check: Check = lambda _: None
    most: int | None = None
    """Tokens of an answer when its request says nothing of its length."""

    def bounded(self, most: int) -> Self:
        return replace(self, most=most)

    @asynccontextmanager
    async def answered(self, request: Passed) -> AsyncIterator[Answer]:
        self.check(request.members)
        server = self.server
        patience = server.streaming if _is_true(request.members.get("stream")) else server.whole
        members = request.members | self._length(request) | self._tier(request)
        body = await offload(in_bytes(request.size), encode, members)
        async with handed_on(server, request.endpoint, request.model, body, patience) as answer:
            yield answer

    def _length(self, request: Passed) -> Members:
        said = any(not _is_null(request.members.get(name)) for name in _LENGTHS)
        if self.most is None or said or request.endpoint == "embeddings":
            return {}
        return {self.server.max_tokens: Raw(encode(self.most))}

    def _tier(self, request: Passed) -> Members:
        """Of the endpoints chat completions alone have one."""
        said = not _is_null(request.members.get("service_tier"))
        known = request.endpoint == "chat/completions" and "service_tier" in self.server.hints
        if request.tier is None or said or not known:
            return {}
        return {"service_tier": Raw(encode(request.tier))}


@asynccontextmanager
async def handed_on(
    server: Server, path: str, model: str, body: bytes, patience: Patience
) -> AsyncIterator[Answer]:
    """The answer to a body that goes to a path of the server as it is. Raises ApiError when there is none
    that can be handed on."""
    answer = await _Sent(server, path, model, body, patience).answer()
    try:
        yield answer
    finally:
        answer.close()


class _Begun(Struct, frozen=True):
    """A success, of which the first bytes are there."""

    response: HttpAnswer
    first: bytes
    server: Server
    patience: Patience

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Headers:
        return _headers(self.response)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        read, left = self.response.read, self.server.answer_bytes
        data = self.first
        try:
            while data:
                left -= len(data)
                if left < 0:
                    raise upstream_errors.endless(self.server.where, self.server.answer_bytes)
                yield data
                data = await read()
        except OSError as fault:
            raise self.server.fault(fault, self.patience) from fault

    def close(self) -> None:
        self.response.close()


class _Refused(Struct, frozen=True):
    """An error, or no answer at all."""

    fault: ApiError
    """In our words."""
    status: int = 0
    headers: Headers = ()
    envelope: bytes = b""
    """In the words of the upstream, when they are OpenAI's error envelope."""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self.envelope

    def close(self) -> None:
        pass


class _Sent(Struct, frozen=True):
    """One request to a server."""

    server: Server
    path: str
    model: str
    body: bytes
    patience: Patience

    async def answer(self) -> _Begun | _Refused:
        """A server that cannot just now is asked once more. Raises ApiError when it says nothing that can be
        handed on."""
        answer = await self._tried()
        if isinstance(answer, _Refused) and (pause := pause_before_retry(answer.fault)) is not None:
            await asyncio.sleep(pause)
            answer = await self._tried()
        if isinstance(answer, _Refused) and not answer.envelope:
            raise answer.fault
        return answer

    async def _tried(self) -> _Begun | _Refused:
        try:
            response = await self.server.post(self.path, self.body, self.patience)
        except ApiError as fault:
            return _Refused(fault)
        except OSError as fault:
            return _Refused(self.server.fault(fault, self.patience))
        try:
            return await self._begun(response) if response.status // 100 == 2 else await self._words(response)
        except BaseException as fault:
            response.close()
            if isinstance(fault, ApiError):
                return _Refused(fault)
            if isinstance(fault, OSError):
                return _Refused(self.server.fault(fault, self.patience))
            raise

    async def _begun(self, response: HttpAnswer) -> _Begun:
        where = self.server.where
        if response.content_type == "text/html":
            raise UpstreamError(f"The upstream at {where} answered with a web page.")
        first = await response.read()
        if not first:
            raise UpstreamError(f"The upstream at {where} sent an empty answer.")
        return _Begun(response, first, self.server, self.patience)

    async def _words(self, response: HttpAnswer) -> _Refused:
        """A refusal, read as far as it counts."""
        words = await response.beginning(upstream_errors.MAX_BODY)
        headers = _headers(response)
        response.close()
        if upstream_errors.knows_no_path(response.status, words):
            self._not_served()
        where, key = self.server.where, self.server.key.encode()
        if key:  # some servers repeat the key that they refuse
            words = words.replace(key, b"***")
        fault = upstream_errors.refused(
            response.status, words, response.headers, where=where, model=self.model, phrases=()
        )
        if response.status < 400 or response.status in _OWN_FAULTS or not _is_envelope(words):
            return _Refused(fault)
        told = [(name, value) for name, value in headers if name not in (_TYPE, _LENGTH)]
        return _Refused(fault, response.status, [_JSON, *told], words)

    def _not_served(self) -> NoReturn:
        raise NotFound(
            f"The upstream at {self.server.where} serves no /v1/{self.path}. {self.server.helps}",
            code="unknown_url",
        )


def refuse_forms(members: Members) -> None:
    """Raises InvalidRequest for what has llama.cpp compile a grammar: it does so within the engine, whatever
    the grammar is, and a hostile one ends it."""
    asked = [name for name in _HELD_TO_FORM if not _is_null(members.get(name))]
    if not asked and _format(members.get("response_format")) not in _PLAIN_FORMATS:
        asked = ["response_format"]
    if asked:
        raise InvalidRequest(
            f"The embedded model takes no '{asked[0]}' here. POST /v1/responses has it: there grammars and "
            "schemas are checked before they reach the model.",
            param=asked[0],
            code="unsupported_parameter",
        )


class _Typed(Struct):
    type: str | None = None


def _format(raw: Raw | None) -> str | None:
    """The type of an answer's form; empty when it is none."""
    try:
        asked = None if raw is None else msgspec.json.decode(raw, type=_Typed | None)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return None if asked is None else asked.type


def _headers(response: HttpAnswer) -> Headers:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers.items()]
    kept = [(name, value) for name, value in raw if name in _HANDED_ON or name.startswith(_LIMITS)]
    if "Content-Encoding" not in response.headers:  # else it was unpacked
        kept += [(name, value) for name, value in raw if name == _LENGTH][:1]
    return [*kept, *_UNBUFFERED] if response.content_type == "text/event-stream" else kept


def _is_envelope(words: bytes) -> bool:
    """Whether SDKs find their message in it."""
    told = read_json(words)
    error = told.get("error") if isinstance(told, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str) and bool(error["message"])


def _is_true(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) == b"true"


def _is_null(raw: Raw | None) -> bool:
    return raw is None or bytes(raw) == b"null"
