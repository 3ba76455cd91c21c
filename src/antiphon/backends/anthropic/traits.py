"""What a model behind the Messages API takes: as its server lists it, and as refusals teach."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.lessons import refuses
from antiphon.model import Capabilities
from antiphon.protocol.wire import JsonObject

LEVELS = ("low", "medium", "high", "xhigh", "max")
_HINTS = frozenset({"user", "prompt_cache_options", "prompt_cache_retention"})
_MAXIMUM = re.compile(r"max_tokens\D*\d+ > (\d+)")
"""How a server says how many tokens an answer may have."""


class Traits(Struct, frozen=True, kw_only=True):
    """Of one model. The defaults are those of one of which nothing is known: what it refuses it is not sent
    again."""

    thinking: Literal["adaptive", "enabled", ""] = "adaptive"
    """How it is made to think: as it sees fit, within a budget of tokens, or not at all."""
    disabled: bool = True
    """It can be kept from thinking."""
    display: bool = True
    """It can be asked to show what it thinks."""
    levels: frozenset[str] = frozenset(LEVELS)
    """Of effort."""
    schemas: bool = True
    """It can be held to a JSON schema."""
    holds: bool = False
    """It surely is."""
    strict: bool = True
    """It takes strict functions."""
    parallel: bool = True
    """It can be limited to one call at a time."""
    caching: bool = True
    images: bool = True
    documents: bool = False
    """It reads PDF by itself."""
    signs: bool | None = None
    """Its thoughts have signatures, without which they are not taken back; None: not known."""
    most: int | None = None
    """Tokens that an answer may have."""
    window: int | None = None
    """Tokens of its context."""
    without: frozenset[str] = frozenset()
    """Other parameters that it refuses."""

    def capabilities(self) -> Capabilities:
        return Capabilities(
            strict_tools=self.holds and self.strict,
            parallel_tools=self.parallel,
            json_schema=self.schemas,
            json_object=False,
            logprobs=False,
            gives_logprobs=False,
            images=self.images,
            files=self.documents,
            reasoning=bool(self.thinking or self.levels),
            hints=(_HINTS if self.caching else frozenset({"user"})) - self.without,
            opaque=bool(self.signs),
            caches_prompts=self.caching,
            context_window=self.window,
        )


# ---- as it is listed --------------------------------------------------------------------------------


class _Listed(Struct, frozen=True):
    id: str = ""
    capabilities: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_input_tokens: int | None = None


class _Models(Struct, frozen=True):
    data: list[_Listed] | None = None


def listed_traits(body: bytes, common: Traits) -> Mapping[str, Traits]:
    """The traits of the models in the body of `GET /models`; `common` are those that are not listed. Empty
    for a server that lists none."""
    try:
        models = msgspec.json.decode(body, type=_Models).data or ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {model.id: _told(model, common) for model in models if model.capabilities}


def _told(model: _Listed, common: Traits) -> Traits:
    can = model.capabilities or {}
    types, effort = _at(can, "thinking", "types"), _at(can, "effort")
    ways: tuple[Literal["adaptive", "enabled"], ...] = ("adaptive", "enabled")
    schemas = _is(can, "structured_outputs")
    return replace(
        common,
        thinking=next((way for way in ways if _is(types, way)), ""),
        disabled=_is(types, "disabled"),
        levels=frozenset(level for level in LEVELS if _is(effort, level)),
        schemas=schemas,
        strict=schemas,
        holds=schemas,
        images=_is(can, "image_input"),
        documents=_is(can, "pdf_input"),
        most=model.max_tokens,
        window=model.max_input_tokens,
    )


def _at(value: Any, *path: str) -> JsonObject:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _is(value: JsonObject, name: str) -> bool:
    return _at(value, name).get("supported") is True


# ---- as refusals teach ------------------------------------------------------------------------------


def lesson(words: str, body: JsonObject, traits: Traits) -> Traits | None:
    """The traits that the refusal of a request teaches, in the server's `words`; None: nothing new."""
    words = words.lower()
    if (found := _MAXIMUM.search(words)) and body["max_tokens"] > int(found[1]):
        return replace(traits, most=int(found[1]))
    if not refuses(words):
        return None
    taught = _of_thinking(words, body, traits) or _of_forms(words, body, traits)
    if taught is None:
        name = next((each for each in ("metadata", "service_tier") if each in words and each in body), None)
        taught = traits if name is None else replace(traits, without=traits.without | {name})
    return taught if taught != traits else None


def _of_thinking(words: str, body: JsonObject, traits: Traits) -> Traits | None:
    kind = _at(body, "thinking").get("type")
    if "display" in words and "display" in _at(body, "thinking"):
        return replace(traits, display=False)
    if "effort" in words and (level := _at(body, "output_config").get("effort")):
        known = traits.levels - {level} if "level" in words else frozenset()
        return replace(traits, levels=known)
    if kind == "adaptive" and ("adaptive" in words or "thinking" in words):
        return replace(traits, thinking="enabled" if "adaptive" in words else "")
    if kind == "enabled" and "thinking" in words:
        return replace(traits, thinking="adaptive" if "adaptive" in words else "")
    if kind == "disabled" and "thinking" in words:
        return replace(traits, disabled=False)
    return None


def _of_forms(words: str, body: JsonObject, traits: Traits) -> Traits | None:
    config, tools = _at(body, "output_config"), body.get("tools") or ()
    if "format" in config and any(name in words for name in ("output_config", "schema", "structured")):
        return replace(traits, schemas=False)
    if "output_config" in words and config:
        return replace(traits, levels=frozenset(), schemas=False)
    if any("strict" in tool for tool in tools) and ("strict" in words or "schema" in words):
        return replace(traits, strict=False)
    if "disable_parallel_tool_use" in words and "disable_parallel_tool_use" in _at(body, "tool_choice"):
        return replace(traits, parallel=False)
    if "cache_control" in words:
        return replace(traits, caching=False)
    return None
