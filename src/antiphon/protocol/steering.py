"""What goes over a WebSocket when a response is steered (surface.md section 8)."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.protocol.error_messages import not_json
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.events import SteerEvent
from antiphon.protocol.item import Item
from antiphon.protocol.items import InputItem, InputMessage
from antiphon.protocol.parse import input_items, parse
from antiphon.protocol.request import RawItem
from antiphon.protocol.wire import Wire, shown

_PARTS = ("input_text", "input_image", "input_file")


class SteerFrame(Wire):
    """`response.steer`."""

    type: Literal["response.steer"]
    previous_response_id: str
    """The response to steer."""
    input: str | list[RawItem]


class Steered(Wire):
    """A submission that was not used, as it is given back."""

    previous_response_id: str
    input: msgspec.Raw
    id: str | None = None


SteerCode = Literal[
    "response_not_found",
    "invalid_input",
    "steering_not_supported",
    "too_many_pending_steers",
    "response_already_completed",
    "response_not_active",
    "successor_creation_failed",
]


class SteerError(Wire, kw_only=True):
    type: str = shown("invalid_request_error")
    code: SteerCode
    message: str


class SteerRefused(Exception):
    """A submission that is not taken."""

    def __init__(self, code: SteerCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SteerRef(Wire):
    """A submission that was taken."""

    id: str
    previous_response_id: str
    """The response that it steers."""


class SteerAccepted(SteerEvent, tag="response.steer.accepted"):
    steer: SteerRef


class SteerFailed(SteerEvent, tag="response.steer.failed"):
    error: SteerError
    steer: Steered


class RequiredInput(Wire):
    """An item that the client owes, without what only the client knows."""

    type: str
    call_id: str | None = None
    name: str | None = None
    """Of a function."""
    execution: Literal["client"] | None = None
    """Of a search for tools."""
    approval_request_id: str | None = None


class SteerPending(SteerEvent, tag="response.steer.pending", kw_only=True):
    reason: str = shown("waiting_for_required_input")
    required_input: Sequence[RequiredInput]
    steer: SteerRef


class _Echo(Struct):
    previous_response_id: msgspec.Raw = msgspec.Raw(b"null")
    input: msgspec.Raw = msgspec.Raw(b"null")


class Said(Struct, frozen=True):
    """What a frame says, and to which response."""

    previous_response_id: str
    items: Sequence[Item]


_echo = msgspec.json.Decoder(_Echo)


def echoed(frame: bytes) -> Steered:
    """What is given back of a frame. Raises InvalidRequest for one that is no JSON object."""
    try:
        found = _echo.decode(frame)
        return Steered(_target(found.previous_response_id), found.input)
    except (ValueError, RecursionError):
        raise not_json() from None


def _target(named: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(named, type=str)
    except msgspec.ValidationError:  # raised at its first byte: nothing of what may be huge is built
        return ""


def parse_steer(frame: bytes, *, most_items: int) -> Said:
    """Raises InvalidRequest for anything but messages of the user."""
    found = parse(frame, SteerFrame)
    if not found.input:
        raise InvalidRequest("There is nothing in 'input' to steer by.", param="input")
    items = input_items(found.input, False, most_items)
    return Said(found.previous_response_id, [_of_user(item, at) for at, item in enumerate(items)])


def _of_user(item: InputItem, at: int) -> Item:
    """A message of the user that says no more than it must."""
    if not isinstance(item, InputMessage) or item.role != "user":
        message = "A response is steered by messages of the user alone."
        raise InvalidRequest(message, param=f"input[{at}]")
    if item.id is not None or item.status is not None:
        message = "A message that steers has 'type', 'role' and 'content', and nothing else."
        raise InvalidRequest(message, param=f"input[{at}]")
    if not isinstance(item.content, str):
        for number, part in enumerate(item.content):
            if part.__struct_config__.tag not in _PARTS:
                message = f"A message that steers has parts of these types: {', '.join(_PARTS)}."
                raise InvalidRequest(message, param=f"input[{at}].content[{number}]")
    return item
