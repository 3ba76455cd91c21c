"""How the model may use its tools: the nine forms of `tool_choice`. surface.md section 7."""

from typing import Literal

from antiphon.protocol.wire import Wire


class Choice(Wire, tag_field="type"):
    """A choice that names tools."""


class FunctionChoice(Choice, tag="function"):
    name: str


class CustomChoice(Choice, tag="custom"):
    name: str


class McpChoice(Choice, tag="mcp"):
    server_label: str
    name: str | None = None


class AllowedTool(Wire):
    """Names one of the request's tools."""

    type: str
    name: str | None = None
    server_label: str | None = None


class AllowedTools(Choice, tag="allowed_tools"):
    """Only these tools, without taking the others out of the (cached) prompt."""

    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class HostedChoice(Choice):
    """A tool that its type alone names."""


class ApplyPatchChoice(HostedChoice, tag="apply_patch"):
    pass


class ShellChoice(HostedChoice, tag="shell"):
    pass


class ProgrammaticToolCallingChoice(HostedChoice, tag="programmatic_tool_calling"):
    pass


class FileSearchChoice(HostedChoice, tag="file_search"):
    pass


class WebSearchChoice(HostedChoice, tag="web_search"):
    """Not in the SDK; the real API takes it, and clients send it."""


class WebSearch20250826Choice(HostedChoice, tag="web_search_2025_08_26"):
    pass


class WebSearchPreviewChoice(HostedChoice, tag="web_search_preview"):
    pass


class WebSearchPreview20250311Choice(HostedChoice, tag="web_search_preview_2025_03_11"):
    pass


class ComputerChoice(HostedChoice, tag="computer"):
    pass


class ComputerUseChoice(HostedChoice, tag="computer_use"):
    pass


class ComputerUsePreviewChoice(HostedChoice, tag="computer_use_preview"):
    pass


class ImageGenerationChoice(HostedChoice, tag="image_generation"):
    pass


class CodeInterpreterChoice(HostedChoice, tag="code_interpreter"):
    pass


ToolChoice = (
    Literal["none", "auto", "required"]
    | FunctionChoice
    | CustomChoice
    | McpChoice
    | AllowedTools
    | FileSearchChoice
    | WebSearchChoice
    | WebSearch20250826Choice
    | WebSearchPreviewChoice
    | WebSearchPreview20250311Choice
    | ComputerChoice
    | ComputerUseChoice
    | ComputerUsePreviewChoice
    | ImageGenerationChoice
    | CodeInterpreterChoice
    | ApplyPatchChoice
    | ShellChoice
    | ProgrammaticToolCallingChoice
)
