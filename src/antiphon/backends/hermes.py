"""Functions for a model that knows none: described, remembered and answered in text, as Hermes has it."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from antiphon.backends.references import moved
from antiphon.backends.syntaxes import TOOL_CALL, TOOL_CALL_END
from antiphon.model import Call, Function, Grammar, JsonSchema, Message, NamedFunction, TextPart, Turn
from antiphon.model.json_text import read_json
from antiphon.protocol.wire import JsonObject

_INTRODUCTION = (
    "You may call functions to help with the user's request. The functions are described, one JSON object a "
    "line, within <tools></tools>:\n<tools>\n{tools}\n</tools>\n"
)
_MAY = (
    "For each function call, write a JSON object with the function's name and its arguments within "
    f'{TOOL_CALL}{TOOL_CALL_END}:\n{TOOL_CALL}\n{{"name": "NAME", "arguments": {{...}}}}\n{TOOL_CALL_END}\n'
    "When no function is needed, answer the user directly."
)
_ONE = "Call at most one function at a time."
_MUST = 'Call one of the functions now: write only a JSON object {"name": "NAME", "arguments": {...}}.'
_MUST_TAGGED = (
    "Call one of the functions now: write only\n"
    f'{TOOL_CALL}\n{{"name": "NAME", "arguments": {{...}}}}\n{TOOL_CALL_END}'
)
_MUST_NAMED = "Call the function {name} now: write only the JSON object with its arguments."
_MUST_WRITE = "Call the function {name} now: write only its input, as plain text without JSON around it."
_MAY_OR_ANSWER = (
    'Write only a JSON object: {"name": "NAME", "arguments": {...}} to call a function, or '
    '{"answer": ...} to answer the user.'
)
REMINDER = "Answer with the call of a function alone, as you were told to write it."
"""For a model that was to call one, and answered in words."""


def described(turn: Turn, functions: Sequence[Function], form: JsonSchema | Grammar | None) -> str:
    """What the model reads about the functions, and of how to call them."""
    tools = "\n".join(_description(function) for function in functions)
    return _INTRODUCTION.replace("{tools}", tools) + _manner(turn, form)


def _manner(turn: Turn, form: JsonSchema | Grammar | None) -> str:
    if isinstance(form, Grammar) and isinstance(turn.choice, NamedFunction):
        return _MUST_WRITE.replace("{name}", turn.choice.name)
    if isinstance(turn.choice, NamedFunction):
        return _MUST_NAMED.replace("{name}", turn.choice.name) if form else _MUST_TAGGED
    if turn.choice == "required":
        return _MUST if form else _MUST_TAGGED
    if form:
        return _MAY_OR_ANSWER
    return _MAY if turn.parallel else f"{_MAY} {_ONE}"


def _description(function: Function) -> str:
    shown = {"name": function.name, "description": function.description, "parameters": function.parameters}
    return _json({"type": "function", "function": shown})


# ---- past turns -------------------------------------------------------------------------------------


def remembered(messages: Iterable[Message]) -> list[Message]:
    """Past calls and their results as text."""
    names: dict[str, str] = {}
    found: list[Message] = []
    for message in messages:
        names |= {call.id: call.name for call in message.calls}
        if message.role == "tool":
            _add_result(found, message, names.get(message.call_id, ""))
        elif message.calls:
            text = "\n".join(filter(None, (message.text, *map(_call, message.calls))))
            found.append(replace(message, parts=(TextPart(text),), calls=()))
        else:
            found.append(message)
    return found


def _call(call: Call) -> str:
    arguments = read_json(call.arguments or "{}", call.arguments)
    return f"{TOOL_CALL}\n{_json({'name': call.name, 'arguments': arguments})}\n{TOOL_CALL_END}"


_RESPONSE = "<tool_response>\n"


def _add_result(found: list[Message], result: Message, name: str) -> None:
    """Results that follow each other are one message of the user."""
    text = _RESPONSE + _json({"name": name, "content": result.text}) + "\n</tool_response>"
    media = tuple(part for part in result.parts if not isinstance(part, TextPart))
    last = found[-1] if found else None
    if last and last.role == "user" and last.text.startswith(_RESPONSE):
        found[-1] = replace(last, parts=(*last.parts, TextPart("\n" + text), *media))
    else:
        found.append(Message("user", (TextPart(text), *media)))


def instructed(messages: list[Message], text: str) -> list[Message]:
    """The messages with more instructions: in the last of the leading ones, which a model heeds best."""
    first = messages[0] if messages else None
    if first is None or first.role not in ("system", "developer"):
        return [Message("system", (TextPart(text),)), *messages]
    return [replace(first, parts=(*first.parts, TextPart("\n\n" + text))), *messages[1:]]


# ---- forms ------------------------------------------------------------------------------------------

_OBJECT: JsonObject = {"type": "object"}


def arguments_form(function: Function) -> JsonSchema:
    """The answer is the arguments of this function."""
    return JsonSchema(function.name, function.parameters or _OBJECT)


def call_form(functions: Sequence[Function], answer: JsonObject | None = None) -> JsonSchema:
    """The answer is a call to one of the functions; or, where there is a schema for it, an answer."""
    root = _Root()
    forms = [
        _exactly({"name": {"const": function.name}, "arguments": root.place(function.parameters or _OBJECT)})
        for function in functions
    ]
    if answer is not None:
        forms.insert(0, _exactly({"answer": root.place(answer)}))
    schema: JsonObject = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return JsonSchema("call", {**schema, "$defs": root.definitions} if root.definitions else schema)


def _exactly(properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class _Root:
    """A schema that other schemas become part of: their references must then lead elsewhere."""

    def __init__(self) -> None:
        self.definitions: JsonObject = {}

    def place(self, schema: JsonObject) -> JsonObject:
        if '"$ref"' not in _json(schema):
            return schema
        name = f"s{len(self.definitions)}"
        self.definitions[name] = moved(schema, f"#/$defs/{name}")
        return {"$ref": f"#/$defs/{name}"}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
