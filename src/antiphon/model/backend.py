"""Who answers a turn, and what can be asked of it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, Protocol

from msgspec import Struct

from antiphon.model.delta import Delta
from antiphon.model.passthrough import Passthrough
from antiphon.model.turn import AudioPart, FilePart, ImagePart, Turn
from antiphon.protocol.errors import UpstreamError

_parts = attrgetter("parts")


class Capabilities(Struct, frozen=True):
    """What a backend says of a model. What is missing is emulated or refused, never dropped."""

    tools: bool = True
    """Knows functions by itself (tools, and a choice of none, auto, required or by name)."""
    forced_tools: bool = True
    """Can be made to call a function; otherwise a forced call is emulated."""
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
    smallest_image: int = 1
    """Pixels of the shorter side of an image that it reads."""
    audio: bool = False
    files: bool = False
    reasoning: bool = True
    """Understands a reasoning effort."""
    verbosity: bool = False
    """Understands how long answers should be, other than in words."""
    hints: frozenset[str] = frozenset()
    """Parameters that change no answer, by their names, that it understands: who asks, how prompts are
    cached, how it is served."""
    gives_logprobs: bool = True
    """Sends the logprobs that it is asked for, as far as is known by now."""
    opaque: bool = False
    """Gives signatures and the like that it wants back as they came, as far as is known by now."""
    caches_prompts: bool = False
    """Its server keeps what it has read of a prompt, for the next that begins in the same way."""
    hosted: frozenset[str] = frozenset()
    """Tools that its server runs itself when they are asked for."""
    efforts: frozenset[str] | None = None
    """The reasoning efforts that it takes, where it is not any; None: not known."""
    context_window: int | None = None
    """Tokens of context; None: not known."""


def common(several: Sequence[Capabilities]) -> Capabilities:
    """What each of several servers can that have a model. What one of them wants back counts for all."""
    first = several[0]
    if several.count(first) == len(several):
        return first
    members = ((name, [getattr(can, name) for can in several]) for name in Capabilities.__struct_fields__)
    least = {name: _least(values) for name, values in members}
    most = {
        "opaque": any(can.opaque for can in several),
        "smallest_image": max(can.smallest_image for can in several),
    }
    return Capabilities(**{**least, **most})


def _least(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return frozenset.intersection(*known) if isinstance(known[0], frozenset) else min(known)


def beyond(turn: Turn, can: Capabilities) -> Literal["logprobs", "images", "audio", "files"] | None:
    """What a turn has first that a model can neither read nor give, and nobody emulates."""
    if turn.sampling.top_logprobs is not None and not can.logprobs:
        return "logprobs"
    kinds = set(map(type, chain.from_iterable(map(_parts, turn.unsaid))))
    if ImagePart in kinds and not can.images:
        return "images"
    if AudioPart in kinds and not can.audio:
        return "audio"
    return "files" if FilePart in kinds and not can.files else None


class Model(Struct, frozen=True):
    """A model that a backend offers."""

    id: str
    created: int = 0
    owned_by: str = "antiphon"
    context_window: int | None = None
    """Tokens of its context; None: not known."""


class Overrated(UpstreamError):
    """A server turned out to be capable of less than was said of it, before it said anything: the turn can be
    made anew, by what `capabilities` says now."""


Pour = Callable[[Sequence[Delta]], bool]
"""Takes a batch in the moment in which it comes. Whether it takes more: else the next is waited for."""
Deltas = AsyncGenerator[Sequence[Delta], Pour | None]
"""An answer, in batches. Who asks for the next one may send what batches can be poured into; then an empty
one follows. A generator that has no use for it need not care."""


class Backend(Protocol):
    """Something that answers turns. Closing the generator that `stream` returns stops the upstream's work."""

    def capabilities(self, model: str) -> Capabilities: ...

    def stream(self, turn: Turn) -> Deltas:
        """The answer, in batches as they arrive (one network read, one batch). An empty one comes first where
        the upstream has taken the turn up and the rest is still to come; the last delta is Finished.

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

    async def probe(self) -> str | None:
        """Learns which server answers, where that is not known. What it found out, in words; None: nothing.
        Raises `errors.UpstreamError` when the server is away."""
        return None

    async def check(self) -> None:
        """Raises `errors.UpstreamError` when the server is away, or cannot answer now."""
        await self.models()

    async def watch(self) -> None:
        """Goes on while the server runs: whatever has to be looked at again and again."""
        return

    def passthrough(self) -> Passthrough | None:
        """The server behind it, where it speaks OpenAI's API itself."""
        return None

    async def close(self) -> None: ...
