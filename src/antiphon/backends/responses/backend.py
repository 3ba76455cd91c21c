"""Models behind a server that speaks the Responses API itself: OpenAI's, or another one.

Its state and its tools are not used: conversations and tools are ours, and it is one of many. What goes out
is in `payload`, what comes in in `stream`, what models take in `traits`.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.dialects import CONTEXT_PHRASES
from antiphon.backends.listing import listed
from antiphon.backends.responses.payload import counted, payload
from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.responses.traits import Traits, lesson
from antiphon.backends.streaming import StreamingBackend
from antiphon.backends.upstream import ANSWER_BYTES, Upstream
from antiphon.guard.offload import offload
from antiphon.model import Capabilities, Model, Turn
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.wire import JsonObject

_HOST = "api.openai.com"


class _Counted(Struct, frozen=True):
    input_tokens: int


class Responses(StreamingBackend[Traits, ResponsesReader]):
    """A server at `base_url`, with its `/v1`."""

    path = "responses"

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
    ) -> None:
        """`configured` is what the configuration says of what models can."""
        upstream = Upstream(
            base_url,
            speaks="Responses API",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            api_key=api_key or "",
            unix_socket=unix_socket,
            timeout=timeout,
            answer_bytes=answer_bytes,
            phrases=CONTEXT_PHRASES,
        )
        self._own = upstream.host == _HOST
        super().__init__(
            upstream, text_calls=text_calls and not self._own, attempts=attempts, configured=configured
        )
        self._unknown = Traits(instructed=True, documents=True, seals=True) if self._own else Traits()

    # ---- Backend ----

    async def models(self) -> Sequence[Model]:
        body = await self.upstream.ask("GET", "models")
        if body is None:
            raise UpstreamError(f"The upstream at {self.upstream.where} lists no models.")
        return listed(body, configured=self._configured(Capabilities()).context_window)

    async def count_tokens(self, turn: Turn) -> int | None:
        body = await offload(turn.size, counted, turn, self._traits(turn.model))
        found = await self.upstream.ask("POST", "responses/input_tokens", body)
        try:
            return None if found is None else msgspec.json.decode(found, type=_Counted).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    async def probe(self) -> str | None:
        await self.upstream.ask("GET", "models")
        return f"Responses API at {self.upstream.where}"

    # ---- Responses API ----

    def _common(self) -> Traits:
        return self._unknown

    def _can(self, traits: Traits) -> Capabilities:
        return traits.capabilities()

    def _body(self, turn: Turn, traits: Traits) -> JsonObject:
        return payload(turn, traits)

    def _reader(self, turn: Turn) -> ResponsesReader:
        return ResponsesReader(
            frozenset(each.name for each in turn.functions),
            top=turn.sampling.top_logprobs,
            phrases=self.upstream.phrases,
            most=None if self._own else turn.max_tokens,
        )

    def _lesson(self, words: str, body: JsonObject, traits: Traits) -> Traits | None:
        return lesson(words, body, traits)

    def _after(self, reader: ResponsesReader, traits: Traits) -> Traits:
        if reader.gave_logprobs is not None:
            traits = replace(traits, gives_logprobs=reader.gave_logprobs)
        shows = reader.shows and not reader.seals
        return replace(traits, seals=traits.seals or reader.seals, shows=traits.shows or shows)
