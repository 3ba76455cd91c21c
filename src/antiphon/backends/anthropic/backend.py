"""Models behind Anthropic's Messages API, or a server that speaks it too.

What goes out is in `payload`, what comes in in `stream`, what models take in `traits`. Which models there
are, and what each takes, is asked once; where a server does not tell, its refusals do.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.anthropic.payload import counted, payload
from antiphon.backends.anthropic.stream import MessagesReader
from antiphon.backends.anthropic.traits import Traits, lesson, listed_traits
from antiphon.backends.dialects import CONTEXT_PHRASES
from antiphon.backends.listing import listed
from antiphon.backends.streaming import StreamingBackend
from antiphon.backends.upstream import ANSWER_BYTES, Upstream
from antiphon.guard.offload import offload
from antiphon.model import Capabilities, Model, Turn
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.wire import JsonObject

_VERSION = "2023-06-01"
"""The newest one, 2026-10-21, takes no temperature from any model; else both are the same here."""
_HOST = "api.anthropic.com"
_PHRASES = (*CONTEXT_PHRASES, "exceed context limit")
_PAUSES = 16
"""How often an answer goes on, at most."""
_ALL = {"limit": "1000"}


class _Counted(Struct, frozen=True):
    input_tokens: int


class Anthropic(StreamingBackend[Traits, MessagesReader]):
    """A server at `base_url`, with its `/v1`."""

    path = "messages"

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
            speaks="Messages API",
            headers={"anthropic-version": _VERSION, **_credentials(base_url, api_key)},
            api_key=api_key or "",
            unix_socket=unix_socket,
            timeout=timeout,
            answer_bytes=answer_bytes,
            phrases=_PHRASES,
        )
        own = upstream.host == _HOST
        super().__init__(
            upstream, text_calls=text_calls and not own, attempts=attempts, configured=configured
        )
        self._unknown = Traits(signs=True, documents=True) if own else Traits()

    # ---- Backend ----

    async def models(self) -> Sequence[Model]:
        body = await self.upstream.ask("GET", "models", query=_ALL)
        if body is None:
            raise UpstreamError(f"The upstream at {self.upstream.where} lists no models.")
        return listed(body, configured=self._configured(Capabilities()).context_window)

    async def count_tokens(self, turn: Turn) -> int | None:
        body = await offload(turn.size, counted, turn, self._traits(turn.model))
        found = await self.upstream.ask("POST", "messages/count_tokens", body)
        try:
            return None if found is None else msgspec.json.decode(found, type=_Counted).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    async def probe(self) -> str | None:
        body = await self.upstream.ask("GET", "models", query=_ALL)
        told = {} if body is None else listed_traits(body, self._unknown)
        self._known |= told
        says = f"says what {len(told)} models take" if told else "does not say what its models take"
        return f"Messages API at {self.upstream.where}, which {says}"

    # ---- Messages API ----

    def _common(self) -> Traits:
        return self._unknown

    def _can(self, traits: Traits) -> Capabilities:
        return traits.capabilities()

    def _body(self, turn: Turn, traits: Traits) -> JsonObject:
        return {**payload(turn, traits), "stream": True}

    def _reader(self, turn: Turn) -> MessagesReader:
        return MessagesReader(frozenset(each.name for each in turn.functions), self.upstream.phrases)

    def _lesson(self, words: str, body: JsonObject, traits: Traits) -> Traits | None:
        return lesson(words, body, traits)

    def _after(self, reader: MessagesReader, traits: Traits) -> Traits:
        return traits if reader.signs is None else replace(traits, signs=reader.signs)

    def _continued(self, body: JsonObject, reader: MessagesReader) -> JsonObject | None:
        if not reader.paused:
            return None
        if reader.pauses > _PAUSES:
            raise UpstreamError("The upstream paused its answer again and again, and did not end it.")
        given = body["messages"]
        before = given[:-1] if given[-1]["role"] == "assistant" else given
        return {**body, "messages": [*before, {"role": "assistant", "content": reader.resumed()}]}


def _credentials(base_url: str, api_key: str | None) -> dict[str, str]:
    """The key as Anthropic takes it, and as most others do that speak its API."""
    if not api_key:
        return {}
    bearer = {} if f"//{_HOST}" in base_url else {"Authorization": f"Bearer {api_key}"}
    return {"x-api-key": api_key, **bearer}
