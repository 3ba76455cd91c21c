"""The request that a response was asked with, as far as the response tells: what differs from what a request
has anyway, and the items that it brought.

Secrets are not kept with a response, so none is here; where one stood stands REDACTED.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.requests import Request

from antiphon.api.services import project, services
from antiphon.dashboard.head import stored
from antiphon.protocol.errors import TooLarge
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening

_SAID_OTHERWISE = frozenset({"model", "input", "moderation", "service_tier", "conversation", "tools"})
"""What the response does not show as it was asked for, or what is written below in a way of its own."""
_MEMBERS = frozenset(CreateResponse.__struct_fields__) - _SAID_OTHERWISE
_TIERS = ("flex", "priority", "scale")
_OWN_IDS = frozenset({"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"})
"""Items that clients send without an id."""


async def asked(request: Request) -> tuple[Any, dict[str, Any]]:
    """The response without its items, and the request. Raises NotFound."""
    response, _ = await stored(request)
    outline = services(request).store.outline
    rows = await outline.own_input(project(request), response["id"])
    return response, request_of(response, [msgspec.json.decode(row) for row in rows])


async def with_data(request: Request, body: Any) -> bytes:
    """A request as JSON, with data in place of its links. Raises TooLarge."""
    held, most = services(request), services(request).config.server.max_body_bytes
    found = await held.store.outline.whole(project(request), msgspec.json.encode(body), most)
    if found is None:
        raise TooLarge(
            f"With its pictures the request has more than {most} bytes (server.max_body_bytes).",
            code="request_too_large",
        )
    return found


def request_of(response: Any, items: Sequence[Any]) -> dict[str, Any]:
    """The body of the request."""
    body = {"model": response["model"], "input": _input(items)}
    if (conversation := response.get("conversation")) is not None:
        body["conversation"] = conversation["id"]
    for name in CreateResponse.__struct_fields__:
        if name in _MEMBERS and _differs(name, response.get(name, UNSET)):
            body[name] = _without_null(response[name])
    if body.get("prompt"):
        body.pop("instructions", None)  # which come with it
    if tools := response.get("tools"):
        body["tools"] = [_without_null(tool) for tool in tools]
    if response.get("service_tier") in _TIERS:
        body["service_tier"] = response["service_tier"]
    return body


def _differs(name: str, value: Any) -> bool:
    if name == "instructions" and not isinstance(value, str):
        return False
    return value is not UNSET and value is not None and value != _usual().get(name)


@cache
def _usual() -> dict[str, Any]:
    """A response of which nothing was asked."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(opening(CreateResponse(model=""), "", 0)))
    return made


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return value


def _input(items: Sequence[Any]) -> Any:
    """A text alone is written as such."""
    if len(items) == 1 and (text := _text(items[0])) is not None:
        return text
    return [_as_sent(item) for item in items]


def _text(item: Any) -> str | None:
    parts = item.get("content")
    if item.get("type") != "message" or item.get("role") != "user" or not isinstance(parts, list):
        return None
    is_text = len(parts) == 1 and parts[0].get("type") == "input_text"
    return parts[0]["text"] if is_text else None


def _as_sent(item: Any) -> Any:
    kind, role = item.get("type"), item.get("role")
    if kind in _OWN_IDS or (kind == "message" and role != "assistant"):
        return {name: value for name, value in item.items() if name not in ("id", "status")}
    return item
