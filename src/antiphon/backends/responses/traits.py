"""What a model behind the Responses API takes, as refusals teach. The defaults are those of one of which
nothing is known: what it refuses it is not sent again."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.dialects import HINTS
from antiphon.backends.lessons import knows_other_values, refuses
from antiphon.model import Capabilities
from antiphon.protocol.wire import JsonObject

_HINTS = frozenset({*HINTS, "reasoning.mode", "access_programs"})


class Traits(Struct, frozen=True, kw_only=True):
    """Of one model."""

    effort: bool = True
    summary: bool = True
    """It can be asked for summaries of its reasoning."""
    sealed: bool = True
    """It can be asked for its reasoning, sealed."""
    finds: bool = True
    """It can be asked for what its own tools find."""
    schemas: bool = True
    json_object: bool = True
    strict: bool = True
    forced: bool = True
    parallel: bool = True
    """It can be limited to one call at a time."""
    logprobs: bool = True
    gives_logprobs: bool = True
    images: bool = True
    documents: bool = False
    """It reads files by itself."""
    instructed: bool = False
    """It takes a developer's messages anywhere, and knows where prompts are worth caching."""
    seals: bool = False
    """Its reasoning comes sealed."""
    shows: bool = False
    """Its reasoning comes as it is, and is taken back so."""
    hints: frozenset[str] = _HINTS

    def capabilities(self) -> Capabilities:
        return Capabilities(
            forced_tools=self.forced,
            parallel_tools=self.parallel,
            json_schema=self.schemas,
            json_object=self.json_object,
            logprobs=self.logprobs,
            gives_logprobs=self.logprobs and self.gives_logprobs,
            images=self.images,
            files=self.documents,
            reasoning=self.effort,
            verbosity="verbosity" in self.hints,
            hints=self.hints,
            opaque=self.seals,
            caches_prompts="prompt_cache_options" in self.hints,
        )


_Change = Callable[[Traits], Traits]


def _without(hint: str) -> _Change:
    return lambda traits: replace(traits, hints=traits.hints - {hint})


_TAUGHT: dict[str, _Change] = {
    "_call.": lambda traits: replace(traits, finds=False),
    "encrypted": lambda traits: replace(traits, sealed=False),
    "include": lambda traits: replace(traits, sealed=False, finds=False),
    "summary": lambda traits: replace(traits, summary=False),
    "summaries": lambda traits: replace(traits, summary=False),
    "reasoning.mode": _without("reasoning.mode"),
    "effort": lambda traits: replace(traits, effort=False),
    "reasoning": lambda traits: replace(traits, effort=False, summary=False),
    "parallel_tool_calls": lambda traits: replace(traits, parallel=False),
    "tool_choice": lambda traits: replace(traits, forced=False),
    "json_schema": lambda traits: replace(traits, schemas=False),
    "json_object": lambda traits: replace(traits, json_object=False),
    "format": lambda traits: replace(traits, schemas=False, json_object=False),
    "strict": lambda traits: replace(traits, strict=False),
    "logprobs": lambda traits: replace(traits, logprobs=False),
    **{hint: _without(hint) for hint in (*HINTS, "access_programs")},
}
"""What is left out, by a word of the refusal. The first that fits, and was sent, counts."""


def lesson(words: str, body: JsonObject, traits: Traits) -> Traits | None:
    """The traits that the refusal of a request teaches, in the server's `words`; None: nothing new."""
    words = words.lower()
    if not (refuses(words) or "must be verified" in words):
        return None
    for name, change in _TAUGHT.items():
        if name in words and _was_sent(name, body):
            taught = change(traits)
            if taught.effort != traits.effort and knows_other_values(words):
                return None
            return taught if taught != traits else None
    return None


def _was_sent(name: str, body: JsonObject) -> bool:
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    form = text.get("format") or {}
    places: dict[str, bool] = {
        "_call.": any("_call." in name for name in body.get("include") or ()),
        "encrypted": "include" in body,
        "summary": "summary" in reasoning,
        "summaries": "summary" in reasoning,
        "reasoning.mode": "mode" in reasoning,
        "effort": "effort" in reasoning,
        "json_schema": form.get("type") == "json_schema",
        "json_object": form.get("type") == "json_object",
        "format": bool(form),
        "strict": any("strict" in tool for tool in body.get("tools") or ()),
        "logprobs": "top_logprobs" in body,
        "verbosity": "verbosity" in text,
    }
    return places.get(name, name in body)
