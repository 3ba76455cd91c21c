"""Outputs that a client gives to a response while it is made, over a WebSocket (the SDK's beta types)."""

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
from msgspec import Struct

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.events import SteerEvent
from antiphon.protocol.item import Item
from antiphon.protocol.parse import input_items, parse
from antiphon.protocol.request import RawItem
from antiphon.protocol.wire import Wire


class InjectFrame(Wire):
    """`response.inject`."""

    type: Literal["response.inject"]
    response_id: str
    input: list[RawItem]


class InjectError(Wire):
    code: Literal["response_already_completed", "response_not_found"]
    message: str


class InjectCreated(SteerEvent, tag="response.inject.created"):
    response_id: str


class InjectFailed(SteerEvent, tag="response.inject.failed", kw_only=True):
    error: InjectError
    input: Sequence[msgspec.Raw]
    response_id: str


class Injected(Struct, frozen=True):
    """What a frame brings, and for which response."""

    response_id: str
    items: Sequence[Item]
    raw: Sequence[msgspec.Raw]


def parse_inject(frame: bytes, *, most_items: int) -> Injected:
    """Raises InvalidRequest."""
    found = parse(frame, InjectFrame)
    items = input_items(found.input, False, most_items)
    for at, item in enumerate(items):
        if getattr(item, "call_id", None) is None:
            raise InvalidRequest("Outputs of calls alone are injected.", param=f"input[{at}]")
    return Injected(found.response_id, cast(Sequence[Item], items), found.input)
