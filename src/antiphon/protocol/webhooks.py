"""Endpoints of webhooks, as they go over the wire (endpoints.md section 7)."""

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from antiphon.protocol.wire import Wire, shown

EventType = Literal["response.completed", "response.failed", "response.cancelled", "response.incomplete"]
EVENTS: Final[tuple[EventType, ...]] = get_args(EventType)
"""What is sent: how a background response ended. The real API has events of batches, agents, evaluations and
more, which nothing here makes."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Events = Annotated[list[EventType], Meta(min_length=1, max_length=len(EVENTS))]


class CreateEndpoint(Wire):
    """The body of POST /webhook_endpoints."""

    event_types: Events
    name: Name
    url: Url


class UpdateEndpoint(Wire):
    """The body of POST /webhook_endpoints/{id}. What is left out stays."""

    event_types: Events | None = None
    name: Name | None = None
    url: Url | None = None


class RotateSecret(Wire):
    """The body of POST /webhook_endpoints/{id}/rotate_secret."""

    keep_old_secret_active_for_24_hours: bool = False


class SampleRequest(Wire):
    """The body of POST /webhook_endpoints/{id}/test."""

    event_type: EventType


class WebhookEndpoint(Wire, kw_only=True):
    """The object. Times are seconds since the epoch."""

    id: str
    object: Literal["webhook_endpoint"] = shown("webhook_endpoint")
    name: str
    url: str
    event_types: list[str]
    created_at: int
    updated_at: int
    signing_secret_hint: str
    signing_secret: str | None = None
    """Only when it is new."""


class SampleResult(Wire, kw_only=True):
    """What POST /webhook_endpoints/{id}/test answers."""

    object: Literal["webhook_endpoint.test"] = shown("webhook_endpoint.test")
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    """Of the answer of the endpoint, whatever it is."""
    success: Literal[True] = shown(True)
