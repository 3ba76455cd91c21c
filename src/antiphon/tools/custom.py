"""`custom`: a tool that takes free text instead of JSON.

A model that knows functions alone is offered one with a single text, `input`. The client reads it as the
model writes it. When the tool has a grammar, the call is held back until it is whole and in the grammar's
language: nothing else reaches the client, and the model is asked again.
"""

from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from antiphon.model import Function, Grammar, Message
from antiphon.protocol import events
from antiphon.protocol.client_items import CustomToolCall, CustomToolCallOutput
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item
from antiphon.protocol.tools import CustomTool, GrammarInput
from antiphon.stream.machine import ItemStatus, Machine, OpenItem
from antiphon.tools import grammar
from antiphon.tools.base import Executor, OpenCall, ToolContext
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.function import refuse_programs
from antiphon.tools.messages import answered, called, output_parts
from antiphon.tools.names import offered_name
from antiphon.tools.partial import Piece, decode


class ClientCustomTool:
    """A resolved `custom` tool."""

    def __init__(self, tool: CustomTool, context: ToolContext) -> None:
        refuse_programs(tool.allowed_callers, context)
        self._wire = tool
        self._context = context
        self._grammar = tool.format if isinstance(tool.format, GrammarInput) else None
        if self._grammar is not None:
            _check_grammar(tool.name, self._grammar, context)

    def functions(self) -> Sequence[Function]:
        about = [part for part in (self._wire.description, self._context.about) if part]
        if self._grammar is not None:
            about.append(_told(self._grammar))
        name = offered_name(self._wire.name, self._context.namespace)
        return (Function(name, "\n\n".join(about), _PARAMETERS, grammar=_held_to(self._grammar)),)

    def executor(self, name: str) -> Executor:
        return "client"

    def buffers(self, name: str) -> bool:
        return self._grammar is not None

    def check(self, name: str, arguments: str) -> str | None:
        value = decode(arguments)
        fault = value if isinstance(value, str) else _fault(value)
        if fault is None and self._grammar is not None:
            text = cast(Arguments, value)["input"]
            fault = grammar.fault_of_text(self._grammar.syntax, self._grammar.definition, text)
        return fault and f"The input of {name} is not valid. {fault}"

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        item = CustomToolCall(
            id=machine.new_id("custom_tool_call"),
            call_id=call_id,
            name=self._wire.name,
            namespace=self._context.namespace,
            input="",
            async_=self._wire.async_,
            status="in_progress",
        )
        return _CustomCall(machine, item)


class OpenCustomCall(OpenItem):
    """A call of a custom tool, being told."""

    def __init__(self, machine: Machine, item: Item, output_index: int) -> None:
        super().__init__(machine, item, output_index)
        self._place: dict[str, Any] = {"item_id": self.item_id, "output_index": output_index}
        self._input: list[str] = []

    def input(self, delta: str) -> None:
        """A piece of the input."""
        self.step("response.custom_tool_call_input.delta")
        self._input.append(delta)
        self.machine.emit(events.CustomInputDelta(**self._place, delta=delta))

    def close(self, status: ItemStatus = "completed") -> None:
        text = "".join(self._input)
        self.step("response.custom_tool_call_input.done")
        self.machine.emit(events.CustomInputDone(**self._place, input=text))
        self.finish(replace(cast(CustomToolCall, self.item), input=text, status=status))


class _CustomCall(WrittenCall):
    item: OpenCustomCall | None = None

    def __init__(self, machine: Machine, call: CustomToolCall) -> None:
        super().__init__()
        self._machine = machine
        self._call = call
        self._told: list[str] = []

    def take(self, piece: Piece) -> None:
        if piece.path == ("input",) and piece.text:
            self._told.append(piece.text)
            self._opened().input(piece.text)

    def fault(self, arguments: Arguments) -> str | None:
        fault = _fault(arguments)
        if fault is None and arguments["input"] != "".join(self._told):
            return "`input` is there more than once."
        return fault

    def conclude(self, arguments: Arguments) -> None:
        self._opened().close()

    def _opened(self) -> OpenCustomCall:
        if self.item is None:
            self.item = self._machine.open(OpenCustomCall, self._call)
        return self.item


def call_to_messages(item: CustomToolCall) -> Sequence[Message]:
    return (called(item.call_id, offered_name(item.name, item.namespace), {"input": item.input}),)


def output_to_messages(item: CustomToolCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, output_parts(item.output)),)


_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


def _fault(arguments: Arguments) -> str | None:
    if not isinstance(arguments.get("input"), str):
        return 'The arguments must be {"input": "..."}, with all of the input as one text.'
    return None


def _held_to(form: GrammarInput | None) -> Grammar | None:
    return Grammar(form.syntax, form.definition) if form else None


def _told(form: GrammarInput) -> str:
    if form.syntax == "regex":
        return f"The whole input must match this regular expression: {form.definition}"
    return f"The whole input must match this grammar (lark):\n{form.definition.strip()}"


def _check_grammar(name: str, form: GrammarInput, context: ToolContext) -> None:
    fault = grammar.fault_of_grammar(form.syntax, form.definition)
    if fault is not None:
        raise InvalidRequest(
            f"Invalid {form.syntax} grammar of the tool '{name}': {fault}",
            param=f"{context.place}.format.definition",
            code="invalid_value",
        )
