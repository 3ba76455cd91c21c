"""How past calls read: every tool's items come back as a call and its result, which any model that was
trained on functions can read."""

from collections.abc import Sequence
from typing import Any

from antiphon.model import Call, FilePart, ImagePart, Message, Part, TextPart
from antiphon.protocol.content import ComputerScreenshot, InputFile, InputImage, InputText
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.wire import encode


def called(call_id: str, name: str, arguments: Any) -> Message:
    """The assistant calls. `arguments` is JSON text as the model wrote it, or a value to be written so."""
    text = arguments if isinstance(arguments, str) else encode(arguments).decode()
    return Message("assistant", calls=(Call(call_id, name, text),))


def answered(call_id: str, output: str | Sequence[Part]) -> Message:
    """The call's result."""
    parts = (TextPart(output),) if isinstance(output, str) else tuple(output)
    return Message("tool", parts=parts, call_id=call_id)


def output_parts(output: str | Sequence[InputText | InputImage | InputFile]) -> tuple[Part, ...]:
    """What a client sent as a tool's output. Raises InvalidRequest for a part that no model could read."""
    if isinstance(output, str):
        return (TextPart(output),)
    return tuple(_output_part(part) for part in output)


def screenshot(shot: ComputerScreenshot) -> Part:
    """The picture that answers a computer call."""
    if not shot.image_url:
        raise _unreadable("a screenshot without image_url")
    return ImagePart(shot.image_url, shot.detail or "auto")


def _output_part(part: InputText | InputImage | InputFile) -> Part:
    if isinstance(part, InputText):
        return TextPart(part.text)
    if isinstance(part, InputImage) and part.image_url:
        return ImagePart(part.image_url, part.detail or "auto")
    if isinstance(part, InputFile) and part.file_data:
        return FilePart(part.file_data, part.filename or "file")
    raise _unreadable("a file in a tool's output")


def _unreadable(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"This server cannot give {what} to the model.", param="input", code="unsupported_value"
    )
