"""What one call to a model needs, already resolved: no references, no templates, no files to fetch."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.guard.offload import SMALL, in_bytes
from antiphon.model.opaque import Opaque
from antiphon.protocol.item import Item
from antiphon.protocol.wire import JsonObject


class TextPart(Struct, frozen=True, gc=False, tag="text"):
    text: str
    breakpoint: str | None = None
    """Not None: a prefix of the context that is worth caching ends here. How long it should stay, as OpenAI
    has it (30m, 12h); empty where that is not said."""


class ImagePart(Struct, frozen=True, gc=False, tag="image"):
    """An image, by `https:` or `data:` URL."""

    url: str
    detail: str = "auto"
    breakpoint: str | None = None


class AudioPart(Struct, frozen=True, gc=False, tag="audio"):
    """Sound, base64."""

    data: str
    format: str


class FilePart(Struct, frozen=True, gc=False, tag="file"):
    """A file for a model that reads files itself, by `data:` URL."""

    data: str
    filename: str
    breakpoint: str | None = None


class HostedPart(Struct, frozen=True, gc=False, tag="hosted"):
    """What a tool did that the model's server ran itself, in a message of the assistant's."""

    item: Item
    backend: str
    """Whose server ran it, by the backend's name: it gets the item back."""
    reads: tuple["Message", ...]
    """What any other model reads of it."""


Part = TextPart | ImagePart | AudioPart | FilePart | HostedPart


class Call(Struct, frozen=True, gc=False):
    """A function call that the model made in an earlier turn."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, gc=False):
    """One message. Only `assistant` has calls, reasoning and what is opaque; only `tool` has a call_id."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    parts: tuple[Part, ...] = ()
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    call_id: str = ""
    opaque: Opaque | None = None

    @property
    def text(self) -> str:
        """The text of all text parts."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def leading(messages: Sequence[Message]) -> int:
    """How many messages lead that are the system's or the developer's."""
    return next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))


class Said(Struct, gc=False, eq=False):
    """What user and model have said by turns, the user first: text alone. It comes again with each turn, so a
    backend keeps here how it writes it."""

    messages: tuple[Message, ...]
    written: tuple[msgspec.Raw, ...] = ()
    """How the first of them are written, one by one: each answer adds to what was written before."""


class Hosted(Struct, frozen=True, gc=False):
    """A tool that the model's server runs itself."""

    kind: str
    """`web_search`, `code_interpreter` or `image_generation`."""
    entry: JsonObject
    """The entry of `tools`, as the server gets it."""
    here: bool
    """Whether its functions can be run here too, for a model whose server does not have the tool."""


class Function(Struct, frozen=True, dict=True):
    """A function as any model can call it. `parameters` is a JSON schema. One of the client's may come again
    with the next request."""

    name: str
    description: str = ""
    parameters: JsonObject = msgspec.field(default_factory=dict)
    strict: bool = False
    grammar: "Grammar | None" = None
    """What the one argument, the text `input`, must fit. A backend that can holds the model to it when the
    call is forced; nobody relies on it."""
    hosted: Hosted | None = None
    """The tool that stands for it, where the model's server runs that itself."""

    @cached_property
    def written(self) -> dict[object, msgspec.Raw]:
        """How backends write it, by what that depends on besides: they keep it here."""
        return {}


class NamedFunction(Struct, frozen=True, gc=False):
    """The model must call this function."""

    name: str


Choice = Literal["none", "auto", "required"] | NamedFunction


class JsonSchema(Struct, frozen=True, gc=False):
    """The answer must be JSON that fits the schema."""

    name: str
    schema: JsonObject
    description: str = ""
    strict: bool = False


class Grammar(Struct, frozen=True, gc=False):
    """The answer must fit a grammar."""

    syntax: Literal["lark", "regex"]
    definition: str


Format = Literal["text", "json_object"] | JsonSchema | Grammar


class Sampling(Struct, frozen=True, gc=False):
    """How tokens are drawn. None leaves the model's own default."""

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    """None: no logprobs. 0 to 20: logprobs with that many alternatives."""


class Turn(Struct, frozen=True, gc=False):
    """What one call to a model needs, already resolved."""

    model: str
    messages: tuple[Message, ...]
    functions: tuple[Function, ...] = ()
    choice: Choice = "auto"
    parallel: bool = True
    format: Format = "text"
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    """Upper bound on tokens of the answer, reasoning included."""
    effort: str | None = None
    """Reasoning effort: none, minimal, low, medium, high, xhigh, max."""
    summary: str | None = None
    """The summary of its reasoning that is asked for: auto, concise, detailed."""
    mode: str | None = None
    """How OpenAI serves a reasoning model: standard, pro."""
    verbosity: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    cache_key: str | None = None
    cache_retention: str | None = None
    """How long the prompt should stay cached: in_memory, 24h."""
    cache_options: Mapping[str, str] | None = None
    """How it should be cached: `mode` and `ttl`, as OpenAI has them."""
    service_tier: str | None = None
    prewarms: bool = False
    """The answer is thrown away: the context is to be in the server's cache."""
    access_programs: Mapping[str, str] | None = None
    """Programs of OpenAI's that open models to an account."""
    most_calls: int | None = None
    """How many calls of its own tools the model's server may make; None: any number."""
    whole: bool = False
    """Nobody reads along: the answer may as well come in one piece."""
    said: Said | None = None
    """A run of the messages, behind those of the system. Who changes messages need not know of it: it counts
    as far as they are still there."""

    @property
    def is_forced(self) -> bool:
        """Whether a function must be called."""
        return self.choice == "required" or isinstance(self.choice, NamedFunction)

    @property
    def size(self) -> int:
        """How much there is to look at: messages, with their parts and calls. A long part counts more."""
        return _size_of(self.messages)

    @property
    def unwritten(self) -> int:
        """The same, without what was said before and is written already."""
        return _size_of(self.messages if self.said is None else self.messages[len(self.said.written) :])

    @property
    def unsaid(self) -> tuple[Message, ...]:
        """The newest messages, without as many as were said before. Those and what leads them are text."""
        return self.messages if self.said is None else self.messages[len(self.said.messages) :]


def _size_of(messages: Sequence[Message]) -> int:
    size = len(messages)
    if size <= SMALL:
        for message in messages:
            size += len(message.calls) + len(message.parts)
            for part in message.parts:
                size += _size(part)
    return size


def _size(part: Part) -> int:
    if isinstance(part, TextPart):
        return in_bytes(len(part.text))
    if isinstance(part, HostedPart):
        return _size_of(part.reads)
    return in_bytes(len(part.url if isinstance(part, ImagePart) else part.data))
