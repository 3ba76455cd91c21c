"""From a prompt template and the values of its variables to messages.

A variable stands in a text as `{{name}}`. Its value is a text or a part: a text goes where the name stood, a
part (an image, a file) splits the text there. Values are not looked at for names again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from antiphon.protocol import error_messages
from antiphon.protocol.content import AssistantPart, InputText, OutputText, UserPart
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.items import AssistantMessage, InputMessage

PromptMessage = InputMessage | AssistantMessage
Value = str | UserPart
Values = Mapping[str, Value]

_NAME = re.compile(r"\{\{\s*([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)\s*\}\}")


def names(messages: Iterable[PromptMessage]) -> list[str]:
    """The variables of a template, each once, in the order in which they come."""
    return list(dict.fromkeys(name for text in _texts(messages) for name in _NAME.findall(text)))


def instructed(instructions: str | None, messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """A template's messages, led by its instructions."""
    if not instructions:
        return list(messages)
    return [InputMessage(role="developer", content=instructions), *messages]


def rendered(messages: Sequence[PromptMessage], values: Values) -> list[PromptMessage]:
    """The messages, with values for their variables. Raises InvalidRequest for a variable that is missing,
    that the template has not, or whose value cannot stand where its name does."""
    known = dict.fromkeys(names(messages))
    for name in values:
        if name not in known:
            raise error_messages.unknown(f"prompt.variables.{name}")
    for name in known:
        if name not in values:
            raise error_messages.missing(f"prompt.variables.{name}")
    return [_filled(message, values) for message in messages]


def _texts(messages: Iterable[PromptMessage]) -> Iterator[str]:
    for message in messages:
        if isinstance(message.content, str):
            yield message.content
        elif isinstance(message, AssistantMessage):
            yield from map(_said, message.content)
        else:
            yield from (part.text for part in message.content if isinstance(part, InputText))


def _filled(message: PromptMessage, values: Values) -> PromptMessage:
    if isinstance(message, AssistantMessage):
        return _filled_answer(message, values)
    given = [InputText(text=message.content)] if isinstance(message.content, str) else message.content
    return replace(message, content=tuple(filled for part in given for filled in _parts(part, values)))


def _filled_answer(message: AssistantMessage, values: Values) -> AssistantMessage:
    """As one text: that is the form of an answer that needs no id."""
    texts = [message.content] if isinstance(message.content, str) else map(_said, message.content)
    return replace(message, content="".join(_plain(text, values) for text in texts))


def _said(part: AssistantPart) -> str:
    return part.text if isinstance(part, OutputText) else part.refusal


def _parts(part: UserPart, values: Values) -> Sequence[UserPart]:
    """What a part of a template becomes: several parts when a part stands in its text."""
    if not isinstance(part, InputText):
        return (part,)
    pieces: list[UserPart] = []
    text = ""
    for _, value in _split(part.text, values):
        if isinstance(value, str | InputText):
            text += value if isinstance(value, str) else value.text
        else:
            pieces += [*_text(part, text), value]
            text = ""
    return [*pieces, *_text(part, text)] if pieces else (replace(part, text=text),)


def _text(part: InputText, text: str) -> Sequence[InputText]:
    return (replace(part, text=text),) if text else ()


def _plain(text: str, values: Values) -> str:
    """A text that nothing but text can stand in."""
    found = ""
    for name, value in _split(text, values):
        if not isinstance(value, str | InputText):
            raise InvalidRequest(
                f"Invalid value for 'prompt.variables.{name}': it stands in a message of the assistant, "
                "which can only hold text.",
                param=f"prompt.variables.{name}",
                code="invalid_value",
            )
        found += value if isinstance(value, str) else value.text
    return found


def _split(text: str, values: Values) -> Iterator[tuple[str, Value]]:
    """The text between names, under no name, and the values of names."""
    for index, piece in enumerate(_NAME.split(text)):
        yield (piece, values[piece]) if index % 2 else ("", piece)
