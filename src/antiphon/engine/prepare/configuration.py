"""`configuration_update` items: other settings from their point of the input on."""

from collections.abc import Iterable

from msgspec.structs import replace

from antiphon.protocol.item import Item
from antiphon.protocol.items import ConfigurationUpdate
from antiphon.protocol.request import CreateResponse, Reasoning, TextOptions


def configured(request: CreateResponse, items: Iterable[Item]) -> CreateResponse:
    """The request, with what the items change of it. The newest change counts."""
    for item in items:
        if isinstance(item, ConfigurationUpdate):
            request = _updated(request, item)
    return request


def _updated(request: CreateResponse, update: ConfigurationUpdate) -> CreateResponse:
    if update.reasoning is not None and update.reasoning.effort is not None:
        reasoning = replace(request.reasoning or Reasoning(), effort=update.reasoning.effort)
        request = replace(request, reasoning=reasoning)
    if update.text is not None:
        text = replace(request.text or TextOptions(), format=update.text.format)
        request = replace(request, text=text)
    return request
