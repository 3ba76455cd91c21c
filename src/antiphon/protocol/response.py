"""The Response object, as every reader sees it."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from antiphon.protocol.moderation import ResponseModeration
from antiphon.protocol.prompt_cache import PromptCacheDiagnostics
from antiphon.protocol.request import (
    AccessPrograms,
    ConversationRef,
    CreateResponse,
    JsonSchemaFormat,
    PromptCacheOptions,
    PromptRef,
    Reasoning,
    TextFormat,
    TextOptions,
)
from antiphon.protocol.tool_choice import ToolChoice
from antiphon.protocol.tools import ClientTool, Tool
from antiphon.protocol.wire import Wire, shown, shown_list

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
TERMINAL: frozenset[Status] = frozenset({"completed", "incomplete", "failed", "cancelled"})


class ResponseError(Wire):
    """Why a response failed. Codes: surface.md section 10."""

    code: str
    message: str


class IncompleteDetails(Wire):
    reason: Literal["max_output_tokens", "content_filter", "max_messages", "steered"]


class CacheWriteTokensDetails(Wire):
    """By how long they stay: of a server with other times than these, the shorter and the longer of them."""

    ttl_30m_tokens: int = shown(0)
    ttl_12h_tokens: int = shown(0)


class InputTokensDetails(Wire):
    cached_tokens: int = shown(0)
    cache_write_tokens: int = shown(0)
    cache_write_tokens_details: CacheWriteTokensDetails | None = None

    def plus(self, other: "InputTokensDetails") -> "InputTokensDetails":
        """The tokens of both."""
        told = [each.cache_write_tokens_details for each in (self, other) if each.cache_write_tokens_details]
        short, long = sum(each.ttl_30m_tokens for each in told), sum(each.ttl_12h_tokens for each in told)
        return InputTokensDetails(
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_tokens_details=CacheWriteTokensDetails(short, long) if told else None,
        )


class OutputTokensDetails(Wire):
    reasoning_tokens: int = shown(0)


class Usage(Wire):
    """Tokens of a response, summed over all its turns."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int

    @classmethod
    def none(cls) -> "Usage":
        """No tokens."""
        return cls(
            input_tokens=0,
            input_tokens_details=InputTokensDetails(),
            output_tokens=0,
            output_tokens_details=OutputTokensDetails(),
            total_tokens=0,
        )

    def plus(self, other: "Usage") -> "Usage":
        """The tokens of both."""
        reasoned = self.output_tokens_details.reasoning_tokens + other.output_tokens_details.reasoning_tokens
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            input_tokens_details=self.input_tokens_details.plus(other.input_tokens_details),
            output_tokens=self.output_tokens + other.output_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoned),
            total_tokens=self.total_tokens + other.total_tokens,
        )


class InputImageTokens(Wire):
    image_tokens: int = shown(0)
    text_tokens: int = shown(0)


class CachedImageTokens(Wire):
    cached_image_tokens: int = shown(0)
    cached_text_tokens: int = shown(0)


class ImageUsage(Wire, kw_only=True):
    cached_tokens: int | None = None
    """Left out where the server does not count them."""
    cached_tokens_details: CachedImageTokens | None = None
    input_tokens: int = shown(0)
    input_tokens_details: InputImageTokens
    output_tokens: int = shown(0)
    output_tokens_details: InputImageTokens | None = None
    total_tokens: int = shown(0)

    def plus(self, other: "ImageUsage | None") -> "ImageUsage":
        """The tokens of both."""
        if other is None:
            return self
        written = [each.output_tokens_details for each in (self, other) if each.output_tokens_details]
        cached = [each.cached_tokens for each in (self, other) if each.cached_tokens is not None]
        told = [each.cached_tokens_details for each in (self, other) if each.cached_tokens_details]
        return ImageUsage(
            cached_tokens=sum(cached) if cached else None,
            cached_tokens_details=_cached(told) if told else None,
            input_tokens=self.input_tokens + other.input_tokens,
            input_tokens_details=_together([self.input_tokens_details, other.input_tokens_details]),
            output_tokens=self.output_tokens + other.output_tokens,
            output_tokens_details=_together(written) if written else None,
            total_tokens=self.total_tokens + other.total_tokens,
        )


def _together(tokens: Sequence[InputImageTokens]) -> InputImageTokens:
    return InputImageTokens(
        image_tokens=sum(each.image_tokens for each in tokens),
        text_tokens=sum(each.text_tokens for each in tokens),
    )


def _cached(tokens: Sequence[CachedImageTokens]) -> CachedImageTokens:
    return CachedImageTokens(
        cached_image_tokens=sum(each.cached_image_tokens for each in tokens),
        cached_text_tokens=sum(each.cached_text_tokens for each in tokens),
    )


class WebSearchUsage(Wire):
    num_requests: int = shown(0)
    """Searches; pages that were opened do not count."""


class ToolUsage(Wire, kw_only=True):
    """What the server's tools cost besides the model. A kind without any has zeros."""

    image_gen: ImageUsage
    web_search: WebSearchUsage


class ShownImageOptions(Wire):
    """What became of images."""

    context_compression: Literal["enabled", "disabled"]


class InputTransformation(Wire, kw_only=True):
    """Reasoning of the input that was withheld from the model."""

    id: str
    """Of its item."""
    type: Literal["reasoning"] = shown("reasoning")
    action: Literal["removed"] = shown("removed")
    reason: Literal[
        "organization_mismatch", "end_user_mismatch", "model_mismatch", "prefix_mismatch", "turn_boundary"
    ]


