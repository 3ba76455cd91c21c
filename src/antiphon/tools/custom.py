"""`custom`: a tool that takes free text instead of JSON.

A model that knows functions alone is offered one with a single text, `input`. The client reads it as the
model writes it. When the tool has a grammar, the call is held back until it is whole and in the grammar's
language: nothing else reaches the client, and the model is asked again.
"""

from collections.abc import Sequence

from antiphon.model import Function, Grammar, Message
from antiphon.protocol.client_items import CustomToolCall, CustomToolCallOutput
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import CustomTool, GrammarInput
from antiphon.stream.items import OpenText
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.context import ToolContext
from antiphon.tools.grammar import Grammar as Language
from antiphon.tools.messages import answered, called, output_parts
from antiphon.tools.names import offered_name
from antiphon.tools.partial import Piece


class ClientCustomTool(Tool):
    """A resolved `custom` tool."""

    def __init__(self, tool: CustomTool, context: ToolContext) -> None:
        self.wire = tool
        self.context = context
        self.grammar = tool.format if isinstance(tool.format, GrammarInput) else None
        self.language = _language(self.grammar, context)

    def functions(self) -> Sequence[Function]:
        about = [part for part in (self.wire.description, self.context.about) if part]
        if self.grammar is not None:
            about.append(_described(self.grammar))
        name = offered_name(self.wire.name, self.context.namespace)
        return (Function(name, "\n\n".join(about), _PARAMETERS, grammar=_held_to(self.grammar)),)

    async def compile(self) -> None:
        fault = await self.language.fault() if self.language is not None else None
        if self.grammar is not None and fault is not None:
            raise InvalidRequest(
                f"Invalid {self.grammar.syntax} grammar of the tool '{self.wire.name}': {fault}",
                param=f"{self.context.place}.format.definition",
                code="invalid_value",
            )

    def call(self, name: str, call_id: str) -> "ClientCustomCall":
        return ClientCustomCall(self, name, call_id)


class ClientCustomCall(WrittenCall):
    """A call of it."""

    item: OpenText | None = None

    def __init__(self, tool: ClientCustomTool, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._tool = tool
        self.held = tool.grammar is not None

    def validate(self) -> str | None:
        fault = super().validate()
        return self._in_words(fault) if self.held else fault

    async def check(self) -> str | None:
        language = self._tool.language
        fault = await language.fault_of(self.text_at("input")) if language is not None else None
        return self._in_words(fault)

    def _in_words(self, fault: str | None) -> str | None:
        return fault and f"The input of {self.name} is not valid. {fault}"

    def take(self, piece: Piece, machine: Machine) -> None:
        if piece.path == ("input",) and piece.text:
            self._opened(machine).write(piece.text)

    def fault(self, arguments: Arguments) -> str | None:
        if not isinstance(arguments.get("input"), str):
            return 'The arguments must be {"input": "..."}, with all of the input as one text.'
        return None if arguments["input"] == self.text_at("input") else "`input` is there more than once."

    def conclude(self, machine: Machine) -> None:
        self._opened(machine).close()

    def _opened(self, machine: Machine) -> OpenText:
        if self.item is None:
            wire = self._tool.wire
            item = CustomToolCall(
                id=machine.new_id("custom_tool_call"),
                call_id=self.id,
                name=wire.name,
                namespace=self._tool.context.namespace,
                input="",
                async_=wire.async_,
                caller=self.caller,
                status="in_progress",
            )
            self.item = machine.open(OpenText, item)
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


def _held_to(form: GrammarInput | None) -> Grammar | None:
    return Grammar(form.syntax, form.definition) if form else None


def _described(form: GrammarInput) -> str:
    if form.syntax == "regex":
        return f"The whole input must match this regular expression: {form.definition}"
    return f"The whole input must match this grammar (lark):\n{form.definition.strip()}"


def _language(form: GrammarInput | None, context: ToolContext) -> Language | None:
    if form is None:
        return None
    return Language(form.syntax, form.definition, context.resources.children, context.project)
