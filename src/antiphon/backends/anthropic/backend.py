"""Models behind Anthropic's Messages API, or a server that speaks it too.

What goes out is in `payload`, what comes in in `stream`, what models take in `traits`. Which models there
are, and what each takes, is asked once; where a server does not tell, its refusals do.
"""

from types import MappingProxyType

from msgspec.structs import replace

from antiphon.backends.anthropic.payload import counted, payload
from antiphon.backends.anthropic.stream import MessagesReader
from antiphon.backends.anthropic.traits import Traits, lesson, listed_traits
from antiphon.backends.streaming import StreamingBackend
from antiphon.backends.upstream import bearer
from antiphon.model import Turn
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.wire import JsonObject

_VERSION = "2023-06-01"
"""The newest one, 2026-10-21, takes no temperature from any model; else both are the same here."""
_PAUSES = 16
"""How often an answer goes on, at most."""


class Anthropic(StreamingBackend[Traits, MessagesReader]):
    """A server at `base_url`, with its `/v1`."""

    speaks = "Messages API"
    path = "messages"
    counting = "messages/count_tokens"
    house = "api.anthropic.com"
    listing = MappingProxyType({"limit": "1000"})

    async def probe(self) -> str | None:
        body = await self._listed()
        listed = {} if body is None else listed_traits(body, self._unknown)
        self._known |= listed
        says = f"says what {len(listed)} models take" if listed else "does not say what its models take"
        return f"Messages API at {self.upstream.where}, which {says}"

    # ---- Messages API ----

    def _credentials(self, base_url: str, api_key: str | None) -> dict[str, str]:
        """The key as Anthropic takes it, and as most others do that speak its API."""
        version = {"anthropic-version": _VERSION}
        if not api_key:
            return version
        others = {} if f"//{self.house}" in base_url else bearer(api_key)
        return {**version, "x-api-key": api_key, **others}

    def _default_traits(self) -> Traits:
        return Traits(signs=True, documents=True) if self._own else Traits()

    def _counted(self, turn: Turn, traits: Traits) -> JsonObject:
        return counted(turn, traits)

    def _body(self, turn: Turn, traits: Traits) -> JsonObject:
        return {**payload(turn, traits), "stream": True}

    def _reader(self, turn: Turn) -> MessagesReader:
        return MessagesReader(frozenset(each.name for each in turn.functions))

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
