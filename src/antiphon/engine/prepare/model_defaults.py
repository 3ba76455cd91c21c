"""What the configuration says of a model, where the request does not say anything."""

from typing import TypeVar

from msgspec.structs import replace

from antiphon.backends.named_models import NamedModel
from antiphon.protocol.request import CreateResponse, Reasoning

T = TypeVar("T")


def with_defaults(request: CreateResponse, model: NamedModel) -> CreateResponse:
    """The request as its model is asked."""
    return replace(
        request,
        temperature=_or(request.temperature, model.temperature),
        top_p=_or(request.top_p, model.top_p),
        max_output_tokens=_or(request.max_output_tokens, model.max_output_tokens),
        reasoning=_with_effort(request.reasoning, model.reasoning_effort),
    )


def _or(asked: T | None, default: T | None) -> T | None:
    return default if asked is None else asked


def _with_effort(asked: Reasoning | None, default: str | None) -> Reasoning | None:
    if default is None or (asked is not None and asked.effort is not None):
        return asked
    return replace(asked or Reasoning(), effort=default)
