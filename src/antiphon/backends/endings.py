"""How an answer of Chat Completions ended, as its `finish_reason` says: there are many words for it."""

from typing import Final, Literal

from antiphon.model import Finished
from antiphon.protocol.errors import UpstreamError

End = Literal["usual", "length", "content_filter", "fault", "strange"]
"""`fault`: the server gave up; `strange`: a word that we do not know."""

_WORDS: Final[dict[End, str]] = {
    "usual": "stop stop_sequence eos eos_token end_turn complete completed done tool_calls tool_use "
    "function_call",
    # Of vLLM and Moonshot the last two: a model that says one thing again and again is cut off.
    "length": "length max_tokens max_output_tokens model_length model_context_window_exceeded "
    "repetition repeat",
    "content_filter": "content_filter content_filtered sensitive guardrail_intervened safety recitation "
    "blocklist prohibited_content spii image_safety",
    "fault": "error abort cancelled timeout insufficient_system_resource network_error engine_overloaded "
    "malformed_function_call malformed_response unexpected_tool_call",
}
_ENDS: Final[dict[str, End]] = {word: end for end, words in _WORDS.items() for word in words.split()}
_BEFORE: Final[tuple[tuple[str, End], ...]] = (
    ("content_filter:", "content_filter"),
    ("function_call_filter:", "fault"),
)
"""What words of Gemini's begin with: `function_call_filter: MALFORMED_FUNCTION_CALL`."""


def end_of(reason: str) -> End:
    found = _ENDS.get(reason) or _ENDS.get(reason.lower())
    if found is not None:
        return found
    return next((end for before, end in _BEFORE if reason.lower().startswith(before)), "strange")


def finished(end: End, calls: bool) -> Finished:
    """Servers disagree on the reason next to calls, and new ones come up: whether there are calls decides."""
    return Finished(end) if end in ("length", "content_filter") else Finished("calls" if calls else "stop")


def gave_up(reason: str, words: str = "") -> UpstreamError:
    """The fault of an answer whose end is a `fault`; `words` are the server's."""
    said = f"The upstream gave up in the middle of its answer ({reason}). {words}"
    return UpstreamError(said.rstrip())
