"""One chunk of a Chat Completions stream, or an answer in one piece: the members that we read.

`decode` is strict and fast. What it refuses is not lost: `decode_leniently` reads what servers send beside
the specification (docs/internals/upstreams.md section 2), one member at a time, so that an odd one costs
itself alone. Only there a chunk may have half of a surrogate pair: the other half comes with a later one.
"""

import json
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.backends.leniency import count
from antiphon.backends.tokens import Token, TopToken


class TokenLogprobs(Struct, frozen=True, gc=False):
    content: list[Token] | None = None


class Audio(Struct, frozen=True, gc=False):
    data: str | None = None
    transcript: str | None = None


class FunctionPiece(Struct, frozen=True, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The arguments as text: some servers send them as an object."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class CallPiece(Struct, frozen=True, gc=False):
    function: FunctionPiece | None = None
    index: int | None = None
    id: str | None = None
    extra_content: Any = None
    thought_signature: Any = None
    provider_specific_fields: Any = None

    @property
    def opaque(self) -> dict[str, Any]:
        """What goes back as it came."""
        return _given(self, ("extra_content", "thought_signature", "provider_specific_fields"))


class Said(Struct, frozen=True, gc=False):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    audio: Audio | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: FunctionPiece | None = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    extra_content: Any = None
    annotations: Any = None

    @property
    def opaque(self) -> dict[str, Any]:
        """What goes back as it came."""
        return _given(self, ("reasoning_details", "thinking_blocks", "extra_content"))

    @property
    def details(self) -> str:
        """The reasoning that stands in `reasoning_details` alone."""
        return _words(self.reasoning_details) or ""


def _given(said: CallPiece | Said, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(said, name))}


class InputDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None
    """LiteLLM's name of the same."""


class OutputDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class Usage(Struct, frozen=True, gc=False):
    """Tokens, under the names that servers have for them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    """Of servers before a model of Anthropic's."""
    reasoning_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class Choice(Struct, frozen=True, gc=False):
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    """What OpenRouter was sent by the provider that it asked."""
    logprobs: TokenLogprobs | None = None
    index: int | None = 0
    usage: Usage | None = None
    """Moonshot's place for it."""
    error: Any = None
    """OpenRouter's."""


class Groq(Struct, frozen=True, gc=False):
    """What Groq says beside an answer."""

    usage: Usage | None = None
    error: Any = None


class Chunk(Struct, frozen=True, gc=False):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    object: str | None = None
    service_tier: str | None = None
    x_groq: Groq | None = None

    @property
    def chosen(self) -> Choice:
        """The choice that we asked for: a lone one, whatever its index says. Some count tokens there."""
        choices = self.choices or [Choice()]
        return next((choice for choice in choices if choice.index == 0), choices[0])


decode = msgspec.json.Decoder(Chunk).decode


def decode_strictly(event: bytes) -> Chunk | None:
    """A chunk, or an answer in one piece; None when it is not as it should be."""
    try:
        return decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_leniently(event: bytes) -> Chunk | None:
    """What can be read of a chunk that is not as it should be; None when it is no JSON object."""
    try:
        value = json.loads(event.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return Chunk(
        choices=[_choice(each) for each in _objects(value.get("choices"))],
        usage=_usage(value.get("usage")),
        error=value.get("error"),
        object=_string(value.get("object")),
        service_tier=_string(value.get("service_tier")),
        x_groq=_groq(value.get("x_groq")),
    )


def _choice(value: dict[str, Any]) -> Choice:
    return Choice(
        delta=_said(value.get("delta")),
        message=_said(value.get("message")),
        finish_reason=_string(value.get("finish_reason")),
        native_finish_reason=_string(value.get("native_finish_reason")),
        logprobs=_logprobs(value.get("logprobs")),
        index=count(value.get("index")),
        usage=_usage(value.get("usage")),
        error=value.get("error"),
    )


def _groq(value: Any) -> Groq | None:
    return Groq(_usage(value.get("usage")), value.get("error")) if isinstance(value, dict) else None


def _said(value: Any) -> Said | None:
    if not isinstance(value, dict):
        return Said(content=value) if isinstance(value, str) else None
    return Said(
        content=_content(value.get("content")),
        reasoning_content=_words(value.get("reasoning_content")),
        reasoning=_words(value.get("reasoning")),
        refusal=_words(value.get("refusal")),
        audio=_audio(value.get("audio")),
        tool_calls=[_call(each) for each in _objects(value.get("tool_calls"))],
        function_call=_function(value.get("function_call")),
        reasoning_details=value.get("reasoning_details"),
        thinking_blocks=value.get("thinking_blocks"),
        extra_content=value.get("extra_content"),
        annotations=value.get("annotations"),
    )


def _content(value: Any) -> str | list[dict[str, Any]] | None:
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        return [each if isinstance(each, dict) else {"text": _words(each) or ""} for each in value]
    return _words(value)


def _words(value: Any) -> str | None:
    """The text in a value that should be one: of a list all of it, of an object its member."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(filter(None, map(_words, value)))
    if isinstance(value, dict):
        found = (_words(value.get(name)) for name in ("text", "content", "summary"))
        return next(filter(None, found), None)
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; a lone one is as good."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, dict)]


def _call(value: dict[str, Any]) -> CallPiece:
    return CallPiece(
        _function(value.get("function")),
        count(value.get("index")),
        _string(value.get("id")),
        value.get("extra_content"),
        value.get("thought_signature"),
        value.get("provider_specific_fields"),
    )


def _function(value: Any) -> FunctionPiece | None:
    if not isinstance(value, dict):
        return None
    arguments = value.get("arguments")
    return FunctionPiece(
        _string(value.get("name")), arguments if isinstance(arguments, dict) else _words(arguments)
    )


def _audio(value: Any) -> Audio | None:
    if not isinstance(value, dict):
        return None
    return Audio(_string(value.get("data")), _words(value.get("transcript")))


def _logprobs(value: Any) -> TokenLogprobs | None:
    tokens = _objects(value.get("content")) if isinstance(value, dict) else ()
    return TokenLogprobs([_token(each) for each in tokens]) if tokens else None


def _token(value: dict[str, Any]) -> Token:
    others = [TopToken(*_token_members(each)) for each in _objects(value.get("top_logprobs"))]
    return Token(*_token_members(value), top_logprobs=others)


def _token_members(value: dict[str, Any]) -> tuple[str, float | None, list[int] | None]:
    logprob: Any = value.get("logprob")
    units = value.get("bytes")
    finite = isinstance(logprob, int | float) and abs(logprob) < 1e6
    plain = isinstance(units, list) and all(isinstance(unit, int) and 0 <= unit < 256 for unit in units)
    token = (_words(value.get("token")) or "").encode(errors="replace").decode()
    return token, float(logprob) if finite else None, units if plain else None


_COUNTS = tuple(name for name in Usage.__struct_fields__ if name.endswith("_tokens"))


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    before = _objects(value.get("prompt_tokens_details"))
    after = _objects(value.get("completion_tokens_details"))
    return Usage(
        **{name: count(value.get(name)) for name in _COUNTS},
        prompt_tokens_details=_input_details(before[0]) if before else None,
        completion_tokens_details=OutputDetails(count(after[0].get("reasoning_tokens"))) if after else None,
    )


def _input_details(value: dict[str, Any]) -> InputDetails:
    return InputDetails(**{name: count(value.get(name)) for name in InputDetails.__struct_fields__})


def _string(value: Any) -> str | None:
    """A name; numbers are taken for one where they stand for something."""
    if isinstance(value, int) and value:
        return str(value)
    return value if isinstance(value, str) else None
