"""`function`: a function of the client's. The call completes the response; the client answers it with a
`function_call_output`.

The arguments go to the client as the model writes them. When the function is strict and nobody upstream
holds the model to its schema, they are held back until they are whole, checked, and the model is asked again
for what does not fit. A function whose `strict` was left out is strict where its schema allows it.
"""

from collections.abc import Sequence

from antiphon.model import CallRun, Function, Message
from antiphon.protocol.client_items import FunctionCall, FunctionCallOutput
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import FunctionTool
from antiphon.protocol.wire import JsonObject, encode
from antiphon.stream.items import OpenText
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool, ToolCall, Write
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called, output_parts
from antiphon.tools.names import offered_name
from antiphon.tools.partial import decode
from antiphon.tools.schema import Schema

_NO_PARAMETERS = {"type": "object", "properties": {}}
_SCHEMA = "schema"


class ClientFunction(Tool):
    """A resolved `function` tool."""

    def __init__(self, tool: FunctionTool, context: ToolContext | None = None) -> None:
        self.wire = tool
        self.context = context or ToolContext()
        self._function = _function(tool, self.context)
        self.returns_json = tool.output_schema is not None
        self.schema = _schema(tool, self.context) if tool.is_strict and self.context.checks_strict else None

    def functions(self) -> Sequence[Function]:
        return (self._function,)

    async def compile(self) -> None:
        fault = await self.schema.fault() if self.schema is not None else None
        if fault is not None and self.wire.strict is None:
            self.schema = None  # nobody asked for it
        elif fault is not None:
            raise InvalidRequest(
                f"Invalid schema for function '{self.wire.name}': {fault}",
                param=f"{self.context.place}.parameters",
                code="invalid_function_parameters",
            )

    def call(self, name: str, call_id: str) -> "ClientFunctionCall":
        return ClientFunctionCall(self, name, call_id)


class ClientFunctionCall(ToolCall):
    """A call of it."""

    item: OpenText | None = None

    def __init__(self, tool: ClientFunction, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._tool = tool
        self.held = tool.schema is not None

    async def check(self) -> str | None:
        if self._tool.schema is None:
            return None
        value = decode(self.arguments)
        fault = value if isinstance(value, str) else await self._tool.schema.fault_of(value, self.arguments)
        return fault and f"The call of {self.name} does not fit the function's schema: {fault}"

    def feed_run(self, run: CallRun) -> None:
        if self.item is None:
            self.feed(run.text)
        else:
            self._pieces.append(run.text)
            self.item.run(run.text, run.pieces)

    def begin(self, machine: Machine) -> Write:
        wire = self._tool.wire
        item = FunctionCall(
            id=machine.new_id("function_call"),
            call_id=self.id,
            name=wire.name,
            namespace=self._tool.context.namespace,
            arguments="",
            async_=wire.async_,
            caller=self.caller,
            status="in_progress",
        )
        self.item = machine.open(OpenText, item)
        return self.item.write

    def conclude(self, machine: Machine) -> None:
        if self.item is None:
            return
        if self.caller is None:
            self.item.close()
        else:  # a program's call is in progress until it is answered
            self.item.end()
            self.item.finish(self.item.built())


def call_to_messages(item: FunctionCall) -> Sequence[Message]:
    """A past call, as the assistant made it."""
    return (called(item.call_id, offered_name(item.name, item.namespace), item.arguments),)


def output_to_messages(item: FunctionCallOutput) -> Sequence[Message]:
    """What the client answered."""
    return (answered(item.call_id or "", output_parts(item.output)),)


def _function(tool: FunctionTool, context: ToolContext) -> Function:
    """The tool as the model is offered it: made once, since most tools come again."""
    key = context.namespace, context.about
    known: Function | None = tool.kept.get(key)
    if known is None:
        known = tool.kept[key] = Function(
            name=offered_name(tool.name, context.namespace),
            description=_described(tool, context),
            parameters=tool.parameters or _NO_PARAMETERS,
            strict=tool.is_strict,
        )
    return known


def _described(tool: FunctionTool, context: ToolContext) -> str:
    returns = (
        tool.output_schema and f"Returns JSON that fits this schema: {encode(tool.output_schema).decode()}"
    )
    return "\n\n".join(part for part in (tool.description, returns, context.about) if part)


def _schema(tool: FunctionTool, context: ToolContext) -> Schema:
    schema: JsonObject = tool.parameters or _NO_PARAMETERS
    written: bytes | None = tool.kept.get(_SCHEMA)
    if written is None:
        written = tool.kept[_SCHEMA] = encode(schema)
    return Schema(schema, context.resources.children, context.project, written)