class Response(Wire, kw_only=True):
    """The Response object. Members that a minimal answer of the real API shows are always shown."""

    id: str
    object: Literal["response"] = shown("response")
    access_programs: AccessPrograms | None = None
    created_at: int
    """Seconds since the epoch; so is completed_at."""
    status: Status
    background: bool = shown(False)
    completed_at: int | None = shown(None)
    conversation: ConversationRef | None = None
    error: ResponseError | None = shown(None)
    frequency_penalty: float = shown(0.0)
    image: ShownImageOptions | None = None
    incomplete_details: IncompleteDetails | None = shown(None)
    input_transformations: list[InputTransformation] | None = None
    """Left out where there are none."""
    instructions: str | list[Any] | None = shown(None)
    max_output_tokens: int | None = shown(None)
    max_tool_calls: int | None = shown(None)
    model: str
    moderation: ResponseModeration | None = shown(None)
    output: list[Any] = shown_list()
    """Output items: structs of `items`, or their JSON as `msgspec.Raw` when they come from the store."""
    parallel_tool_calls: bool = shown(True)
    presence_penalty: float = shown(0.0)
    previous_response_id: str | None = shown(None)
    prompt: PromptRef | None = None
    prompt_cache_diagnostics: PromptCacheDiagnostics | None = None
    """Left out where nobody asked."""
    prompt_cache_key: str | None = shown(None)
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: str | None = shown(None)
    reasoning: Reasoning
    safety_identifier: str | None = shown(None)
    service_tier: str = shown("auto")
    store: bool = shown(True)
    temperature: float = shown(1.0)
    text: TextOptions
    tool_choice: ToolChoice = shown("auto")
    tool_usage: ToolUsage | None = None
    """Left out where no tool counted anything."""
    tools: list[Tool | msgspec.Raw]
    """As `echo` gives them: those of the client as JSON, where it has just sent them."""
    top_logprobs: int = shown(0)
    top_p: float = shown(1.0)
    truncation: str = shown("disabled")
    usage: Usage | None = shown(None)
    user: str | None = shown(None)
    metadata: dict[str, str]


_BLANK = Response(
    id="",
    created_at=0,
    status="in_progress",
    model="",
    reasoning=Reasoning(),
    text=TextOptions(format=TextFormat(), verbosity="medium"),
    tools=[],
    metadata={},
)
"""A response to a request that asks for nothing in particular."""
_SAME = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "frequency_penalty",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "safety_identifier",
    "temperature",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
"""Members that are echoed as they were given."""
_same = attrgetter(*_SAME)
_NOTHING_SAID = (None,) * len(_SAME)


def opening(request: CreateResponse, response_id: str, created_at: int) -> Response:
    """The response as it begins: in progress, empty, with the request's effective values echoed."""
    response = replace(
        _BLANK,
        id=response_id,
        created_at=created_at,
        model=request.model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        store=request.store is not False,
        tools=[_echoed(tool) for tool in request.tools] if request.tools else [],
        metadata=dict(request.metadata) if request.metadata else {},
    )
    if (said := _same(request)) != _NOTHING_SAID:
        _echo(response, said)
    if request.background:
        response.background, response.status = True, "queued"
    if request.conversation_id:
        response.conversation = ConversationRef(id=request.conversation_id)
    if request.access_programs is not None and request.access_programs.cyber:
        response.access_programs = request.access_programs
    if request.image is not None:
        response.image = ShownImageOptions(compression(request))
    if request.prompt_cache_options is not None:
        response.prompt_cache_options = _cache_options(request.prompt_cache_options)
    response.prompt_cache_retention = cache_retention(request.prompt_cache_retention)
    if request.reasoning is not None:
        response.reasoning = _reasoning(request.reasoning)
    if request.text is not None:
        response.text = _text(request.text)
    return response


def _echoed(tool: Tool) -> Tool | msgspec.Raw:
    return tool.echoed if isinstance(tool, ClientTool) else tool.echo()


def _echo(response: Response, said: Sequence[Any]) -> None:
    for name, value in zip(_SAME, said, strict=True):
        if value is not None:
            setattr(response, name, value)


def cache_retention(value: str | None) -> str | None:
    """How long a prompt should stay cached, in today's spelling. The older spelling reads `in-memory`."""
    return "in_memory" if value == "in-memory" else value


def compression(request: CreateResponse) -> Literal["enabled", "disabled"]:
    """Whether images are made as small as their `detail` allows. Left to us, they stay as they are: a model's
    server knows best how large its model sees them."""
    asked = request.image and request.image.context_compression
    return "enabled" if asked == "enabled" else "disabled"


def _cache_options(asked: PromptCacheOptions) -> PromptCacheOptions:
    compared = asked.comparison_response_id
    return PromptCacheOptions(asked.mode or "implicit", asked.ttl or "30m", comparison_response_id=compared)


def _reasoning(asked: Reasoning) -> Reasoning:
    summary = asked.summary or asked.generate_summary
    return Reasoning(
        effort=asked.effort,
        summary="detailed" if summary == "auto" else summary,
        context=asked.context,
        mode=asked.mode,
    )


def _text(asked: TextOptions) -> TextOptions:
    form = asked.format or TextFormat()
    if isinstance(form, JsonSchemaFormat) and form.strict is None:
        form = JsonSchemaFormat(
            name=form.name, schema=form.schema, description=form.description, strict=False
        )
    return TextOptions(format=form, verbosity=asked.verbosity or "medium")
