"""What a turn cost, from what servers say of it under several names and in several chunks."""

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from antiphon.backends.chat_chunk import InputDetails, Usage
from antiphon.model import UsageDelta

T = TypeVar("T", bound=Struct)

_TIERS = {name: name for name in ("default", "flex", "priority", "ultrafast", "scale")} | {"fast": "priority"}
"""By their names in an answer: `fast` is shown as what it is."""
_NO_DETAILS = InputDetails()


def merged(before: T | None, after: T) -> T:
    """What is known when more is said: a member that is zero or missing takes nothing away."""
    if before is None:
        return after
    known = asdict(before) | {name: value for name, value in asdict(after).items() if value}
    return type(after)(**known)


def tier_in(said: str | None) -> str | None:
    """The service tier that a server says it served with. What is none of OpenAI's names says nothing, nor
    does `auto`, which some servers send back as it came."""
    return _TIERS.get(said or "")


def to_delta(usage: Usage, tier: str | None = None) -> UsageDelta:
    """The totals, and the service tier that the server reports. Where the reasoning counts on top of the
    completion, as the total shows, it is added; Gemini has it in the total alone."""
    before = usage.prompt_tokens_details or _NO_DETAILS
    after = usage.completion_tokens_details
    prompt = usage.prompt_tokens or usage.input_tokens or 0
    completion = usage.completion_tokens or usage.output_tokens or 0
    reasoning = (after.reasoning_tokens if after else None) or usage.reasoning_tokens or 0
    cached = before.cached_tokens or usage.cached_tokens or usage.prompt_cache_hit_tokens or 0
    written = before.cache_write_tokens or before.cache_creation_tokens or usage.cache_creation_input_tokens
    rest = (usage.total_tokens or 0) - prompt - completion
    if rest > 0 and (rest == reasoning or (prompt and not (reasoning or cached or written))):
        reasoning = rest
        completion += rest
    return UsageDelta(prompt, completion, cached, reasoning, written or 0, tier=tier_in(tier))
