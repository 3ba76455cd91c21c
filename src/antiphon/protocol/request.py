"""The body of POST /responses, and of its two siblings that count and compact.

Members stand in the order in which the API checks them (behaviours.md section 6), except `model` and
`input`, whose absence is reported before anything else.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from antiphon.protocol.content import UserPart
from antiphon.protocol.item import InputItem
from antiphon.protocol.tool_choice import ToolChoice
from antiphon.protocol.tools import Tool
from antiphon.protocol.wire import JsonObject, Metadata, Wire, shown

Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Summary = Literal["concise", "detailed", "auto"]
Verbosity = Literal["low", "medium", "high"]
Truncation = Literal["auto", "disabled"]
ServiceTier = Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"]
CacheRetention = Literal["in_memory", "in-memory", "24h"]
SchemaName = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]


class TextFormat(Wire, tag="text", tag_field="type"):
    pass


class JsonObjectFormat(Wire, tag="json_object", tag_field="type"):
    pass


class JsonSchemaFormat(Wire, tag="json_schema", tag_field="type"):
    name: SchemaName
    schema: JsonObject
    description: str | None = shown(None)
    strict: bool | None = shown(None)


# The order is that in which the API lists the types when none of them is given.
Format = JsonObjectFormat | TextFormat | JsonSchemaFormat


class TextOptions(Wire):
    format: Format | None = None
    verbosity: Verbosity | None = None


class Reasoning(Wire):
    effort: Effort | None = shown(None)
    summary: Summary | None = shown(None)
    generate_summary: Summary | None = None
    """Older name of `summary`, still in the SDK."""
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard", "pro"] | None = None


class StreamOptions(Wire):
    include_obfuscation: bool | None = None


class ConversationRef(Wire):
    id: str


class PromptRef(Wire):
    id: str
    version: str | None = shown(None)
    variables: dict[str, str | UserPart] | None = shown(None)


class ModerationPolicy(Wire):
    mode: Literal["score", "block"]


class ModerationPolicies(Wire):
    input: ModerationPolicy | None = None
    output: ModerationPolicy | None = None


class ModerationOptions(Wire):
    model: str
    policy: ModerationPolicies | None = None


class PromptCacheOptions(Wire):
    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m", "12h"] | None = None
    prewarm: bool | None = None
    comparison_response_id: str | None = None


CompletionWindow = Literal["soonest", "2h", "8h"]


class AccessPrograms(Wire):
    cyber: Literal["standard", "daybreak_blue", "daybreak_red"] | None = None


class ImageOptions(Wire):
    context_compression: Literal["auto", "enabled", "disabled"] | None = None


class BackgroundOptions(Wire):
    completion_window: CompletionWindow | None = None
    continuation_id: Annotated[str, Meta(max_length=512)] | None = None
    """What requests have in common that belong together."""


class MultiAgent(Wire):
    """Several agents in one response (beta)."""

    enabled: bool
    max_concurrent_subagents: Annotated[int, Meta(ge=1)] | None = None


class ContextManagement(Wire):
    type: Literal["compaction"]
    compact_threshold: Annotated[int, Meta(ge=1000)] | None = None


Penalty = Annotated[float, Meta(ge=-2, le=2)]


RawItem = Annotated[msgspec.Raw, InputItem]
"""The JSON of an input item."""


class CreateResponse(Wire):
    """The body of POST /responses."""

    model: str
    input: str | list[RawItem] = ""
    """A text, or input items, each decoded by `items.decode_item`. Left out, it is as good as empty."""
    previous_response_id: str | None = None
    moderation: ModerationOptions | None = None
    prompt: PromptRef | None = None
    include: list[Include] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    metadata: Metadata | None = None
    text: TextOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    background_options: BackgroundOptions | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: CacheRetention | None = None
    truncation: Truncation | None = None
    instructions: str | None = None
    store: bool | None = None
    service_tier: ServiceTier | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    context_management: Annotated[list[ContextManagement], Meta(min_length=1)] | None = None
    multi_agent: MultiAgent | None = None
    conversation: str | ConversationRef | None = None
    access_programs: AccessPrograms | None = None
    image: ImageOptions | None = None
    client_metadata: JsonObject | None = None
    """Sent by Codex, documented nowhere; about the client's own session, so there is nothing to act on."""

    @property
    def has_agents(self) -> bool:
        """Whether its model may have others work for it."""
        return self.multi_agent is not None and self.multi_agent.enabled

    @property
    def conversation_id(self) -> str | None:
        """The id in either form of `conversation`."""
        ref = self.conversation
        return ref.id if isinstance(ref, ConversationRef) else ref


def prewarms(request: CreateResponse) -> bool:
    """Whether it fills the cache of the model's server, and generates nothing."""
    options = request.prompt_cache_options
    return options is not None and options.prewarm is True
