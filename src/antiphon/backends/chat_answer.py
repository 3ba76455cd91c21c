"""An answer of Chat Completions in one piece, as most are: words alone, with nothing odd about them."""

from msgspec.structs import astuple

from antiphon.backends.chat_chunk import Chunk
from antiphon.backends.chat_stream import FAULTS, REASONS
from antiphon.backends.think import may_reason
from antiphon.backends.usage import to_delta
from antiphon.model import Delta, Finished, TextDelta


def in_words(answer: Chunk, think_tags: bool) -> list[Delta] | None:
    """Its deltas. None: there is more to it, and `ChatStreamParser.whole` says what."""
    choices = answer.choices
    if not choices or len(choices) > 1 or answer.error:
        return None
    choice = choices[0]
    said, reason = choice.message, choice.finish_reason
    if said is None or choice.delta is not None or choice.logprobs is not None or not reason:
        return None
    text, *more = astuple(said)  # in their order there
    if not text or any(more) or not isinstance(text, str) or (think_tags and may_reason(text)):
        return None
    if reason in FAULTS or choice.native_finish_reason in FAULTS:
        return None
    usage = [] if answer.usage is None else [to_delta(answer.usage, answer.service_tier)]
    return [TextDelta(text), *usage, Finished(REASONS.get(reason, "stop"))]
