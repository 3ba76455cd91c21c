"""Prompt cache diagnostics: why a prompt could not be read from a cache, which knows it as far as the prompt
of another response goes.

What is compared is what we give to models: settings that models or servers keep prompts apart by, and then
the messages, one after another. What the cache of a model's server has done in the end is in `usage`.
"""

from collections.abc import Sequence
from itertools import takewhile
from operator import eq
from typing import Any

import msgspec
from msgspec.structs import replace

from antiphon.context.budget import estimate
from antiphon.engine.memory import Memory
from antiphon.engine.prepare.plan import Plan
from antiphon.guard.offload import offload
from antiphon.model import Message, TextPart
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item
from antiphon.protocol.items import Compaction, decode_stored
from antiphon.protocol.prompt_cache import (
    CacheHit,
    CacheMiss,
    MissReason,
    NothingToCompare,
    PromptCacheDiagnostics,
    Unavailable,
)
from antiphon.protocol.tiers import tier_of
from antiphon.protocol.wire import encode
from antiphon.store.store import Store
from antiphon.stream.built_item import member_at

_SETTINGS: tuple[tuple[MissReason, tuple[str, ...]], ...] = (
    ("model_changed", ("model",)),
    ("prompt_cache_key_changed", ("prompt_cache_key",)),
    ("service_tier_changed", ("service_tier",)),
    ("tools_changed", ("tools",)),
    ("text_format_changed", ("text", "format")),
    ("reasoning_effort_changed", ("reasoning", "effort")),
    ("verbosity_changed", ("text", "verbosity")),
    ("input_changed", ("instructions",)),
)
"""Members of a response that stand before all messages, or keep prompts apart. The first that differs is
the reason."""


async def diagnosed(store: Store, plan: Plan, memory: Memory | None) -> PromptCacheDiagnostics | None:
    """What is found for the plan; None where nobody asked."""
    options = plan.request.prompt_cache_options
    compared = options and options.comparison_response_id
    if not compared:
        return None
    found = await store.responses.get(plan.project, compared)
    if found is None:
        remembered = memory is not None and memory.find(compared) is not None
        return Unavailable() if remembered else NothingToCompare()
    history = await store.responses.history(plan.project, compared)
    if history is None:
        return Unavailable()
    if reason := _changed(msgspec.json.decode(found.json), plan):
        return await _missed(plan, reason, ())
    given = history[: len(history) - len(found.output)]
    return await _beside(plan, await offload(len(given), lambda: [decode_stored(row) for row in given]))


async def _beside(plan: Plan, compared: Sequence[Item]) -> PromptCacheDiagnostics:
    """What is found of the messages."""
    try:
        turn = await offload(len(compared), plan.turns.build, compared)
    except InvalidRequest:  # it has attachments that this request has not
        return Unavailable()
    shared = await offload(turn.size, _shared, plan.turn.messages, turn.messages)
    if len(shared) == len(turn.messages) and shared[-1:] == turn.messages[-1:]:
        return CacheHit()
    return await _missed(plan, "context_compacted" if _compacts(plan, compared) else "input_changed", shared)


def _changed(compared: dict[str, Any], plan: Plan) -> MissReason | None:
    """The first of the settings that differs."""
    own = msgspec.json.decode(encode(plan.response))
    own["service_tier"] = _tier(plan, compared.get("service_tier"))
    differs = (reason for reason, path in _SETTINGS if member_at(own, path) != member_at(compared, path))
    return next(differs, None)


def _tier(plan: Plan, compared: str | None) -> str | None:
    """The service tier; that of the compared response where it may be the same again. A response shows what
    its server said, which chooses when none is asked for, or that of our queue where it said nothing."""
    asked = plan.request.service_tier
    is_open = asked in (None, "auto")
    may_be_the_same = is_open or tier_of(compared) in (plan.caller.tier, tier_of(asked))
    return compared if may_be_the_same else tier_of(asked)


def _shared(messages: Sequence[Message], others: Sequence[Message]) -> tuple[Message, ...]:
    """What both begin with: equal messages, and the beginning of the text in which the next ones differ."""
    count = sum(takewhile(bool, map(eq, messages, others)))
    same, next_ones = tuple(messages[:count]), (*messages[count : count + 1], *others[count : count + 1])
    if len(next_ones) == 2 and next_ones[0].role == next_ones[1].role:
        text = _common(next_ones[0].text, next_ones[1].text)
        return (*same, Message(next_ones[0].role, (TextPart(text),))) if text else same
    return same


def _common(one: str, other: str) -> str:
    """The longest text that both begin with."""
    known, most = 0, min(len(one), len(other))
    while known < most:
        middle = (known + most + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            most = middle - 1
    return one[:known]


def _compacts(plan: Plan, compared: Sequence[Item]) -> bool:
    """Whether the context was compacted, or is about to be, and the other one was not."""
    before = {item.id for item in compared if isinstance(item, Compaction)}
    own = {item.id for item in plan.context.items if isinstance(item, Compaction)}
    return plan.compacts is not None or not own <= before


async def _missed(plan: Plan, reason: MissReason, shared: tuple[Message, ...]) -> CacheMiss:
    """`shared`: what both prompts begin with. Tokens are estimated: the model's server, which may be busy or
    slow, is not asked for what nobody needs for an answer."""
    whole = await offload(plan.turn.size, estimate, plan.turn)
    begin = replace(plan.turn, messages=shared, said=None)
    known = await offload(begin.size, estimate, begin) if shared else 0
    missed = max(0, whole - known)
    return CacheMiss(cache_missed_tokens=missed, reason=reason, comparison_reusable_tokens=known)
