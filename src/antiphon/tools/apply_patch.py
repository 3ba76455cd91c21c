"""`apply_patch`: a change to a file on the client's machine.

The model is offered one function: what is to be done, to which file, and the diff. The item shows the
operation's type and path from its beginning, so it waits until both are known and the diff has begun (the
schema has them in this order); from then on the client reads the diff as it is written.
"""

from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from antiphon.model import Function, Message
from antiphon.protocol import events
from antiphon.protocol.client_items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    CreateFile,
    DeleteFile,
    PatchOperation,
    UpdateFile,
)
from antiphon.protocol.item import Item
from antiphon.protocol.tools import ApplyPatchTool
from antiphon.stream.machine import ItemStatus, Machine, OpenItem
from antiphon.tools.base import Executor, OpenCall, ToolContext
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.function import refuse_programs
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import Piece

NAME = "apply_patch"
_WITH_DIFF: dict[str, type[CreateFile] | type[UpdateFile]] = {
    "create_file": CreateFile,
    "update_file": UpdateFile,
}

_ABOUT = """Creates, changes or deletes one file.
For create_file, the diff is the whole file, each line with '+' in front.
For update_file, the diff is one or more hunks. A hunk begins with a line '@@', or '@@ ' and a line of the \
file that stands somewhere above the change (such as the head of its function), then its lines follow: ' ' \
in front of a line that stays, '-' of one that goes, '+' of one that comes. Show about three lines that stay \
before and after each change, exactly as they are in the file. No line numbers.
For delete_file, leave the diff out.
Example of a diff for update_file:
@@ def greet():
 def greet():
-    print("Hi")
+    print("Hello")
"""

_FUNCTION = Function(
    NAME,
    _ABOUT,
    {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": {"type": "string", "description": "The file, relative to the workspace."},
            "diff": {"type": "string", "description": "The change, as described above."},
        },
        "required": ["type", "path"],
        "additionalProperties": False,
    },
)


class ApplyPatch:
    """A resolved `apply_patch` tool."""

    def __init__(self, tool: ApplyPatchTool, context: ToolContext) -> None:
        refuse_programs(tool.allowed_callers, context)

    def functions(self) -> Sequence[Function]:
        return (_FUNCTION,)

    def executor(self, name: str) -> Executor:
        return "client"

    def buffers(self, name: str) -> bool:
        return False

    def check(self, name: str, arguments: str) -> str | None:
        return None

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        return _PatchCall(machine, call_id)


class OpenPatchCall(OpenItem):
    """A change, being told."""

    def __init__(self, machine: Machine, item: Item, output_index: int) -> None:
        super().__init__(machine, item, output_index)
        self._place: dict[str, Any] = {"item_id": self.item_id, "output_index": output_index}
        self._diff: list[str] = []

    def diff(self, delta: str) -> None:
        """A piece of the diff. There is none when the file is deleted."""
        self.step("response.apply_patch_call_operation_diff.delta")
        self._diff.append(delta)
        self.machine.emit(events.PatchDiffDelta(**self._place, delta=delta))

    def close(self, status: ItemStatus = "completed") -> None:
        item = cast(ApplyPatchCall, self.item)
        operation = item.operation
        if not isinstance(operation, DeleteFile):
            operation = replace(operation, diff="".join(self._diff))
            self.step("response.apply_patch_call_operation_diff.done")
            self.machine.emit(events.PatchDiffDone(**self._place, diff=operation.diff))
        # A change knows no status `incomplete`: one that was cut short stays in progress for good.
        shown = "completed" if status == "completed" else "in_progress"
        self.finish(replace(item, operation=operation, status=shown))


class _PatchCall(WrittenCall):
    item: OpenPatchCall | None = None

    def __init__(self, machine: Machine, call_id: str) -> None:
        super().__init__()
        self._machine = machine
        self._call_id = call_id
        self._read: dict[str, list[str]] = {"type": [], "path": [], "diff": []}
        self._ended: set[str] = set()

    def take(self, piece: Piece) -> None:
        member = str(piece.path[0]) if len(piece.path) == 1 else ""
        if member not in self._read:
            return
        self._read[member].append(piece.text)
        if piece.ended:
            self._ended.add(member)
        if self.item is not None:
            if member == "diff" and piece.text and self._text("type") in _WITH_DIFF:
                self.item.diff(piece.text)
        elif self._ended >= {"type", "path"} and self._read["diff"]:
            self._open()

    def fault(self, arguments: Arguments) -> str | None:
        kind, path, diff = (arguments.get(member) for member in ("type", "path", "diff"))
        if kind != "delete_file" and kind not in _WITH_DIFF:
            return "`type` must be 'create_file', 'update_file' or 'delete_file'."
        if not isinstance(path, str) or not path:
            return "`path` must name the file."
        if kind != "delete_file" and not isinstance(diff, str):
            return f"`diff` must have the change as text for {kind}."
        if any(self._text(member) != (arguments.get(member) or "") for member in self._read):
            return "A member is there more than once."
        return None

    def conclude(self, arguments: Arguments) -> None:
        if self.item is None:
            self._open()
        cast(OpenPatchCall, self.item).close()

    def _text(self, member: str) -> str:
        return "".join(self._read[member])

    def _open(self) -> None:
        """Open the item, and tell what was read of the diff before."""
        kind, path, diff = (self._text(member) for member in ("type", "path", "diff"))
        if kind not in _WITH_DIFF and kind != "delete_file":
            return  # it is refused when it is whole
        operation: PatchOperation = (
            _WITH_DIFF[kind](path=path, diff="") if kind in _WITH_DIFF else DeleteFile(path=path)
        )
        item = ApplyPatchCall(
            id=self._machine.new_id("apply_patch_call"),
            call_id=self._call_id,
            operation=operation,
            status="in_progress",
        )
        self.item = self._machine.open(OpenPatchCall, item)
        if diff and kind in _WITH_DIFF:
            self.item.diff(diff)


def call_to_messages(item: ApplyPatchCall) -> Sequence[Message]:
    return (called(item.call_id, NAME, item.operation),)


def output_to_messages(item: ApplyPatchCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, item.output or item.status or "completed"),)
