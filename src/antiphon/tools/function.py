"""`function`: a function of the client's. The call completes the response; the client answers it with a
`function_call_output`."""

from collections.abc import Sequence

from antiphon.backends.base import Call, Function, Message, Part, TextPart
from antiphon.protocol.client_items import FunctionCall, FunctionCallOutput
from antiphon.protocol.content import InputText
from antiphon.protocol.item import Item
from antiphon.protocol.tools import FunctionTool
from antiphon.stream.items import OpenFunctionCall
from antiphon.stream.machine import Machine
from antiphon.tools.base import Owner

_NO_PARAMETERS = {"type": "object", "properties": {}}


class FunctionOfClient:
    """A resolved `function` tool."""

    owner: Owner = "client"

    def __init__(self, tool: FunctionTool) -> None:
        self._function = Function(
            name=tool.name,
            description=tool.description or "",
            parameters=tool.parameters or _NO_PARAMETERS,
            strict=bool(tool.strict),
        )

    def functions(self) -> Sequence[Function]:
        return (self._function,)

    def open(self, machine: Machine, name: str, call_id: str) -> OpenFunctionCall:
        item = FunctionCall(
            id=machine.new_id("function_call"),
            call_id=call_id,
            name=name,
            arguments="",
            status="in_progress",
        )
        return machine.open(OpenFunctionCall, item)


def recall_call(item: Item) -> Sequence[Message]:
    """A past call, as the assistant made it."""
    assert isinstance(item, FunctionCall)
    call = Call(id=item.call_id, name=item.name, arguments=item.arguments)
    return (Message("assistant", calls=(call,)),)


def recall_output(item: Item) -> Sequence[Message]:
    """What the client answered."""
    assert isinstance(item, FunctionCallOutput)
    return (Message("tool", parts=output_parts(item.output), call_id=item.call_id or ""),)


def output_parts(output: object) -> tuple[Part, ...]:
    """The content of a tool's output: a string, or content parts."""
    if isinstance(output, str):
        return (TextPart(output),)
    assert isinstance(output, list)
    return tuple(TextPart(part.text) for part in output if isinstance(part, InputText))
