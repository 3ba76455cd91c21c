"""What messages and tool outputs are made of: parts, and the small things that hang on them.

surface.md section 2. A union lists its members in the order in which the API names them in errors.
"""

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.protocol.wire import Wire, shown

LONGEST = 10_485_760
"""Characters of a text."""
LongText = Annotated[str, Meta(max_length=LONGEST)]
ImageDetail = Literal["low", "high", "auto", "original"]

# Every type of part that the API knows, and those that it allows to each side, as its errors list them.
# `scoped_content` is named there and documented nowhere: we don't take it.
PART_TYPES = (
    "input_text",
    "input_image",
    "input_audio",
    "output_text",
    "refusal",
    "input_file",
    "computer_screenshot",
    "summary_text",
    "encrypted_content",
)
USER_PART_TYPES = ("input_text", "input_image", "input_file", "scoped_content", "input_audio")
ASSISTANT_PART_TYPES = ("output_text", "refusal")


class CacheBreakpoint(Wire):
    """The end of a prefix of the prompt that is worth caching."""

    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class Caller(Wire, tag_field="type"):
    """Who made a tool call."""


class DirectCaller(Caller, tag="direct"):
    """The model itself."""


class ProgramCaller(Caller, tag="program"):
    """A program that the model wrote."""

    caller_id: str
    """The call_id of the program item."""


AnyCaller = DirectCaller | ProgramCaller


# ---- annotations and log probabilities --------------------------------------------------------------


class FileCitation(Wire, tag="file_citation", tag_field="type"):
    file_id: str
    filename: str
    index: int


class UrlCitation(Wire, tag="url_citation", tag_field="type"):
    url: str
    title: str
    start_index: int
    end_index: int


class ContainerFileCitation(Wire, tag="container_file_citation", tag_field="type"):
    container_id: str
    file_id: str
    filename: str
    start_index: int
    end_index: int


class FilePath(Wire, tag="file_path", tag_field="type"):
    file_id: str
    index: int


Annotation = FileCitation | UrlCitation | ContainerFileCitation | FilePath


class TopLogprob(Wire):
    token: str
    bytes: list[int]
    logprob: float


class Logprob(Wire):
    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[TopLogprob]


# ---- parts ------------------------------------------------------------------------------------------


class Part(Wire, tag_field="type"):
    """A part of a message, of a tool output or of a reasoning item."""


class InputText(Part, tag="input_text"):
    text: LongText
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputImage(Part, tag="input_image"):
    detail: ImageDetail | None = shown("auto")
    file_id: str | None = None
    image_url: str | None = None
    """A URL, or the image itself as a data URL."""
    prompt_cache_breakpoint: CacheBreakpoint | None = None

    def __post_init__(self) -> None:
        self.detail = self.detail or "auto"


class InputFile(Part, tag="input_file"):
    """A file: uploaded (`file_id`), somewhere else (`file_url`), or here (`file_data`)."""

    detail: Literal["auto", "low", "high"] | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: Annotated[str, Meta(max_length=33_554_432)] | None = None
    """base64, with or without the head of a data URL."""
    filename: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class AudioData(Wire):
    data: str
    format: Literal["mp3", "wav"]


class InputAudio(Part, tag="input_audio"):
    input_audio: AudioData


class OutputText(Part, tag="output_text", kw_only=True):
    """Text from the model. Clients replay it without annotations or logprobs, or with null for them."""

    annotations: tuple[Annotation, ...] = shown(())
    text: LongText
    logprobs: tuple[Logprob, ...] | None = shown(())

    def __post_init__(self) -> None:
        if self.logprobs is None:
            self.logprobs = ()


class Refusal(Part, tag="refusal"):
    refusal: str


class ReasoningText(Part, tag="reasoning_text"):
    text: str


class SummaryText(Part, tag="summary_text"):
    text: str


class ComputerScreenshot(Part, tag="computer_screenshot"):
    """What a computer_call_output shows."""

    file_id: str | None = None
    image_url: str | None = None
    detail: ImageDetail | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


UserPart = InputText | InputImage | InputFile | InputAudio
AssistantPart = OutputText | Refusal
ToolOutputPart = InputText | InputImage | InputFile

ToolOutput = LongText | tuple[ToolOutputPart, ...]
"""What a tool answered, as function_call_output and custom_tool_call_output carry it."""
