"""`computer` and `computer_use_preview`: actions on a screen that the client has.

The model is offered one function, whose actions are flat objects: any upstream reads such a schema. The
newer tool takes a batch of actions a call and its item has `actions`; the preview takes one, as `action`.
The screenshot with which the client answers comes back to the model as an image. We make no safety checks
of our own, so none is ever pending.
"""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from antiphon.model import Function, Message
from antiphon.protocol.client_items import ComputerAction, ComputerCall, ComputerCallOutput
from antiphon.protocol.tools import ComputerTool, ComputerUsePreviewTool
from antiphon.protocol.wire import JsonObject
from antiphon.stream.machine import Machine, OpenItem
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WholeCall
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called, screenshot

NAME = "computer"

_ABOUT = """Acts on a computer's screen with mouse and keyboard, and returns a screenshot of what it looks \
like afterwards. Coordinates are pixels of the screenshot, from its top left corner. If you have not seen \
the screen yet, take a screenshot first.
Actions: click (button, x, y), double_click (x, y), move (x, y), drag (path), scroll (x, y, scroll_x, \
scroll_y in pixels), type (text), keypress (keys, pressed together), wait (for a moment), screenshot."""

_KINDS: dict[str, type[Any]] = {kind.__struct_config__.tag: kind for kind in get_args(ComputerAction)}
_WHOLE = {"type": ["integer", "null"]}
_ACTION: JsonObject = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": list(_KINDS)},
        "x": _WHOLE,
        "y": _WHOLE,
        "button": {"type": ["string", "null"], "enum": ["left", "right", "wheel", "back", "forward", None]},
        "path": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x", "y"],
            },
            "description": "The points of a drag, in order.",
        },
        "scroll_x": _WHOLE,
        "scroll_y": _WHOLE,
        "text": {"type": ["string", "null"], "description": "The text to type."},
        "keys": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "description": "The keys to press; with a mouse action, those held down meanwhile.",
        },
    },
    "required": ["type"],
}


class Computer(Tool):
    """A resolved `computer` or `computer_use_preview` tool."""

    def __init__(self, tool: ComputerTool | ComputerUsePreviewTool, context: ToolContext) -> None:
        self._preview = isinstance(tool, ComputerUsePreviewTool)
        self._screen = ""
        if isinstance(tool, ComputerUsePreviewTool):
            size = f"{tool.display_width} x {tool.display_height}"
            self._screen = f"\nThe screen has {size} pixels. The environment is: {tool.environment}."

    def functions(self) -> Sequence[Function]:
        most = {"maxItems": 1} if self._preview else {}
        actions = {"type": "array", "items": _ACTION, "minItems": 1, **most, "description": self._batch()}
        schema = {"type": "object", "properties": {"actions": actions}, "required": ["actions"]}
        return (Function(NAME, _ABOUT + self._screen, schema),)

    def call(self, name: str, call_id: str) -> "ComputerUse":
        return ComputerUse(name, call_id, self._preview)

    def _batch(self) -> str:
        return "The action, alone." if self._preview else "The actions, done one after another."


class ComputerUse(WholeCall):
    """A call of it. The preview takes one action."""

    def __init__(self, name: str, call_id: str, preview: bool) -> None:
        super().__init__(name, call_id)
        self._preview = preview

    def fault(self, arguments: Arguments) -> str | None:
        try:
            count = len(_actions(arguments))
        except msgspec.ValidationError as fault:
            return f"The call of {self.name} is not valid: {fault}."
        if self._preview and count != 1:
            return "`actions` must have exactly one action."
        return None if count else "`actions` must have at least one action."

    def conclude(self, machine: Machine) -> None:
        actions = _actions(self.decoded)
        item = ComputerCall(
            id=machine.new_id("computer_call"),
            call_id=self.id,
            action=actions[0] if self._preview else None,
            actions=None if self._preview else actions,
            status="in_progress",
        )
        machine.open(OpenItem, item).close()


def _actions(arguments: Arguments) -> list[ComputerAction]:
    given = arguments.get("actions")
    if not isinstance(given, list):
        raise msgspec.ValidationError("`actions` must be a list of actions")
    return [_action(action) for action in given]


def _action(given: Any) -> ComputerAction:
    """An action without the members that another kind of action has: the schema offers all to each."""
    kind = _KINDS.get(str(given.get("type"))) if isinstance(given, dict) else None
    if kind is None:
        raise msgspec.ValidationError(f"the type of an action must be one of {', '.join(_KINDS)}")
    known = {"type", *(field.encode_name for field in msgspec.structs.fields(kind))}
    members = {name: value for name, value in given.items() if name in known and value is not None}
    action: ComputerAction = msgspec.convert(members, kind, strict=False)
    return action


def call_to_messages(item: ComputerCall) -> Sequence[Message]:
    actions = item.actions if item.actions is not None else [item.action] if item.action else []
    return (called(item.call_id, NAME, {"actions": actions}),)


def output_to_messages(item: ComputerCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, (screenshot(item.output),)),)
