"""`function`: a function of the client's. The call completes the response; the client answers it with a
`function_call_output`."""

from collections.abc import Sequence

from antiphon.backends.base import Function, Message
from antiphon.protocol.client_items import FunctionCall, FunctionCallOutput
from antiphon.protocol.tools import FunctionTool
from antiphon.stream.items import OpenFunctionCall
from antiphon.stream.machine import Machine
from antiphon.tools.base import Owner
from antiphon.tools.recall import answered, called, output_parts

_NO_PARAMETERS = {"type": "object", "properties": {}}


class FunctionOfClient:
    """A resolved `function` tool."""

    def __init__(self, tool: FunctionTool) -> None:
        self._function = Function(
            name=tool.name,
            description=tool.description or "",
            parameters=tool.parameters or _NO_PARAMETERS,
            strict=bool(tool.strict),
        )

    def functions(self) -> Sequence[Function]:
        return (self._function,)

    def owner(self, name: str) -> Owner:
        return "client"

    def holds(self, name: str) -> bool:
        return False

    def check(self, name: str, arguments: str) -> str | None:
        return None

    def open(self, machine: Machine, name: str, call_id: str) -> OpenFunctionCall:
        item = FunctionCall(
            id=machine.new_id("function_call"),
            call_id=call_id,
            name=name,
            arguments="",
            status="in_progress",
        )
        return machine.open(OpenFunctionCall, item)


def recall_call(item: FunctionCall) -> Sequence[Message]:
    """A past call, as the assistant made it."""
    return (called(item.call_id, item.name, item.arguments),)


def recall_output(item: FunctionCallOutput) -> Sequence[Message]:
    """What the client answered."""
    return (answered(item.call_id or "", output_parts(item.output)),)
