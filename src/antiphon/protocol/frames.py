"""What goes over a WebSocket besides events (surface.md section 8)."""

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.protocol.request import CreateResponse
from antiphon.protocol.wire import Wire, shown


class CreateFrame(CreateResponse):
    """`response.create`: the body of POST /responses, and what only a connection knows. `stream` and
    `background` mean nothing here; Codex sends the former all the same."""

    type: Literal["response.create"] = shown("response.create")
    generate: bool | None = None
    """false: prepare the state and answer nothing. The response's id can be continued."""
    stream_id: Annotated[str, Meta(max_length=256)] | None = None
    """The lane of the connection that this response uses: lanes run side by side."""


def warms_up(request: CreateResponse) -> bool:
    """Whether it only prepares the state, and has nothing answered."""
    return isinstance(request, CreateFrame) and request.generate is False


class Peek(Wire, forbid_unknown_fields=False):
    """What distinguishes frames."""

    type: str | None = None
    stream_id: str | None = None


class ErrorFrame(Wire, tag="error", tag_field="type", kw_only=True):
    """A frame that could not be carried out. The connection stays open."""

    status: int
    error: dict[str, str | None]
    stream_id: str | None = None
