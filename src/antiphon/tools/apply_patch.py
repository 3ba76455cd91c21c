"""`apply_patch`: a change to a file on the client's machine.

The model is offered one function: what is to be done, to which file, and the diff. The item shows the
operation's type and path from its beginning, so it waits until both are known and the diff has begun (the
schema has them in this order); from then on the client reads the diff as it is written.
"""

from collections.abc import Sequence
from typing import cast

from antiphon.model import Function, Message
from antiphon.protocol.client_items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    CreateFile,
    DeleteFile,
    PatchOperation,
    UpdateFile,
)
from antiphon.protocol.content import LONGEST
from antiphon.protocol.tools import ApplyPatchTool
from antiphon.stream.items import OpenText
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import Piece

NAME = "apply_patch"
_WITH_DIFF: dict[str, type[CreateFile] | type[UpdateFile]] = {
    "create_file": CreateFile,
    "update_file": UpdateFile,
}

_MEMBERS = ("type", "path", "diff")

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


def resolve(tool: ApplyPatchTool, context: ToolContext) -> Tool:
    """The tool: there is nothing to say of it."""
    return ApplyPatch()


class ApplyPatch(Tool):
    """A resolved `apply_patch` tool."""

    def functions(self) -> Sequence[Function]:
        return (_FUNCTION,)

    def call(self, name: str, call_id: str) -> "PatchCall":
        return PatchCall(name, call_id)


class PatchCall(WrittenCall):
    """A call of it."""

    item: OpenText | None = None

    def __init__(self, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._whole: set[str] = set()
        """The members that were read to their end."""

    def take(self, piece: Piece, machine: Machine) -> None:
        member = str(piece.path[0]) if len(piece.path) == 1 else ""
        if piece.ended:
            self._whole.add(member)
        if self.item is not None:
            if member == "diff" and piece.text and self.text_at("type") in _WITH_DIFF:
                self.item.write(piece.text)
        elif self._whole >= {"type", "path"} and ("diff",) in self._texts:
            self._open(machine)

    def fault(self, arguments: Arguments) -> str | None:
        kind, path, diff = (arguments.get(member) for member in _MEMBERS)
        if kind != "delete_file" and kind not in _WITH_DIFF:
            return "`type` must be 'create_file', 'update_file' or 'delete_file'."
        if not isinstance(path, str) or not path:
            return "`path` must name the file."
        if kind != "delete_file" and not isinstance(diff, str):
            return f"`diff` must have the change as text for {kind}."
        if isinstance(diff, str) and len(diff) > LONGEST:
            return f"`diff` is longer than {LONGEST} characters: change less at once."
        if any(self.text_at(member) != (arguments.get(member) or "") for member in _MEMBERS):
            return "A member is there more than once."
        return None

    def conclude(self, machine: Machine) -> None:
        if self.item is None:
            self._open(machine)
        item = cast(OpenText, self.item)
        if self.text_at("type") in _WITH_DIFF:
            item.end()
        item.close()

    def _open(self, machine: Machine) -> None:
        """Add the item, with what was read of the diff before."""
        kind, path, diff = (self.text_at(member) for member in _MEMBERS)
        if not path or (kind not in _WITH_DIFF and kind != "delete_file"):
            return  # it is refused when it is whole
        operation: PatchOperation = (
            _WITH_DIFF[kind](path=path, diff="") if kind in _WITH_DIFF else DeleteFile(path=path)
        )
        item = ApplyPatchCall(
            id=machine.new_id("apply_patch_call"),
            call_id=self.id,
            operation=operation,
            caller=self.caller,
            status="in_progress",
        )
        self.item = machine.open(OpenText, item)
        if diff and kind in _WITH_DIFF:
            self.item.write(diff)


def call_to_messages(item: ApplyPatchCall) -> Sequence[Message]:
    return (called(item.call_id, NAME, item.operation),)


def output_to_messages(item: ApplyPatchCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, item.output or item.status or "completed"),)
