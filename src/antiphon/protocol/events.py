"""The events of a response, one class each, in the form in which they go over the wire.

surface.md section 8. `sequence_number` counts from 0 without gaps. The member `obfuscation` is not
here: it belongs to a transport, which adds it on the way out.
"""

from typing import Any, ClassVar

from antiphon.protocol.client_items import CommandOutput
from antiphon.protocol.content import Annotation, Logprob
from antiphon.protocol.response import Response
from antiphon.protocol.wire import Wire, shown_list


class Event(Wire, tag_field="type", kw_only=True):
    """An event. Its `type` is the tag of its class."""

    sequence_number: int = -1
    """Given by the machine when the event is emitted."""
    obfuscated: ClassVar[bool] = False
    """Whether its size would reveal the length of a token (behaviours.md section 1.4)."""


# ---- the response -----------------------------------------------------------------------------------


class ResponseEvent(Event):
    """An event that carries the whole response."""

    response: Response


class Created(ResponseEvent, tag="response.created"):
    pass


class Queued(ResponseEvent, tag="response.queued"):
    pass


class InProgress(ResponseEvent, tag="response.in_progress"):
    pass


class Completed(ResponseEvent, tag="response.completed"):
    pass


class Incomplete(ResponseEvent, tag="response.incomplete"):
    pass


class Failed(ResponseEvent, tag="response.failed"):
    pass


class SteerEvent(Event):
    """What became of something that was said to the response while it was made (surface.md section 8). It
    stands among the events of the response, or behind the last of them."""


class Cancelled(ResponseEvent, tag="response.cancelled"):
    """Ends the log of a cancelled background response. Not among the SDK's types; the wire has it
    (behaviours.md section 1.2), and without it a reader of the stream could not distinguish an end from
    a cut."""


class ErrorDetail(Wire):
    type: str
    code: str | None
    message: str
    param: str | None


class Error(Event, tag="error"):
    """The response failed. On the wire the members sit under `error`; the SDK's type has them flat, so
    both forms are emitted (behaviours.md section 2)."""

    error: ErrorDetail
    code: str | None
    message: str
    param: str | None


# ---- sound ------------------------------------------------------------------------------------------


class AudioDelta(Event, tag="response.audio.delta"):
    """A piece of what the model says aloud, base64."""

    delta: str


class AudioDone(Event, tag="response.audio.done"):
    pass


class TranscriptDelta(Event, tag="response.audio.transcript.delta"):
    delta: str


class TranscriptDone(Event, tag="response.audio.transcript.done"):
    pass


# ---- items ------------------------------------------------------------------------------------------


class ItemAdded(Event, tag="response.output_item.added"):
    output_index: int
    item: Any


class ItemDone(Event, tag="response.output_item.done"):
    output_index: int
    item: Any


class ItemEvent(Event):
    """Something happens to an item that was added."""

    item_id: str
    output_index: int


class PartEvent(ItemEvent):
    """Something happens to a content part of an item."""

    content_index: int


class PartAdded(PartEvent, tag="response.content_part.added"):
    part: Any


class PartDone(PartEvent, tag="response.content_part.done"):
    part: Any


class TextDelta(PartEvent, tag="response.output_text.delta"):
    obfuscated = True
    delta: str
    logprobs: list[Logprob] = shown_list()


class TextDone(PartEvent, tag="response.output_text.done"):
    text: str
    logprobs: list[Logprob] = shown_list()


class AnnotationAdded(PartEvent, tag="response.output_text.annotation.added"):
    annotation_index: int
    annotation: Annotation


class RefusalDelta(PartEvent, tag="response.refusal.delta"):
    obfuscated = True
    delta: str


class RefusalDone(PartEvent, tag="response.refusal.done"):
    refusal: str


class ReasoningTextDelta(PartEvent, tag="response.reasoning_text.delta"):
    obfuscated = True
    delta: str


class ReasoningTextDone(PartEvent, tag="response.reasoning_text.done"):
    text: str


class SummaryEvent(ItemEvent):
    summary_index: int


class SummaryPartAdded(SummaryEvent, tag="response.reasoning_summary_part.added"):
    part: Any


class SummaryPartDone(SummaryEvent, tag="response.reasoning_summary_part.done"):
    part: Any


class SummaryTextDelta(SummaryEvent, tag="response.reasoning_summary_text.delta"):
    obfuscated = True
    delta: str


class SummaryTextDone(SummaryEvent, tag="response.reasoning_summary_text.done"):
    text: str


