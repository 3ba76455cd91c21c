"""Models behind a server that speaks the Responses API itself: OpenAI's, or another one.

Its state is not used, and of its tools those alone that the configuration names: conversations and tools are
ours, and it is one of many. What goes out is in `payload`, what comes in in `stream`, what models take in
`traits`.
"""

from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from antiphon.backends.http import HttpAnswer
from antiphon.backends.responses.hosted_tools import hosted_in
from antiphon.backends.responses.payload import counted, payload
from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.responses.traits import Traits, lesson
from antiphon.backends.streaming import StreamingBackend
from antiphon.backends.upstream import bearer
from antiphon.backends.upstream_errors import TOO_LONG
from antiphon.model import HostedPart, Turn
from antiphon.model.hosted import in_words
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import CodeInterpreterCall
from antiphon.protocol.wire import JsonObject


class Responses(StreamingBackend[Traits, ResponsesReader]):
    """A server at `base_url`, with its `/v1`."""

    speaks = "Responses API"
    path = "responses"
    counting = "responses/input_tokens"
    house = "api.openai.com"

    async def probe(self) -> str | None:
        await self._listed()
        return f"Responses API at {self.upstream.where}"

    # ---- Responses API ----

    def _credentials(self, base_url: str, api_key: str | None) -> dict[str, str]:
        return bearer(api_key)

    def _default_traits(self) -> Traits:
        return Traits(instructed=True, documents=True, seals=True) if self._own else Traits()

    def _counted(self, turn: Turn, traits: Traits) -> JsonObject:
        return counted(turn, traits)

    def _body(self, turn: Turn, traits: Traits) -> JsonObject:
        return payload(turn, traits)

    def _reader(self, turn: Turn) -> ResponsesReader:
        return ResponsesReader(
            frozenset(each.name for each in turn.functions),
            top=turn.sampling.top_logprobs,
            most=None if self._own else turn.max_tokens,
            hosted=frozenset(hosted_in(turn)),
        )

    def _lesson(self, words: str, body: JsonObject, traits: Traits) -> Traits | None:
        return lesson(words, body, traits)

    def _after(self, reader: ResponsesReader, traits: Traits) -> Traits:
        if reader.gave_logprobs is not None:
            traits = replace(traits, gives_logprobs=reader.gave_logprobs)
        shows = reader.shows and not reader.seals
        return replace(traits, seals=traits.seals or reader.seals, shows=traits.shows or shows)

    async def _agreed(self, turn: Turn) -> tuple[HttpAnswer, JsonObject]:
        """What its own tools did must not end the conversation, where the server has closed the container
        that they worked in, or takes no such items back: then the model reads of it in words."""
        try:
            return await super()._agreed(turn)
        except InvalidRequest as refusal:
            if refusal.code == TOO_LONG:
                raise
            for attempt in _in_more_words(turn, "container" in refusal.message.lower()):
                with suppress(InvalidRequest):
                    return await super()._agreed(attempt)
            raise


def _in_more_words(turn: Turn, of_containers: bool) -> Iterator[Turn]:
    """The turn with less of what the server's tools did as it was, one after another. `of_containers`: there
    is something wrong with a container. The newest may be there still."""
    parts = [part.item for message in turn.messages for part in message.parts if isinstance(part, HostedPart)]
    used = [item.container_id for item in parts if isinstance(item, CodeInterpreterCall)]
    if of_containers and len(set(used)) > 1:
        yield in_words(turn, lambda part: _container(part) not in (None, used[-1]))
    if of_containers and used:
        yield in_words(turn, lambda part: _container(part) is not None)
    if parts:
        yield in_words(turn, lambda part: True)


def _container(part: HostedPart) -> str | None:
    return part.item.container_id if isinstance(part.item, CodeInterpreterCall) else None
