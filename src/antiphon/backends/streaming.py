"""A backend whose server answers with a stream of named events, whatever API they belong to.

An API says what a request is, what reads an answer, and what refusals and answers teach; what all of them
have in common is here: a refusal that teaches something is answered by asking again, and a server that
cannot just now is asked once more, as long as nothing was said.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

import structlog

from antiphon.backends import upstream_errors
from antiphon.backends.http import HttpAnswer
from antiphon.backends.offer import offered
from antiphon.backends.retry import pause_before_retry
from antiphon.backends.text_calls import TextCalls
from antiphon.backends.upstream import Reader, Upstream
from antiphon.guard.offload import offload
from antiphon.model import Backend, Capabilities, Delta, NamedFunction, Overrated, Turn
from antiphon.protocol.errors import ApiError
from antiphon.protocol.wire import JsonObject, encode

# How often one turn is sent: each refusal may teach one thing.
_LESSONS = 6
_TEACHING = (400, 422)

log = structlog.get_logger()
R = TypeVar("R", bound=Reader)
T = TypeVar("T")


class StreamingBackend(Backend, Generic[T, R]):
    """`T`: what is known of a model; `R`: what reads its answers. `text_calls`: calls that the server leaves
    in the text are read; `attempts`: how often a server that cannot just now is asked; `configured`: what
    models can, as the configuration corrects it."""

    path: str
    """Of the endpoint, below `/v1`."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        text_calls: bool,
        attempts: int,
        configured: Callable[[Capabilities], Capabilities],
    ) -> None:
        self.upstream = upstream
        self._attempts = attempts
        self._text_calls = text_calls
        self._configured = configured
        self._known: dict[str, T] = {}
        """What is known of models, where that is not what is common to all."""

    # ---- what an API has to say ----

    def _common(self) -> T:
        """What holds for models of which nothing is known."""
        raise NotImplementedError

    def _can(self, traits: T) -> Capabilities:
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
        return self._configured(self._can(self._traits(model)))

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        calls = self._text_calls_of(turn)
        left = self._attempts
        while True:
            told = False
            try:
                async with aclosing(self._attempt(turn)) as batches:
                    async for batch in batches:
                        told = told or bool(batch)
                        yield batch if calls is None else calls.feed(batch)
                return
            except ApiError as fault:
                left -= 1
                pause = pause_before_retry(fault) if left and not told else None
                if pause is None:
                    raise self.upstream.discreet(fault) from None
            await asyncio.sleep(pause)

    async def close(self) -> None:
        await self.upstream.close()

    # ---- one attempt ----

    async def _attempt(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        reader = self._reader(turn)
        response, body = await self._agreed(turn)
        while True:
            async with response:
                yield ()  # it was taken up
                async with aclosing(self.upstream.deltas(response, reader)) as batches:
                    async for batch in batches:
                        yield batch
            continued = self._continued(body, reader)
            if continued is None:
                break
            response, body = await self._sent(turn, continued), continued
            if response.status != 200:
                raise await self._refused(response, turn)
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
            taught = None
            if response.status in _TEACHING:
                taught = self._lesson(upstream_errors.words_in(words), body, before)
            if taught is None:
                break
            self._learn(turn.model, taught, "a refusal")
            _check_rated(turn, self._can(taught), self._can(before))
        raise self.upstream.refused(response, words, turn.model)

    async def _sent(self, turn: Turn, body: JsonObject) -> HttpAnswer:
        return await self.upstream.post(self.path, await offload(turn.size, encode, body))

    async def _refused(self, response: HttpAnswer, turn: Turn) -> ApiError:
        return self.upstream.refused(response, await self._words(response), turn.model)

    async def _words(self, response: HttpAnswer) -> bytes:
        """The body of a refusal, whose connection is let go."""
        async with response:
            return await self.upstream.refusal(response)

    def _traits(self, model: str) -> T:
        known = self._known.get(model)
        return self._common() if known is None else known

    def _learn(self, model: str, traits: T, by: str) -> None:
        self._known[model] = traits
        log.info(f"learned from {by}", upstream=self.upstream.where, model=model)

    def _text_calls_of(self, turn: Turn) -> TextCalls | None:
        return TextCalls(turn) if self._text_calls and offered(turn) else None


def _check_rated(turn: Turn, now: Capabilities, before: Capabilities) -> None:
    """Raises Overrated when the turn was made for a server that can more."""
    forced = turn.choice == "required" or isinstance(turn.choice, NamedFunction)
    formed = (now.json_schema, now.json_object) != (before.json_schema, before.json_object)
    if (forced and not now.forced_tools) or (turn.format != "text" and formed):
        raise Overrated("The model's server cannot do what this request asks of it.")
