"""`Response.prompt_cache_diagnostics`: whether a prompt could be read from a cache, beside that of another
response."""

from typing import Literal

from antiphon.protocol.wire import Wire

MissReason = Literal[
    "model_changed",
    "prompt_cache_key_changed",
    "tools_changed",
    "text_format_changed",
    "reasoning_effort_changed",
    "verbosity_changed",
    "context_compacted",
    "input_changed",
    "service_tier_changed",
]


class CacheHit(Wire, tag_field="type", tag="cache_hit"):
    """The prompt begins with all of the other one."""


class CacheMiss(Wire, tag_field="type", tag="cache_miss", kw_only=True):
    """It differs before that one's end."""

    cache_missed_tokens: int
    """Of the prompt, behind the place where they differ; about so many."""
    reason: MissReason
    comparison_reusable_tokens: int | None = None
    """Of the other prompt, before that place."""


class NothingToCompare(Wire, tag_field="type", tag="comparison_response_not_found"):
    """There is no such response."""


class Unavailable(Wire, tag_field="type", tag="unavailable"):
    """There is, but what its model has read is not known, or not yet."""


PromptCacheDiagnostics = CacheHit | CacheMiss | NothingToCompare | Unavailable
