"""What a model says, piece by piece."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.model.image import ImageTokens, PartialPicture
from antiphon.protocol.content import Annotation, Logprob
from antiphon.protocol.item import Item
from antiphon.protocol.wire import JsonObject


class TextDelta(Struct, frozen=True, gc=False):
    """Visible text, with its tokens' logprobs when they were asked for."""

    text: str
    logprobs: tuple[Logprob, ...] = ()


class TextRun(TextDelta, frozen=True, gc=False):
    """Several deltas of text in a row, as one (`backends/splice.py` tells why). Who cares where they are cut
    reads them with `single`."""

    pieces: Sequence[bytes] = ()
    """Each of them: what stands in its JSON string, in the form in which we write one. None is empty."""

    @property
    def texts(self) -> list[str]:
        """The text of each of them."""
        return _texts_in(self.pieces)

    def deltas(self) -> list[TextDelta]:
        """Them, one by one."""
        texts = self.texts if len(self.pieces) > 1 else (self.text,)
        return [TextDelta(text) for text in texts]


_texts = msgspec.json.Decoder(list[str]).decode


def _texts_in(pieces: Sequence[bytes]) -> list[str]:
    return _texts(b'["%b"]' % b'","'.join(pieces))


class RefusalDelta(Struct, frozen=True, gc=False):
    text: str


class AudioDelta(Struct, frozen=True, gc=False):
    """What the model says aloud: sound, base64, and the words in it."""

    data: str
    transcript: str = ""


class ReasoningDelta(Struct, frozen=True, gc=False):
    """Raw reasoning, as open models write it."""

    text: str


class SummaryDelta(Struct, frozen=True, gc=False):
    """A piece of a reasoning summary; `part` counts the summary's parts from 0."""

    text: str
    part: int = 0


class CallStarted(Struct, frozen=True, gc=False):
    """A function call begins. `index` names it within the turn; calls come one after another."""

    index: int
    name: str
    id: str = ""
    """The upstream's id of the call; empty: the engine makes one."""


class CallArguments(Struct, frozen=True, gc=False):
    index: int
    text: str


class CallRun(CallArguments, frozen=True, gc=False):
    """Several pieces of a call's arguments in a row, as one."""

    pieces: Sequence[bytes] = ()
    """As those of a TextRun."""

    @property
    def texts(self) -> list[str]:
        """The text of each of them."""
        return _texts_in(self.pieces)

    def deltas(self) -> list[CallArguments]:
        """Them, one by one."""
        return [CallArguments(self.index, text) for text in self.texts]


class OpaqueDelta(Struct, frozen=True, gc=False):
    """A piece of what goes back as it came (`opaque`): members of the message, or of the call whose
    CallStarted follows with this `index`, or came before."""

    members: JsonObject
    call: int | None = None


class AnnotationDelta(Struct, frozen=True, gc=False):
    """What the model's server says of a passage of the text so far, counted from where its message begins."""

    annotation: Annotation


class HostedStarted(Struct, frozen=True, gc=False):
    """A tool begins that the model's server runs itself. `index` names the call within the turn."""

    index: int
    item: Item
    """What is known of it, without an id."""


class HostedCode(Struct, frozen=True, gc=False):
    """A piece of the code that it will run."""

    index: int
    text: str


class HostedWorking(Struct, frozen=True, gc=False):
    """What it is to do is known: from here on it does it."""

    index: int


class HostedPicture(Struct, frozen=True, gc=False):
    """A picture that it makes, unfinished."""

    index: int
    picture: PartialPicture


class HostedEnded(Struct, frozen=True, gc=False):
    """What came of it."""

    index: int
    item: Item


class PicturesDelta(Struct, frozen=True, gc=False):
    """What the pictures took that the model's server made in this turn."""

    tokens: ImageTokens


class CacheWrites(Struct, frozen=True, gc=False):
    """Tokens that were written to the server's cache, by how long they stay there: the shorter of the times
    that it has, and the longer."""

    short: int = 0
    long: int = 0


class UsageDelta(Struct, frozen=True, gc=False):
    """Tokens of the turn, as totals. The last one counts."""

    input_tokens: int
    """All of them: those read from a cache, and written to it, too."""
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    written_tokens: int = 0
    """Written to the cache."""
    writes: CacheWrites | None = None
    """The same by how long they stay; None: not reported."""
    tier: str | None = None
    """The service tier that the turn was served in, as OpenAI names it; None: not reported."""

    def plus(self, other: "UsageDelta") -> "UsageDelta":
        """The tokens of both."""
        return UsageDelta(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.written_tokens + other.written_tokens,
            _added(self.writes, other.writes),
            other.tier or self.tier,
        )


def _added(first: CacheWrites | None, second: CacheWrites | None) -> CacheWrites | None:
    if first is None or second is None:
        return first or second
    return CacheWrites(first.short + second.short, first.long + second.long)


class Finished(Struct, frozen=True, gc=False):
    """The end of the turn; always the last delta."""

    reason: Literal["stop", "length", "calls", "content_filter"]


Delta = (
    TextDelta
    | TextRun
    | RefusalDelta
    | AudioDelta
    | ReasoningDelta
    | SummaryDelta
    | CallStarted
    | CallArguments
    | CallRun
    | OpaqueDelta
    | AnnotationDelta
    | HostedStarted
    | HostedCode
    | HostedWorking
    | HostedPicture
    | HostedEnded
    | PicturesDelta
    | UsageDelta
    | Finished
)


_RUNS = (TextRun, CallRun)


def single(
    batch: Sequence[Delta], runs: tuple[type[TextRun] | type[CallRun], ...] = _RUNS
) -> Sequence[Delta]:
    """The deltas of a batch one by one, those of runs too. `runs`: the kinds of runs that are taken apart."""
    if not any(delta.__class__ in runs for delta in batch):
        return batch
    return [each for delta in batch for each in (delta.deltas() if isinstance(delta, runs) else (delta,))]


_TEXTS = (TextDelta, RefusalDelta, ReasoningDelta, SummaryDelta)


def has_output(batch: Sequence[Delta]) -> bool:
    """Whether a batch holds anything of the answer itself: until then a turn may be asked anew, and nobody
    sees it. Neither the word that the turn was accepted (an empty batch) nor a count of tokens does."""
    return any(map(_is_output, batch))


def _is_output(delta: Delta) -> bool:
    if isinstance(delta, _TEXTS):
        return bool(delta.text)
    if isinstance(delta, AudioDelta):
        return bool(delta.data or delta.transcript)
    return not isinstance(delta, UsageDelta)
