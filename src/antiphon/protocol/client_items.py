"""Calls that the client answers, and its answers. surface.md section 3."""

from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from antiphon.protocol.content import AnyCaller, ComputerScreenshot, LongText, ToolOutput
from antiphon.protocol.item import ItemStatus, NewId, StatusItem
from antiphon.protocol.tools import ContainerReference, LocalEnvironment
from antiphon.protocol.wire import CallId, Wire, shown, shown_list

# ---- functions and custom tools ---------------------------------------------------------------------


class FunctionCall(StatusItem, tag="function_call", kw_only=True):
    prefix = "fc"
    status: ItemStatus | None = None
    call_id: CallId
    name: str
    namespace: str | None = None
    arguments: str
    """JSON, as the model wrote it."""
    async_: bool | None = msgspec.field(name="async", default=None)
    caller: AnyCaller | None = None
    created_by: str | None = None


class FunctionCallOutput(StatusItem, tag="function_call_output", kw_only=True):
    prefix = "fco"
    status: ItemStatus | None = None
    call_id: CallId | None = None
    name: str | None = None
    namespace: str | None = None
    output: ToolOutput
    caller: AnyCaller | None = None
    created_by: str | None = None


class CustomToolCall(StatusItem, tag="custom_tool_call", kw_only=True):
    prefix = "ctc"
    status: ItemStatus | None = None
    call_id: CallId
    name: str
    namespace: str | None = None
    input: str
    async_: bool | None = msgspec.field(name="async", default=None)
    caller: AnyCaller | None = None
    created_by: str | None = None


class CustomToolCallOutput(StatusItem, tag="custom_tool_call_output", kw_only=True):
    prefix = "ctco"
    status: ItemStatus | None = None
    call_id: CallId
    output: ToolOutput
    caller: AnyCaller | None = None
    created_by: str | None = None


# ---- shells -----------------------------------------------------------------------------------------


class ExecAction(Wire, tag="exec", tag_field="type"):
    command: list[str]
    env: dict[str, str]
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class LocalShellCall(StatusItem, tag="local_shell_call", kw_only=True):
    prefix = "lsh"
    status: ItemStatus | None = None
    call_id: CallId
    action: ExecAction


class LocalShellCallOutput(StatusItem, tag="local_shell_call_output", kw_only=True):
    """In the reference its `id` is the id of the call; clients send the call_id as with other outputs."""

    prefix = "lsho"
    status: ItemStatus | None = None
    call_id: CallId | None = None
    output: LongText


class ShellAction(Wire):
    commands: list[str]
    timeout_ms: int | None = shown(None)
    max_output_length: int | None = shown(None)


class ShellCall(StatusItem, tag="shell_call", kw_only=True):
    prefix = "sh"
    status: ItemStatus | None = None
    call_id: CallId
    action: ShellAction
    environment: LocalEnvironment | ContainerReference | None = shown(None)
    caller: AnyCaller | None = None
    created_by: str | None = None

    def stored(self, new_id: NewId) -> Self:
        """Shown without the skills of the client's machine."""
        item = super().stored(new_id)
        if isinstance(self.environment, LocalEnvironment):
            item.environment = LocalEnvironment()
        return item


class TimeoutOutcome(Wire, tag="timeout", tag_field="type"):
    pass


class ExitOutcome(Wire, tag="exit", tag_field="type"):
    exit_code: int


class CommandOutput(Wire):
    """What one command printed, and how it ended."""

    outcome: TimeoutOutcome | ExitOutcome
    stdout: LongText
    stderr: LongText
    created_by: str | None = None


class ShellCallOutput(StatusItem, tag="shell_call_output", kw_only=True):
    prefix = "sho"
    status: ItemStatus | None = None
    call_id: CallId
    output: list[CommandOutput]
    max_output_length: int | None = shown(None)
    caller: AnyCaller | None = None
    created_by: str | None = None


# ---- patches ----------------------------------------------------------------------------------------


PatchPath = Annotated[str, Meta(min_length=1)]


class CreateFile(Wire, tag="create_file", tag_field="type"):
    path: PatchPath
    diff: LongText


class UpdateFile(Wire, tag="update_file", tag_field="type"):
    path: PatchPath
    diff: LongText


class DeleteFile(Wire, tag="delete_file", tag_field="type"):
    path: PatchPath


PatchOperation = CreateFile | DeleteFile | UpdateFile


class ApplyPatchCall(StatusItem, tag="apply_patch_call", kw_only=True):
    prefix = "apc"
    status: Literal["in_progress", "completed"] | None = None
    call_id: CallId
    operation: PatchOperation
    caller: AnyCaller | None = None
    created_by: str | None = None


class ApplyPatchCallOutput(StatusItem, tag="apply_patch_call_output", kw_only=True):
    prefix = "apco"
    status: Literal["completed", "failed"] | None = None
    call_id: CallId
    output: Annotated[str, Meta(max_length=10_485_760)] | None = None
    caller: AnyCaller | None = None
    created_by: str | None = None


# ---- the computer -----------------------------------------------------------------------------------


class SafetyCheck(Wire):
    id: str
    code: str | None = None
    message: str | None = None


class Action(Wire, tag_field="type"):
    """Something that the model wants done on the screen. `keys` are held down meanwhile."""


class Click(Action, tag="click"):
    button: Literal["left", "right", "wheel", "back", "forward"]
    x: int
    y: int
    keys: list[str] | None = None


class DoubleClick(Action, tag="double_click"):
    x: int
    y: int
    keys: list[str] | None = None


class Point(Wire):
    x: int
    y: int


class Drag(Action, tag="drag"):
    path: list[Point]
    keys: list[str] | None = None


class Keypress(Action, tag="keypress"):
    keys: list[str]


class Move(Action, tag="move"):
    x: int
    y: int
    keys: list[str] | None = None


class TakeScreenshot(Action, tag="screenshot"):
    pass


class Scroll(Action, tag="scroll"):
    x: int
    y: int
    scroll_x: int
    scroll_y: int
    keys: list[str] | None = None


class TypeText(Action, tag="type"):
    text: str


class Wait(Action, tag="wait"):
    pass


ComputerAction = Click | DoubleClick | Drag | Keypress | Move | TakeScreenshot | Scroll | TypeText | Wait


class ComputerCall(StatusItem, tag="computer_call", kw_only=True):
    """One `action` with the preview tool, `actions` in a batch with the newer one."""

    prefix = "cu"
    status: ItemStatus | None = None
    call_id: CallId
    action: ComputerAction | None = None
    actions: list[ComputerAction] | None = None
    pending_safety_checks: list[SafetyCheck] = shown_list()


class ComputerCallOutput(StatusItem, tag="computer_call_output", kw_only=True):
    prefix = "cuo"
    status: Literal["completed", "incomplete", "failed", "in_progress"] | None = None
    call_id: CallId
    output: ComputerScreenshot
    acknowledged_safety_checks: list[SafetyCheck] | None = None
    created_by: str | None = None
