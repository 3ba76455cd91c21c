"""The workhorse: any server that speaks Chat Completions over HTTP.

One read of the socket is one batch of deltas: no task and no queue stands between. What differs between
servers is in `dialects`, what goes out in `payload`, what comes in in `chat_stream`, what goes wrong in
`upstream_errors`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends import upstream_errors
from antiphon.backends.chat_answer import in_one_piece
from antiphon.backends.chat_chunk import decode_strictly
from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.backends.dialects import GENERIC, Dialect, known
from antiphon.backends.http import HttpAnswer, Patience
from antiphon.backends.lessons import check_rated, lesson
from antiphon.backends.listing import listed
from antiphon.backends.offer import offered
from antiphon.backends.passthrough import Check, HttpPassthrough, Server
from antiphon.backends.payload import capabilities, encode, payload
from antiphon.backends.probe import Reply, probe
from antiphon.backends.retry import pause_before_retry
from antiphon.backends.seals import without_doubtful
from antiphon.backends.splice import Splicer
from antiphon.backends.text_calls import TextCalls
from antiphon.backends.think import opened_by_template
from antiphon.backends.upstream import ANSWER_BYTES, CONNECT_SECONDS, Upstream, bearer
from antiphon.guard.offload import offload
from antiphon.model import Backend, CallStarted, Capabilities, Delta, Deltas, Model, Passthrough, Turn
from antiphon.protocol.errors import ApiError, UpstreamError
from antiphon.protocol.wire import JsonObject

# An answer in one piece is silent until it is written: how much longer than between two pieces we wait.
_WHOLE = 6
# What a proxy says that does not wait so long.
_IMPATIENT = (504, 524)
# Servers, by their `Server` header, that go on writing an answer in one piece when we hang up.
_HEEDLESS = "llama.cpp"
_PROXY = "x-litellm-version"
# How often one turn is sent: each refusal may teach one thing.
_LESSONS = 4
# Of refusals that are about the request, and say nothing of answers in one piece.
_TEACHING = (400, 404, 422)

_NO_NAMES: frozenset[str] = frozenset()
"""One for all turns without functions: Python makes another each time, of the size of a small dict."""

log = structlog.get_logger()


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
        connect_timeout: float = CONNECT_SECONDS,
        read_timeout: float = 600.0,
        text_calls: bool = True,
        text_runs: bool = True,
        answer_bytes: int = ANSWER_BYTES,
        attempts: int = 2,
        check_passed: Check = lambda _: None,
        name: str | None = None,
    ) -> None:
        """Without a `dialect`, that of a well-known address is taken; `probe` asks any other. `ready` is
        awaited before each request and raises Unavailable while the server starts; `can` says what the
        models of a dialect can; `read_timeout` is for the first byte and between two reads; `text_calls`:
        calls that the server leaves in the text are read; `text_runs`: texts are taken in runs (`splice`);
        `attempts`: how often a server that cannot just now is asked; `check_passed` refuses what is not
        passed through; `name`: under which it is configured."""
        found = dialect or known(base_url)
        self.dialect = found or GENERIC
        self._is_known = found is not None or bool(unix_socket)
        self._timeout = Patience(connect_timeout, read_timeout)
        self._long_timeout = Patience(connect_timeout, read_timeout * _WHOLE)
        self._upstream = Upstream(
            base_url,
            speaks="Chat Completions",
            headers={**(headers or {}), **bearer(api_key)},
            patience=self._timeout,
            api_key=api_key or "",
            unix_socket=unix_socket,
            answer_bytes=answer_bytes,
            ready=ready,
            name=name,
        )
        self._capabilities = can
        self._window: int | None = None
        """Tokens of the models' context, as the server says."""
        self._learned: dict[str, Dialect] = {}
        """The dialects of models whose server refused what the common one sends."""
        self._can = self._rated(self.dialect)
        """What all other models can: it is asked several times for each request."""
        self._text_calls = text_calls
        self._text_runs = text_runs
        self._attempts = attempts
        self._check_passed = check_passed

    # ---- Backend ------------------------------------------------------------------------------------

    def capabilities(self, model: str) -> Capabilities:
        learned = self._learned.get(model)
        return self._can if learned is None else self._rated(learned)

    def _rated(self, dialect: Dialect) -> Capabilities:
        """What a dialect can, with the window that the server reports."""
        can = self._capabilities(dialect)
        if can.context_window or self._window is None:
            return can
        return replace(can, context_window=self._window)

    async def stream(self, turn: Turn) -> Deltas:
        upstream, left = self._upstream, self._attempts
        while True:
            answer, fails = None, True  # `fails`: it told of a fault, or refused, and said nothing else
            try:
                with await self._agreed(turn) as response:
                    fails = False
                    if response.content_type.startswith("application/json"):
                        body = response.rest()
                        if body is None:
                            yield ()  # it was taken up
                            body = await upstream.body(response)
                        try:
                            whole = self._whole(turn, body)
                        except ApiError:
                            fails = True
                            yield ()  # it was taken up, however soon its bytes came
                            raise
                        yield whole
                        return
                    upstream.check_page(response)
                    yield ()  # it was taken up
                    answer, calls = self._parser(turn), self._text_calls_of(turn)
                    async with aclosing(upstream.deltas(response, answer)) as batches:
                        with suppress(StopAsyncIteration):
                            pour = None
                            while True:
                                deltas = await batches.asend(pour)
                                if calls is None:
                                    pour = yield deltas
                                else:
                                    yield calls.feed(deltas)
                self._note(turn.model, answer)
                return
            except ApiError as fault:
                left -= 1
                fails = fails or (answer is not None and answer.failed_at_once)
                pause = pause_before_retry(fault) if fails and left > 0 else None
                if pause is None:
                    raise upstream.discreet(fault) from None
            await asyncio.sleep(pause)

    async def _agreed(self, turn: Turn) -> HttpAnswer:
        """What the head of an answer or a refusal teaches is remembered, and asked by again. Raises ApiError:
        Overrated when the turn needs what the server does not have after all."""
        upstream, model, words = self._upstream, turn.model, b""
        for _ in range(_LESSONS):
            before = self._dialect(model)
            body, encoded = await offload(turn.unwritten, _written, turn, before)
            patience = self._timeout if body["stream"] else self._long_timeout
            response = await upstream.post("chat/completions", encoded, patience)
            teaches = response.status in _TEACHING
            impatient = turn.whole and before.whole and not teaches and self._minds_whole(response)
            if response.status == 200:
                return response
            with response:
                if impatient:
                    continue
                words = await upstream.refusal(response)
            said = upstream_errors.words_in(words) if teaches else ""
            if (unsealed := without_doubtful(turn, said, upstream.where)) is not None:
                turn = unsealed
                continue
            taught = lesson(said, body, before)
            if taught is None:
                raise upstream.refused(response, words, model)
            self._learn(model, taught, "a refusal")
            check_rated(turn, self.capabilities(model), self._capabilities(before))
        raise upstream.refused(response, words, model)

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

    def _dialect(self, model: str) -> Dialect:
        return self._learned.get(model, self.dialect)

    def _learn(self, model: str, taught: Dialect, by: str) -> None:
        self._learned[model] = taught
        log.info(f"learned from {by}", upstream=self._upstream.where, model=model)

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

    async def models(self) -> Sequence[Model]:
        body = await self._upstream.ask("GET", self._upstream.url("models"))
        if body is None:
            raise UpstreamError(f"The upstream at {self._upstream.where} lists no models.")
        can = self._capabilities(self.dialect)
        return listed(body, configured=can.context_window, probed=self._window)

    async def check(self) -> None:
        await self._upstream.ask("GET", self._upstream.url("models"))

    async def count_tokens(self, turn: Turn) -> int | None:
        if not self.dialect.tokenizer:
            return None
        body = await offload(turn.unwritten, payload, turn, self._dialect(turn.model))
        asked: JsonObject = {name: body[name] for name in ("model", "messages", "tools") if name in body}
        if self.dialect.tokenizer == "template":
            prompt = await self._upstream.ask("POST", self._upstream.beside("apply-template"), asked)
            if prompt is None:
                return None
            asked = {
                "content": _decode_as(prompt, _Prompt).prompt,
                "add_special": True,
                "parse_special": True,
            }
        counted = await self._upstream.ask("POST", self._upstream.beside("tokenize"), asked)
        return None if counted is None else _decode_as(counted, _Tokens).number()

    async def probe(self) -> str | None:
        if self._is_known:
            return None
        found = await probe(self._reply)
        self._is_known = True
        if found is None:
            return f"a server at {self._upstream.where} that is not known: dialect {self.dialect.name}"
        self.dialect, self._window = found.dialect, found.context_window
        self._learned.clear()
        self._can = self._rated(self.dialect)
        return f"dialect {found.dialect.name} at {self._upstream.where}, known {found.how}"

    async def _reply(self, path: str) -> Reply:
        upstream = self._upstream
        below = path.removeprefix("v1/")
        url = upstream.url(below) if below != path else upstream.beside(path)
        with await upstream.request("GET", url) as response:
            return Reply(response.status, response.headers, await upstream.body(response))

    def passthrough(self) -> Passthrough:
        upstream = self._upstream
        server = Server(
            upstream.where,
            upstream.api_key,
            upstream.post,
            upstream.fault,
            self._timeout,
            self._long_timeout,
            upstream.answer_bytes,
            self.dialect.max_tokens,
            self.dialect.hints,
        )
        return HttpPassthrough(server, self._check_passed)

    async def close(self) -> None:
        await self._upstream.close()

    # ---- how an answer is read ----------------------------------------------------------------------

    def _whole(self, turn: Turn, body: bytes) -> Sequence[Delta]:
        """The deltas of an answer in one piece. Raises ApiError."""
        chunk, deltas = decode_strictly(body), None
        if chunk and turn.sampling.top_logprobs is None and not opened_by_template(turn.model):
            deltas = in_one_piece(chunk, self.dialect.think_tags, turn.functions)
            if deltas is not None and isinstance(deltas[0], CallStarted):
                return deltas  # there is no text in which there may be more calls
        if deltas is None:
            answer = self._parser(turn)
            deltas = answer.whole(body, chunk)
            self._note(turn.model, answer)
        calls = self._text_calls_of(turn)
        return deltas if calls is None else calls.feed(deltas)

    def _parser(self, turn: Turn) -> ChatStreamParser:
        return ChatStreamParser(
            think_tags=self.dialect.think_tags,
            think_opened=opened_by_template(turn.model),
            top=turn.sampling.top_logprobs,
            names=frozenset(function.name for function in turn.functions) if turn.functions else _NO_NAMES,
            splicer=Splicer() if self._text_runs else None,
        )

    def _text_calls_of(self, turn: Turn) -> TextCalls | None:
        """What finds the calls that the server left in the text, where there may be any."""
        expected = turn.functions and self._text_calls and self.dialect.text_calls and offered(turn)
        return TextCalls(turn) if expected else None


def _written(turn: Turn, dialect: Dialect) -> tuple[JsonObject, bytes]:
    """The body of a request, and how it is sent."""
    body = payload(turn, dialect)
    return body, encode(body)


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamError("The upstream sent something that we do not understand.") from fault
