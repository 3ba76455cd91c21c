"""An answer of Chat Completions in one piece, as most are: words alone or calls alone, and nothing odd."""

from collections.abc import Sequence
from operator import attrgetter

from msgspec.structs import astuple

from antiphon.backends.chat_chunk import Chunk, Said
from antiphon.backends.endings import end_of, finished
from antiphon.backends.think import may_reason
from antiphon.backends.usage import to_delta
from antiphon.model import CallArguments, CallStarted, Delta, Function, TextDelta

_beside_calls = attrgetter(*(name for name in Said.__struct_fields__ if name != "tool_calls"))


def in_one_piece(answer: Chunk, think_tags: bool, functions: Sequence[Function]) -> list[Delta] | None:
    """Its deltas, calls being of these functions. None: there is more to it, and
    `ChatStreamParser.whole` says what."""
    choices = answer.choices
    if not choices or len(choices) > 1 or answer.error or answer.x_groq:
        return None
    choice = choices[0]
    said, reason = choice.message, choice.finish_reason
    if said is None or choice.delta is not None or choice.logprobs is not None or not reason:
        return None
    if choice.error or choice.usage is not None:
        return None
    end, native = end_of(reason), choice.native_finish_reason
    if end in ("fault", "strange") or (native and end_of(native) == "fault"):
        return None
    text, *more = astuple(said)  # in their order there
    deltas: list[Delta] | None
    if any(more) or not text:
        deltas, is_call = _calls(said, functions), True
    else:
        odd = not isinstance(text, str) or (think_tags and may_reason(text))
        deltas, is_call = None if odd else [TextDelta(text)], False
    if deltas is not None:
        if answer.usage is not None:
            deltas.append(to_delta(answer.usage, answer.service_tier))
        deltas.append(finished(end, is_call))
    return deltas


def _calls(said: Said, functions: Sequence[Function]) -> list[Delta] | None:
    """None: there is something else, or it does not say at once which pieces are a call."""
    if not said.tool_calls or any(_beside_calls(said)):
        return None
    names = {function.name for function in functions}
    deltas: list[Delta] = []
    ids, indexes = set(), set()
    for number, piece in enumerate(said.tool_calls):
        function, index, call_id, *more = astuple(piece)
        if function is None or function.name not in names or not call_id or any(more):
            return None
        ids.add(call_id)
        indexes.add(index)
        deltas.append(CallStarted(number, function.name, call_id))
        if not (text := function.text).startswith("{"):
            return None
        deltas.append(CallArguments(number, text))
    apart = len(ids) == len(said.tool_calls) and (len(indexes) == len(ids) or indexes == {None})
    return deltas if apart else None
