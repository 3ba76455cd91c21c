"""What one call to a model needs (`Turn`), what comes back (`Delta`), and who answers (`Backend`).

Both are neutral: no backend knows of items or events, and nothing to the right of the engine knows
which model speaks. A Turn is already resolved: no references, no templates, no files to fetch.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from antiphon.protocol.content import Logprob
from antiphon.protocol.wire import JsonObject

# ---- what goes in -----------------------------------------------------------------------------------


class TextPart(Struct, frozen=True, tag="text"):
    text: str


class ImagePart(Struct, frozen=True, tag="image"):
    """An image, by `https:` or `data:` URL."""

    url: str
    detail: str = "auto"


class AudioPart(Struct, frozen=True, tag="audio"):
    """Sound, base64."""

    data: str
    format: str


class FilePart(Struct, frozen=True, tag="file"):
    """A file for a model that reads files itself, by `data:` URL."""

    data: str
    filename: str


Part = TextPart | ImagePart | AudioPart | FilePart


class Call(Struct, frozen=True):
    """A function call that the model made in an earlier turn."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True):
    """One message. Only `assistant` has calls and reasoning; only `tool` has a call_id."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    parts: tuple[Part, ...] = ()
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    call_id: str = ""

    @property
    def text(self) -> str:
        """The text of all text parts."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class Function(Struct, frozen=True):
    """A function as any model can call it. `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: JsonObject = msgspec.field(default_factory=dict)
    strict: bool = False
    grammar: "Grammar | None" = None
    """What the one argument, the text `input`, must fit. A backend that can holds the model to it when the
    call is forced; nobody relies on it."""


class NamedFunction(Struct, frozen=True):
    """The model must call this function."""

    name: str


Choice = Literal["none", "auto", "required"] | NamedFunction


class JsonSchema(Struct, frozen=True):
    """The answer must be JSON that fits the schema."""

    name: str
    schema: JsonObject
    description: str = ""
    strict: bool = False


class Grammar(Struct, frozen=True):
    """The answer must fit a grammar."""

    syntax: Literal["lark", "regex"]
    definition: str


Format = Literal["text", "json_object"] | JsonSchema | Grammar


class Sampling(Struct, frozen=True):
    """How tokens are drawn. None leaves the model's own default."""

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    """None: no logprobs. 0 to 20: logprobs with that many alternatives."""


class Turn(Struct, frozen=True):
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
    verbosity: str | None = None
    user: str | None = None
    cache_key: str | None = None
    service_tier: str | None = None
    whole: bool = False
    """Nobody reads along: the answer may as well come in one piece."""


# ---- what comes back --------------------------------------------------------------------------------


class TextDelta(Struct, frozen=True, gc=False):
    """Visible text, with its tokens' logprobs when they were asked for."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class RefusalDelta(Struct, frozen=True, gc=False):
    text: str


class AudioDelta(Struct, frozen=True, gc=False):
    """What the model says aloud: sound, base64, and the words in it."""

    data: str
    transcript: str = ""


class ReasoningDelta(Struct, frozen=True, gc=False):
    """Raw reasoning, as open models tell it."""

    text: str


class SummaryDelta(Struct, frozen=True, gc=False):
    """A piece of a reasoning summary; `part` counts the summary's parts from 0."""

    text: str
    part: int = 0


class CallStarted(Struct, frozen=True, gc=False):
    """A function call begins. `index` names it within the turn; calls are told one after another."""

    index: int
    name: str
    id: str = ""
    """The upstream's id of the call; empty: the engine makes one."""


class CallArguments(Struct, frozen=True, gc=False):
    index: int
    text: str


class UsageDelta(Struct, frozen=True, gc=False):
    """Tokens of the turn, as totals. The last one told counts."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Finished(Struct, frozen=True, gc=False):
    """The end of the turn; always the last delta."""

    reason: Literal["stop", "length", "calls", "content_filter"]


Delta = (
    TextDelta
    | RefusalDelta
    | AudioDelta
    | ReasoningDelta
    | SummaryDelta
    | CallStarted
    | CallArguments
    | UsageDelta
    | Finished
)

# ---- who answers ------------------------------------------------------------------------------------


class Capabilities(Struct, frozen=True):
    """What a backend says of a model. What is missing is emulated or refused, never dropped."""

    tools: bool = True
    """Knows functions by itself (tools, and a choice of none, auto, required or by name)."""
    parallel_tools: bool = True
    strict_tools: bool = False
    """Holds the model to the schemas of strict functions, also when it calls them of its own accord."""
    json_schema: bool = True
    json_object: bool = True
    grammar: bool = False
    """Can hold an answer to a lark grammar."""
    regex: bool = False
    """Can hold an answer to a regular expression."""
    logprobs: bool = True
    images: bool = True
    audio: bool = False
    files: bool = False
    reasoning: bool = True
    """Understands a reasoning effort."""
    verbosity: bool = False
    """Understands how long answers should be, other than in words."""
    context_window: int | None = None
    """Tokens of context; None: not known."""


class Model(Struct, frozen=True):
    """A model that a backend offers."""

    id: str
    created: int = 0
    owned_by: str = "antiphon"


class Backend(Protocol):
    """Something that answers turns. Closing the iterator that `stream` returns stops the upstream's work."""

    def capabilities(self, model: str) -> Capabilities: ...

    def stream(self, turn: Turn) -> AsyncIterator[Sequence[Delta]]:
        """The answer, in batches as they arrive (one network read, one batch). The first, which is empty,
        says that the upstream has taken the turn up; the last delta is Finished.

        Raises `errors.UpstreamError` (or a subclass) when the upstream is down, slow, cuts the stream
        off or talks nonsense; `errors.InvalidRequest` when it refuses the turn.
        """
        ...

    async def models(self) -> Sequence[Model]:
        """The models on offer, as the upstream lists them. Raises `errors.UpstreamError`."""
        ...

    async def count_tokens(self, turn: Turn) -> int | None:
        """How many tokens the turn's context has, by the model's own tokenizer; None: not known."""
        ...

    async def close(self) -> None: ...
