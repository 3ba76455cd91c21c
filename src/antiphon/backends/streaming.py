"""A backend whose server answers with a stream of named events, whatever API they belong to.

An API says what a request is, what reads an answer, and what refusals and answers teach; what all of them
have in common is here: a refusal that teaches something is answered by asking again, and a server that
cannot just now is asked once more, as long as nothing was said.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog
from msgspec import Struct

from antiphon.backends import upstream_errors
from antiphon.backends.http import HttpAnswer, Patience
from antiphon.backends.lessons import check_rated
from antiphon.backends.listing import listed
from antiphon.backends.offer import offered
from antiphon.backends.retry import pause_before_retry
from antiphon.backends.seals import without_doubtful
from antiphon.backends.text_calls import TextCalls
from antiphon.backends.upstream import ANSWER_BYTES, CONNECT_SECONDS, Reader, Upstream
from antiphon.guard.offload import offload
from antiphon.model import Backend, Capabilities, Deltas, Model, Turn
from antiphon.protocol.errors import ApiError, UpstreamError
from antiphon.protocol.wire import JsonObject, encode

# How often one turn is sent: each refusal may teach one thing.
_LESSONS = 6
_TEACHING = (400, 422)

log = structlog.get_logger()
R = TypeVar("R", bound=Reader)


class Known(Protocol):
    """What is known of a model."""

    def capabilities(self) -> Capabilities: ...


T = TypeVar("T", bound=Known)


class _Counted(Struct, frozen=True):
    input_tokens: int


class StreamingBackend(Backend, Generic[T, R]):
    """A server at `base_url`, with its `/v1`. `T`: what is known of a model; `R`: what reads its answers."""

    speaks: str
    """The name of the API."""
    path: str
    """Of the endpoint, below `/v1`."""
    counting: str
    """Of the one that counts the tokens of a context."""
    house: str
    """The host of who made the API."""
    listing: Mapping[str, str] = {}
    """The query with which all models are listed."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        unix_socket: str | None = None,
        timeout: float = 600.0,
        answer_bytes: int = ANSWER_BYTES,
        text_calls: bool = True,
        attempts: int = 2,
        configured: Callable[[Capabilities], Capabilities] = lambda can: can,
        name: str | None = None,
    ) -> None:
        """`text_calls`: calls that the server leaves in the text are read; `attempts`: how often a server
        that cannot just now is asked; `configured` is what the configuration says of what models can;
        `name`: under which it is configured."""
        self.upstream = Upstream(
            base_url,
            speaks=self.speaks,
            headers=self._credentials(base_url, api_key),
            patience=Patience(CONNECT_SECONDS, timeout),
            api_key=api_key or "",
            unix_socket=unix_socket,
            answer_bytes=answer_bytes,
            name=name,
        )
        self._own = self.upstream.host == self.house
        """Whether the server is that of who made the API."""
        self._attempts = attempts
        self._text_calls = text_calls and not self._own
        self._configured = configured
        self._unknown = self._default_traits()
        self._known: dict[str, T] = {}
        """What is known of models, where that is not what is common to all."""

    # ---- what an API has to say ----

    def _credentials(self, base_url: str, api_key: str | None) -> Mapping[str, str]:
        """The headers of every request."""
        raise NotImplementedError

    def _default_traits(self) -> T:
        """What holds for models of which nothing is known."""
        raise NotImplementedError

    def _counted(self, turn: Turn, traits: T) -> JsonObject:
        """The question how many tokens a turn's context has."""
        raise NotImplementedError

    def _body(self, turn: Turn, traits: T) -> JsonObject:
        """A request. Raises InvalidRequest."""
        raise NotImplementedError

    def _reader(self, turn: Turn) -> R:
        raise NotImplementedError

    def _lesson(self, words: str, body: JsonObject, traits: T) -> T | None:
        """What a refusal teaches; None: nothing."""
        raise NotImplementedError

    def _after(self, reader: R, traits: T) -> T:
        """What is known after an answer."""
        raise NotImplementedError

    def _continued(self, body: JsonObject, reader: R) -> JsonObject | None:
        """The request with which an answer goes on that the server has not ended; None: it has."""
        return None

    # ---- Backend ----

    def capabilities(self, model: str) -> Capabilities:
        return self._configured(self._traits(model).capabilities())

    async def stream(self, turn: Turn) -> Deltas:
        calls = self._text_calls_of(turn)
        left = self._attempts
        while True:
            sent = False
            try:
                async with aclosing(self._attempt(turn)) as batches:
                    async for batch in batches:
                        sent = sent or bool(batch)
                        yield batch if calls is None else calls.feed(batch)
                return
            except ApiError as fault:
                left -= 1
                pause = pause_before_retry(fault) if left and not sent else None
                if pause is None:
                    raise self.upstream.discreet(fault) from None
            await asyncio.sleep(pause)

    async def models(self) -> Sequence[Model]:
        body = await self._listed()
        if body is None:
            raise UpstreamError(f"The upstream at {self.upstream.where} lists no models.")
        return listed(body, configured=self._configured(Capabilities()).context_window)

    async def count_tokens(self, turn: Turn) -> int | None:
        body = await offload(turn.size, self._counted, turn, self._traits(turn.model))
        found = await self.upstream.ask("POST", self.upstream.url(self.counting), body)
        try:
            return None if found is None else msgspec.json.decode(found, type=_Counted).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    async def close(self) -> None:
        await self.upstream.close()

    async def _listed(self) -> bytes | None:
        """Its list of models; None: it has none."""
        return await self.upstream.ask("GET", self.upstream.url("models").update_query(self.listing))

    # ---- one attempt ----

    async def _attempt(self, turn: Turn) -> Deltas:
        reader = self._reader(turn)
        response, body = await self._agreed(turn)
        while True:
            with response:
                yield ()  # it was taken up
                self.upstream.check_page(response)
                async with aclosing(self.upstream.deltas(response, reader)) as batches:
                    async for batch in batches:
                        yield batch
            continued = self._continued(body, reader)
            if continued is None:
                break
            response, body = await self._sent(turn, continued), continued
            if response.status != 200:
                raise self.upstream.refused(response, await self._words(response), turn.model)
        before = self._traits(turn.model)
        if (after := self._after(reader, before)) != before:
            self._learn(turn.model, after, "an answer")

    async def _agreed(self, turn: Turn) -> tuple[HttpAnswer, JsonObject]:
        """The answer, as it begins, to a request that the server takes. Raises ApiError: Overrated when the
        turn needs what the server does not have after all."""
        for _ in range(_LESSONS):
            before = self._traits(turn.model)
            body = await offload(turn.size, self._body, turn, before)
            response = await self._sent(turn, body)
            if response.status == 200:
                return response, body
            words = await self._words(response)
            if response.status not in _TEACHING:
                break
            said = upstream_errors.words_in(words)
            if (unsealed := without_doubtful(turn, said, self.upstream.where)) is not None:
                turn = unsealed
                continue
            taught = self._lesson(said, body, before)
            if taught is None:
                break
            self._learn(turn.model, taught, "a refusal")
            check_rated(turn, taught.capabilities(), before.capabilities())
        raise self.upstream.refused(response, words, turn.model)

    async def _sent(self, turn: Turn, body: JsonObject) -> HttpAnswer:
        return await self.upstream.post(self.path, await offload(turn.size, encode, body))

    async def _words(self, response: HttpAnswer) -> bytes:
        """The body of a refusal, whose connection is let go."""
        with response:
            return await self.upstream.refusal(response)

    def _traits(self, model: str) -> T:
        return self._known.get(model, self._unknown)

    def _learn(self, model: str, traits: T, by: str) -> None:
        self._known[model] = traits
        log.info(f"learned from {by}", upstream=self.upstream.where, model=model)

    def _text_calls_of(self, turn: Turn) -> TextCalls | None:
        return TextCalls(turn) if self._text_calls and offered(turn) else None
