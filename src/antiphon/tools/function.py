"""`function`: a function of the client's. The call completes the response; the client answers it with a
`function_call_output`.

The arguments go to the client as the model writes them. When the function is strict and nobody upstream
holds the model to its schema, they are held back until they are whole, checked, and the model is asked again
for what does not fit. `strict: null` promises nothing and is told live.
"""

from collections.abc import Sequence

from antiphon.model import Function, Message
from antiphon.protocol.client_items import FunctionCall, FunctionCallOutput
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import AllowedCallers, FunctionTool
from antiphon.protocol.wire import JsonObject, encode
from antiphon.stream.items import OpenFunctionCall
from antiphon.stream.machine import Machine
from antiphon.tools.base import Executor, ToolContext
from antiphon.tools.messages import answered, called, output_parts
from antiphon.tools.names import offered_name
from antiphon.tools.partial import decode
from antiphon.tools.schema import Schema

_NO_PARAMETERS = {"type": "object", "properties": {}}


class ClientFunction:
    """A resolved `function` tool."""

    def __init__(self, tool: FunctionTool, context: ToolContext | None = None) -> None:
        self._wire = tool
        self._context = context or ToolContext()
        refuse_programs(tool.allowed_callers, self._context)
        self._function = Function(
            name=offered_name(tool.name, self._context.namespace),
            description=_described(tool, self._context),
            parameters=tool.parameters or _NO_PARAMETERS,
            strict=bool(tool.strict),
        )
        self._schema = _schema(tool, self._context) if tool.strict and self._context.checks_strict else None

    def functions(self) -> Sequence[Function]:
        return (self._function,)

    def executor(self, name: str) -> Executor:
        return "client"

    def buffers(self, name: str) -> bool:
        return self._schema is not None

    def check(self, name: str, arguments: str) -> str | None:
        if self._schema is None:
            return None
        value = decode(arguments)
        fault = value if isinstance(value, str) else self._schema.fault(value)
        return fault and f"The call of {name} does not fit the function's schema: {fault}"

    def open(self, machine: Machine, name: str, call_id: str) -> OpenFunctionCall:
        item = FunctionCall(
            id=machine.new_id("function_call"),
            call_id=call_id,
            name=self._wire.name,
            namespace=self._context.namespace,
            arguments="",
            async_=self._wire.async_,
            status="in_progress",
        )
        return machine.open(OpenFunctionCall, item)


def call_to_messages(item: FunctionCall) -> Sequence[Message]:
    """A past call, as the assistant made it."""
    return (called(item.call_id, offered_name(item.name, item.namespace), item.arguments),)


def output_to_messages(item: FunctionCallOutput) -> Sequence[Message]:
    """What the client answered."""
    return (answered(item.call_id or "", output_parts(item.output)),)


def refuse_programs(callers: AllowedCallers | None, context: ToolContext) -> None:
    """Raises InvalidRequest for a tool that the model itself may not call."""
    if callers is not None and "direct" not in callers:
        raise InvalidRequest(
            "Programs that call tools are not supported by this server yet: allowed_callers needs 'direct'.",
            param=f"{context.place}.allowed_callers",
            code="unsupported_value",
        )


def _described(tool: FunctionTool, context: ToolContext) -> str:
    returns = (
        tool.output_schema and f"Returns JSON that fits this schema: {encode(tool.output_schema).decode()}"
    )
    return "\n\n".join(part for part in (tool.description, returns, context.about) if part)


def _schema(tool: FunctionTool, context: ToolContext) -> Schema:
    schema: JsonObject = tool.parameters or _NO_PARAMETERS
    try:
        return Schema(schema)
    except ValueError as fault:
        raise InvalidRequest(
            f"Invalid schema for function '{tool.name}': {str(fault).partition(chr(10))[0]}",
            param=f"{context.place}.parameters",
            code="invalid_function_parameters",
        ) from fault
