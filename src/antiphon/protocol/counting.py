"""POST /responses/input_tokens (endpoints.md section 1)."""

from typing import Literal

from msgspec.structs import asdict

from antiphon.protocol.request import (
    ConversationRef,
    CreateResponse,
    RawItem,
    Reasoning,
    TextOptions,
    Truncation,
)
from antiphon.protocol.tool_choice import ToolChoice
from antiphon.protocol.tools import Tool
from antiphon.protocol.wire import Wire, shown


class CountTokens(Wire):
    """Its body: what of a request bears upon the context."""

    model: str | None = None
    input: str | list[RawItem] | None = None
    previous_response_id: str | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    text: TextOptions | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    truncation: Truncation | None = None
    instructions: str | None = None
    conversation: str | ConversationRef | None = None
    personality: str | None = None

    def request(self) -> CreateResponse:
        """The request whose context is counted; its model is empty when none was named."""
        members = asdict(self)
        del members["personality"]
        return CreateResponse(**members | {"model": self.model or "", "input": self.input or ""})


class TokenCount(Wire, kw_only=True):
    """What is answered."""

    object: Literal["response.input_tokens"] = shown("response.input_tokens")
    input_tokens: int