class ArgumentsDelta(ItemEvent, tag="response.function_call_arguments.delta"):
    obfuscated = True
    delta: str


class ArgumentsDone(ItemEvent, tag="response.function_call_arguments.done"):
    arguments: str


class CustomInputDelta(ItemEvent, tag="response.custom_tool_call_input.delta"):
    obfuscated = True
    delta: str


class CustomInputDone(ItemEvent, tag="response.custom_tool_call_input.done"):
    input: str


class PatchDiffDelta(ItemEvent, tag="response.apply_patch_call_operation_diff.delta"):
    """Undocumented, like its end; recorded from the real API."""

    obfuscated = True
    delta: str


class PatchDiffDone(ItemEvent, tag="response.apply_patch_call_operation_diff.done"):
    diff: str


class CommandEvent(Event):
    """Something happens to a command of a shell call. The API names no item_id here."""

    output_index: int
    command_index: int


class CommandAdded(CommandEvent, tag="response.shell_call_command.added"):
    command: str


class CommandDelta(CommandEvent, tag="response.shell_call_command.delta"):
    obfuscated = True
    delta: str


class CommandDone(CommandEvent, tag="response.shell_call_command.done"):
    command: str


# ---- calls that the server runs: how far they are ----------------------------------------------------


class FileSearchInProgress(ItemEvent, tag="response.file_search_call.in_progress"):
    pass


class FileSearchSearching(ItemEvent, tag="response.file_search_call.searching"):
    pass


class FileSearchCompleted(ItemEvent, tag="response.file_search_call.completed"):
    pass


class WebSearchInProgress(ItemEvent, tag="response.web_search_call.in_progress"):
    pass


class WebSearchSearching(ItemEvent, tag="response.web_search_call.searching"):
    pass


class WebSearchCompleted(ItemEvent, tag="response.web_search_call.completed"):
    pass


class CodeInProgress(ItemEvent, tag="response.code_interpreter_call.in_progress"):
    pass


class CodeDelta(ItemEvent, tag="response.code_interpreter_call_code.delta"):
    obfuscated = True
    delta: str


class CodeDone(ItemEvent, tag="response.code_interpreter_call_code.done"):
    code: str


class CodeInterpreting(ItemEvent, tag="response.code_interpreter_call.interpreting"):
    pass


class CodeCompleted(ItemEvent, tag="response.code_interpreter_call.completed"):
    pass


class ImageInProgress(ItemEvent, tag="response.image_generation_call.in_progress"):
    pass


class ImageGenerating(ItemEvent, tag="response.image_generation_call.generating"):
    pass


class PartialImage(ItemEvent, tag="response.image_generation_call.partial_image"):
    """A picture that is not finished, base64."""

    partial_image_index: int
    partial_image_b64: str
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None


class ImageCompleted(ItemEvent, tag="response.image_generation_call.completed"):
    pass


class PrintedText(Wire):
    """A piece of what a command printed."""

    stdout: str | None = None
    stderr: str | None = None


class ShellOutputEvent(ItemEvent):
    """Something happens to the output of a command. Commands are counted from 0."""

    command_index: int


class ShellOutputDelta(ShellOutputEvent, tag="response.shell_call_output_content.delta"):
    delta: PrintedText


class ShellOutputDone(ShellOutputEvent, tag="response.shell_call_output_content.done"):
    output: list[CommandOutput]
    """Of this command: one entry, as recorded. How several commands look was never recorded."""


class McpListingInProgress(ItemEvent, tag="response.mcp_list_tools.in_progress"):
    pass


class McpListingCompleted(ItemEvent, tag="response.mcp_list_tools.completed"):
    pass


class McpListingFailed(ItemEvent, tag="response.mcp_list_tools.failed"):
    pass


class McpCallInProgress(ItemEvent, tag="response.mcp_call.in_progress"):
    pass


class McpArgumentsDelta(ItemEvent, tag="response.mcp_call_arguments.delta"):
    obfuscated = True
    delta: str


class McpArgumentsDone(ItemEvent, tag="response.mcp_call_arguments.done"):
    arguments: str


class McpCallCompleted(ItemEvent, tag="response.mcp_call.completed"):
    pass


class McpCallFailed(ItemEvent, tag="response.mcp_call.failed"):
    pass


class Compacting(ItemEvent, tag="response.compaction.compacting"):
    pass


def event_type(kind: type[Event]) -> str:
    """The `type` under which events of a class go over the wire."""
    return kind.__struct_config__.tag  # type: ignore[return-value]
