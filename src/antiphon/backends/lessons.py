"""What a refusal teaches: a server that names a parameter which it does not take is not sent it again.

A dialect says what kinds of servers know; models and versions of them differ. What is learned holds for one
model of one backend, as long as the process runs.
"""

import re
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from antiphon.backends.dialects import HINTS, Dialect
from antiphon.backends.offer import has_hosted
from antiphon.model import Capabilities, Overrated, Turn
from antiphon.protocol.wire import JsonObject

_REFUSING = (
    "not support",
    "unsupported",
    "unavailable",
    "unrecognized",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra_forbidden",
    "cannot find field",
    "invalid parameter",
    "is not available",
    "cannot be combined",
    "endpoints found that support",
    "instead",
)
"""How servers say that they do not take something."""

_Limit = Literal["max_tokens", "max_completion_tokens"]
_REASONING: Literal["reasoning_content"] = "reasoning_content"
_MISSING = ("must be passed back", "is missing", "must be provided", "is required")
"""How servers say that the model's reasoning has to come back (DeepSeek, Kimi)."""

_NO_TOOLS = (
    "not support tools",  # Ollama
    "support tool use",  # OpenRouter, Groq
    "not support tool call",
    "not support function call",
    "tools is not supported",  # OpenAI
    "tools are not supported",
    "tool calling is not supported",
    "function calling is not supported",
    "--tool-call-parser",  # vLLM that was started without one
)
"""How servers say that a model knows no functions, or that they cannot read its calls."""
_EFFORTS = ("reasoning_effort", "chat_template_kwargs", "reasoning", "thinking", "enable_thinking")
_NO_THINKING = ("not support thinking", "not support reasoning", "parameter reasoningeffort")
"""How servers say that a model does not think, without the name of what was sent (Ollama, xAI)."""
_NOT_WITH_TOOLS = ("response mime type", "json mode")
"""What servers call a form that they do not hold an answer to where there are functions (Gemini, Groq)."""
_OTHER_VALUES = ("supported values are", "must be one of", "unsupported value")
"""How servers say that they know an effort, and not this one: that is for the client to change."""

_LIMITS: tuple[tuple[_Limit, _Limit], ...] = (
    ("max_tokens", "max_completion_tokens"),
    ("max_completion_tokens", "max_tokens"),
)
"""Where one of both names for the length of an answer is refused, the other is known."""

_Change = Callable[[Dialect], Dialect]


def _without_hint(name: str) -> _Change:
    return lambda dialect: replace(dialect, hints=dialect.hints - {name})


_PARAMETERS: dict[str, _Change] = {
    "stream_options": lambda dialect: replace(dialect, stream_options=False),
    "parallel_tool_calls": lambda dialect: replace(dialect, parallel="never"),
    "reasoning_content": lambda dialect: replace(dialect, reasoning_sent=""),
    "reasoning_effort": lambda dialect: replace(dialect, effort=""),
    "chat_template_kwargs": lambda dialect: replace(dialect, effort=""),
    "thinking": lambda dialect: replace(dialect, effort=""),
    "enable_thinking": lambda dialect: replace(dialect, effort=""),
    "strict": lambda dialect: replace(dialect, strict=False),
    **{name: _without_hint(name) for name in HINTS},
    "tool_choice": lambda dialect: replace(dialect, choice="auto"),
    "json_schema": lambda dialect: replace(dialect, json_schema=False),
    "response_format": lambda dialect: replace(dialect, json_schema=False, json_object="words"),
}
"""What is left out, by the name that a refusal has for it. The first that fits counts."""


def lesson(words: str, body: JsonObject, dialect: Dialect) -> Dialect | None:
    """The dialect that the refusal of a request teaches, in the server's `words`; None: nothing new."""
    words = words.lower()
    taught = _taught(words, body, dialect) or dialect
    if taught == dialect or (taught.effort != dialect.effort and knows_other_values(words)):
        return None
    return taught


def _taught(words: str, body: JsonObject, dialect: Dialect) -> Dialect | None:
    if _REASONING in words and any(phrase in words for phrase in _MISSING):
        return replace(dialect, reasoning_sent=_REASONING, reasoning_of="all")
    if "tools" in body and any(phrase in words for phrase in _NO_TOOLS):
        return replace(dialect, tools=False)
    if not refuses(words):
        return None
    for sent, other in _LIMITS:
        if sent in body and re.search(rf"\b{sent}\b", words):
            return replace(dialect, max_tokens=other)
    if "tools" in body and "response_format" in body and any(each in words for each in _NOT_WITH_TOOLS):
        return _PARAMETERS["response_format"](dialect)
    if any(name in body for name in _EFFORTS) and any(phrase in words for phrase in _NO_THINKING):
        return replace(dialect, effort="")
    name = next((name for name in _PARAMETERS if name in words and _was_sent(name, body)), None)
    return None if name is None else _PARAMETERS[name](dialect)


def knows_other_values(words: str) -> bool:
    """Whether a server says, in these small letters, that it takes something, but not so."""
    return any(phrase in words for phrase in _OTHER_VALUES)


def refuses(words: str) -> bool:
    """Whether a server says, in these small letters, that it does not take something."""
    return any(phrase in words for phrase in _REFUSING)


def refuses_media(words: str) -> bool:
    """Whether a server says, in whatever status, that its model reads text alone."""
    words = words.lower()
    about = any(kind in words for kind in ("image", "audio", "multimodal", "mmproj"))
    return about and refuses(words)


def _was_sent(name: str, body: JsonObject) -> bool:
    if name == "json_schema":
        form = body.get("response_format")
        return isinstance(form, dict) and form.get("type") == "json_schema"
    if name == "strict":
        return any(map(_is_strict, body.get("tools") or ()))
    if name == _REASONING:
        return any(name in message for message in body["messages"] if isinstance(message, dict))
    return name in body


def _is_strict(tool: JsonObject | msgspec.Raw) -> bool:
    sent = msgspec.json.decode(tool) if isinstance(tool, msgspec.Raw) else tool
    return bool(sent.get("function", {}).get("strict"))


def check_rated(turn: Turn, now: Capabilities, before: Capabilities) -> None:
    """Raises Overrated when the turn was made for a server that can more than was learned now."""
    forced = turn.is_forced and not has_hosted(turn)  # nobody emulates what the server runs
    formed = (now.json_schema, now.json_object) != (before.json_schema, before.json_object)
    calls = turn.functions and not now.tools
    if calls or (forced and not now.forced_tools) or (turn.format != "text" and formed):
        raise Overrated("The model's server cannot do what this request asks of it.")
