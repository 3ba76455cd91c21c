"""The workhorse: any server that speaks Chat Completions over HTTP.

One read of the socket is one batch of deltas: no task and no queue stands between. What differs between
servers is in `dialects`, what goes out in `payload`, what comes in in `chat_stream`, what goes wrong in
`upstream_errors`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from antiphon.backends import upstream_errors
from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.backends.dialects import GENERIC, Dialect, known
from antiphon.backends.http import Client, ConnectFault, ConnectTimeout, HttpAnswer, Patience
from antiphon.backends.lessons import lesson
from antiphon.backends.listing import listed
from antiphon.backends.offer import offered
from antiphon.backends.passthrough import Check, HttpPassthrough, Server
from antiphon.backends.payload import capabilities, encode, payload, streams
from antiphon.backends.probe import Reply, probe
from antiphon.backends.retry import pause_before_retry
from antiphon.backends.splice import Splicer
from antiphon.backends.sse import MAX_EVENT, Events
from antiphon.backends.text_calls import TextCalls
from antiphon.backends.think import opened_by_template
from antiphon.guard.offload import offload
from antiphon.model import Backend, Capabilities, Delta, Model, NamedFunction, Overrated, Passthrough, Turn
from antiphon.protocol.errors import ApiError, UpstreamError, UpstreamTimeout
from antiphon.protocol.wire import JsonObject

# Shorter than the 5 s after which uvicorn, and with it vLLM and SGLang, hang up on an idle connection.
_KEEP_ALIVE = 4.0
# An answer in one piece is silent until it is written: how much longer than between two pieces we wait.
_WHOLE = 6
# What a proxy says that does not wait so long.
_IMPATIENT = (504, 524)
# Servers, by their `Server` header, that go on writing an answer in one piece when we hang up.
_HEEDLESS = "llama.cpp"
_PROXY = "x-litellm-version"
# How often one turn is sent: each refusal may teach one thing.
_LESSONS = 4

log = structlog.get_logger()

ANSWER_BYTES = 64 * 1024 * 1024
"""Of one answer, as it comes: a quarter of a million tokens, sent one by one."""


class ChatCompletions(Backend):
    """A server at `base_url` (with its `/v1`), reached over TCP or a unix socket."""

    def __init__(
        self,
        base_url: str,
        *,
        dialect: Dialect | None = None,
        api_key: str | None = None,
        unix_socket: str | None = None,
        ready: Callable[[], Awaitable[None]] | None = None,
        can: Callable[[Dialect], Capabilities] = capabilities,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 600.0,
        max_connections: int = 0,
        text_calls: bool = True,
        text_runs: bool = True,
        answer_bytes: int = ANSWER_BYTES,
        attempts: int = 2,
        check_passed: Check = lambda _: None,
    ) -> None:
        """Without a `dialect`, that of a well-known address is taken; `probe` asks any other. `ready` is
        awaited before each request and raises Unavailable while the server starts; `can` says what the
        models of a dialect can; `read_timeout` is for the first byte and between two reads;
        `max_connections` 0 sets no limit; `text_calls`: calls that the server leaves in the text are read;
        `text_runs`: texts are taken in runs (`splice`); `attempts`: how often a server that cannot just now
        is asked; `check_passed` refuses what is not passed through."""
        self._base = URL(base_url.rstrip("/"))
        self._where = str(self._base.with_user(None).with_query(None))
        found = dialect or known(base_url)
        self.dialect = found or GENERIC
        self._is_known = found is not None
        self._api_key = api_key or ""
        self._unix_socket = unix_socket
        self._ready = ready
        self._capabilities = can
        self._window: int | None = None
        """Tokens of the models' context, as the server says."""
        self._learned: dict[str, Dialect] = {}
        """The dialects of models whose server refused what the common one sends."""
        self._can = self._rated(self.dialect)
        """What all other models can: it is asked several times for each request."""
        self._headers = dict(headers or {})
        self._timeout = Patience(connect_timeout, read_timeout)
        self._long_timeout = Patience(connect_timeout, read_timeout * _WHOLE)
        self._max_connections = max_connections
        self._text_calls = text_calls
        self._text_runs = text_runs
        self._answer_bytes = answer_bytes
        self._attempts = attempts
        self._check_passed = check_passed
        self._client: Client | None = None

    # ---- Backend ------------------------------------------------------------------------------------

    def capabilities(self, model: str) -> Capabilities:
        learned = self._learned.get(model)
        return self._can if learned is None else self._rated(learned)

    def _rated(self, dialect: Dialect) -> Capabilities:
        """What a dialect can, with the window that the server told."""
        can = self._capabilities(dialect)
        if can.context_window or self._window is None:
            return can
        return replace(can, context_window=self._window)

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        response: HttpAnswer | None = None
        answer = self._answer(turn)
        calls = self._text_calls_of(turn)
        try:
            response = await self._taken_up(turn)
            streams = self._streams(response)
            yield ()  # it was taken up
            if not streams:
                whole = answer.whole(await response.body(MAX_EVENT, _too_large))
                self._note(turn.model, answer)
                yield whole if calls is None else calls.feed(whole)
                return
            async with aclosing(self._read(response, answer)) as batches:
                async for deltas in batches:
                    yield deltas if calls is None else calls.feed(deltas)
            self._note(turn.model, answer)
        except ApiError as fault:
            raise self._discreet(fault) from None
        except OSError as fault:
            raise self._fault(fault, self._patience(turn)) from fault
        finally:
            if response is not None:
                response.close()

    async def _taken_up(self, turn: Turn) -> HttpAnswer:
        """The answer, as it begins. A server that cannot just now is asked again. Raises ApiError."""
        for _ in range(self._attempts - 1):
            try:
                return await self._accepted(turn)
            except ApiError as fault:
                pause = pause_before_retry(fault)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        return await self._accepted(turn)

    async def _accepted(self, turn: Turn) -> HttpAnswer:
        try:
            response = await self._agreed(turn)
        except OSError as fault:
            raise self._fault(fault, self._patience(turn)) from fault
        if response.status != 200:
            words = await _refusal(response)
            response.close()
            raise self._refused(response, words, turn.model)
        return response

    async def _agreed(self, turn: Turn) -> HttpAnswer:
        """What the head of an answer or a refusal teaches is remembered, and asked by again. Raises Overrated
        when the turn needs what the server does not have after all."""
        for _ in range(_LESSONS):
            before = self._dialect(turn.model)
            body = await offload(turn.unwritten, payload, turn, before)
            response = await self._chat(turn, body)
            if response.status in (400, 422):
                words = await _refusal(response)
                taught = lesson(upstream_errors.words_in(words), body, before)
                if taught is None:
                    raise self._refused(response, words, turn.model)
                self._learn(turn.model, taught, "a refusal")
                _check_rated(turn, self.capabilities(turn.model), self._capabilities(before))
            elif not (turn.whole and before.whole and self._minds_whole(response)):
                return response
            response.close()
        return response

    def _minds_whole(self, response: HttpAnswer) -> bool:
        """Whether an answer in one piece was not a good idea, and has to be asked for again. Such a server is
        asked for no more of them."""
        headers = response.headers
        heedless = headers.get("Server", "").startswith(_HEEDLESS) or _PROXY in headers
        impatient = response.status in _IMPATIENT
        if heedless or impatient:
            self.dialect = replace(self.dialect, whole=False)
            self._learned = {model: replace(known, whole=False) for model, known in self._learned.items()}
        return impatient

    async def _chat(self, turn: Turn, body: JsonObject) -> HttpAnswer:
        encoded = await offload(turn.unwritten, encode, body)
        return await self._request("POST", self._url("chat/completions"), encoded, self._patience(turn))

    def _dialect(self, model: str) -> Dialect:
        return self._learned.get(model, self.dialect)

    def _learn(self, model: str, taught: Dialect, by: str) -> None:
        self._learned[model] = taught
        log.info(f"learned from {by}", upstream=self._where, model=model)

    def _note(self, model: str, answer: ChatStreamParser) -> None:
        """What an answer teaches. Some servers are asked for logprobs and send none: who asks again can know
        before the answer. What some want back is looked up when a client leaves it out."""
        before = after = self._dialect(model)
        if answer.gave_logprobs is not None:
            after = replace(after, logprobs_come=answer.gave_logprobs)
        if answer.gave_opaque:
            after = replace(after, opaque=True)
        if after != before:
            self._learn(model, after, "an answer")

    def _patience(self, turn: Turn) -> Patience:
        return self._timeout if streams(turn, self._dialect(turn.model)) else self._long_timeout

    async def _read(
        self, response: HttpAnswer, answer: ChatStreamParser
    ) -> AsyncGenerator[Sequence[Delta], None]:
        """The deltas of a stream, a batch for each read."""
        events = Events()
        read = response.read
        left = self._answer_bytes
        try:
            data = await read()
            if data.lstrip().startswith(b"{"):  # no stream, whatever it calls itself
                yield answer.whole(data + await response.body(MAX_EVENT, _too_large))
                return
            while data:
                left -= len(data)
                if left < 0:
                    raise upstream_errors.endless(self._where, self._answer_bytes)
                yield answer.read(events.whole(data))
                if answer.fault is not None:
                    raise answer.fault
                if answer.ended:
                    await response.drain()
                    return
                data = await read()
        except OSError:
            if not answer.ended:
                raise
            return
        yield answer.cut(events.rest())

    async def models(self) -> Sequence[Model]:
        body = await self._ask("GET", self._url("models"))
        if body is None:
            raise UpstreamError(f"The upstream at {self._where} lists no models.")
        can = self._capabilities(self.dialect)
        return listed(body, configured=can.context_window, probed=self._window)

    async def check(self) -> None:
        await self._ask("GET", self._url("models"))

    async def count_tokens(self, turn: Turn) -> int | None:
        if not self.dialect.tokenizer:
            return None
        body = await offload(turn.unwritten, payload, turn, self._dialect(turn.model))
        asked: JsonObject = {name: body[name] for name in ("model", "messages", "tools") if name in body}
        if self.dialect.tokenizer == "template":
            prompt = await self._ask("POST", self._root("apply-template"), asked)
            if prompt is None:
                return None
            asked = {
                "content": _decode_as(prompt, _Prompt).prompt,
                "add_special": True,
                "parse_special": True,
            }
        counted = await self._ask("POST", self._root("tokenize"), asked)
        return None if counted is None else _decode_as(counted, _Tokens).number()

    async def probe(self) -> str | None:
        if self._is_known or self._unix_socket:
            return None
        found = await probe(self._reply)
        self._is_known = True
        if found is None:
            return f"a server at {self._where} that is not known: dialect {self.dialect.name}"
        self.dialect, self._window = found.dialect, found.context_window
        self._learned.clear()
        self._can = self._rated(self.dialect)
        return f"dialect {found.dialect.name} at {self._where}, known {found.how}"

    async def _reply(self, path: str) -> Reply:
        url = self._base / path.removeprefix("v1/") if path.startswith("v1/") else self._root(path)
        try:
            async with await self._request("GET", url, None, self._timeout) as response:
                return Reply(response.status, response.headers, await response.body(MAX_EVENT, _too_large))
        except OSError as fault:
            raise self._fault(fault, self._timeout) from fault

    def passthrough(self) -> Passthrough:
        patience, tokens = (self._timeout, self._long_timeout), self.dialect.max_tokens
        server = Server(
            self._where, self._api_key, self._post, self._fault, *patience, self._answer_bytes, tokens
        )
        return HttpPassthrough(server, self._check_passed)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # ---- HTTP ---------------------------------------------------------------------------------------

    async def _request(self, method: str, url: URL, body: bytes | None, patience: Patience) -> HttpAnswer:
        if self._ready is not None:
            await self._ready()
        return await self._opened().request(method, url, body, patience)

    async def _post(self, path: str, body: bytes, patience: Patience) -> HttpAnswer:
        return await self._request("POST", self._url(path), body, patience)

    def _opened(self) -> Client:
        """The client, made in the loop that uses it. Raises UpstreamError for an address that is none."""
        if self._client is None:
            headers = {"Accept-Encoding": "identity", "User-Agent": "antiphon", **self._headers}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            try:
                self._client = Client(
                    self._base,
                    headers,
                    unix_socket=self._unix_socket,
                    most=self._max_connections,
                    keep=_KEEP_ALIVE,
                )
            except ValueError as fault:
                raise UpstreamError(
                    f"The upstream at {self._where} cannot be asked: its address or its key is none that "
                    "HTTP can carry."
                ) from fault
        return self._client

    def _url(self, path: str) -> URL:
        return self._base / path

    def _root(self, path: str) -> URL:
        """Tokenizers live next to `/v1`, not below it."""
        root = self._base.parent if self._base.name == "v1" else self._base
        return root / path

    async def _ask(self, method: str, url: URL, asked: object = None) -> bytes | None:
        """The body of a small answer; None when the upstream does not know the question."""
        body = None if asked is None else encode(asked)
        try:
            async with await self._request(method, url, body, self._timeout) as response:
                if response.status in (400, 404, 405, 422, 501):
                    return None
                if response.status != 200:
                    raise self._discreet(self._refused(response, await _refusal(response), ""))
                return await response.body(MAX_EVENT, _too_large)
        except OSError as fault:
            raise self._fault(fault, self._timeout) from fault

    def _answer(self, turn: Turn) -> ChatStreamParser:
        return ChatStreamParser(
            think_tags=self.dialect.think_tags,
            think_opened=opened_by_template(turn.model),
            top=turn.sampling.top_logprobs,
            phrases=self.dialect.context_phrases,
            names=frozenset(function.name for function in turn.functions),
            splicer=Splicer() if self._text_runs else None,
        )

    def _text_calls_of(self, turn: Turn) -> TextCalls | None:
        """What finds the calls that the server left in the text, where there may be any."""
        expected = self._text_calls and self.dialect.text_calls and offered(turn)
        return TextCalls(turn) if expected else None

    def _streams(self, response: HttpAnswer) -> bool:
        kind = response.headers.get("Content-Type", "").lower()
        if "text/html" in kind:
            raise UpstreamError(f"The upstream at {self._where} answered with a web page.")
        return not kind.startswith("application/json")

    # ---- what goes wrong ----------------------------------------------------------------------------

    def _refused(self, response: HttpAnswer, body: bytes, model: str) -> ApiError:
        return upstream_errors.refused(
            response.status,
            body,
            response.headers,
            where=self._where,
            model=model,
            phrases=self.dialect.context_phrases,
        )

    def _discreet(self, error: ApiError) -> ApiError:
        """Some servers repeat the key that they refuse."""
        if self._api_key and self._api_key in error.message:
            error.message = error.message.replace(self._api_key, "***")
            error.args = (error.message,)
        return error

    def _fault(self, fault: Exception, patience: Patience) -> UpstreamError:
        if isinstance(fault, ConnectTimeout):
            return UpstreamTimeout(f"The upstream at {self._where} did not take up the connection in time.")
        if isinstance(fault, TimeoutError):
            wait = patience.read
            return UpstreamTimeout(
                f"The upstream at {self._where} was silent for more than {wait:g} seconds."
            )
        if isinstance(fault, ConnectFault):
            reason = f"The upstream at {self._where} cannot be reached: {fault}."
            return UpstreamError(reason, retry_after=1)
        return UpstreamError(f"The upstream at {self._where} broke off the connection.")


async def _refusal(response: HttpAnswer) -> bytes:
    """The body of a refusal, as much of it as counts."""
    return (await response.beginning(upstream_errors.MAX_BODY))[: upstream_errors.MAX_BODY]


def _too_large() -> UpstreamError:
    return UpstreamError("The upstream sent an answer that is too large.")


def _check_rated(turn: Turn, now: Capabilities, before: Capabilities) -> None:
    """Raises Overrated when the turn was made for a server that can more."""
    forced = turn.choice == "required" or isinstance(turn.choice, NamedFunction)
    formed = (now.json_schema, now.json_object) != (before.json_schema, before.json_object)
    if (forced and not now.forced_tools) or (turn.format != "text" and formed):
        raise Overrated("The model's server cannot do what this request asks of it.")


# ---- small answers ----------------------------------------------------------------------------------


class _Prompt(Struct, frozen=True):
    prompt: str


class _Tokens(Struct, frozen=True):
    count: int | None = None
    tokens: list[Any] | None = None

    def number(self) -> int | None:
        if self.count is not None:
            return self.count
        return None if self.tokens is None else len(self.tokens)


T = TypeVar("T")


def _decode_as(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise UpstreamError("The upstream sent something that we do not understand.") from fault
