"""What servers that make pictures are sent."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from antiphon.backends.image_answers import data_url
from antiphon.backends.image_dialects import MASK, ImageDialect
from antiphon.backends.image_facts import facts
from antiphon.model.image import ImageRequest

Body = bytes | aiohttp.FormData

_JSON = {"Content-Type": "application/json"}


def path(dialect: ImageDialect, request: ImageRequest) -> str:
    """Below the base URL."""
    if dialect.chats:
        return "chat/completions"
    return "images/edits" if request.pictures else "images/generations"


def sent_options(dialect: ImageDialect, request: ImageRequest, refused: frozenset[str]) -> dict[str, Any]:
    """The parameters that go along, beside prompt and model."""
    known = (dialect.edits if request.pictures else dialect.makes) - refused
    sent = {name: value for name, value in request.options.items() if name in known}
    if dialect.response_format and not dialect.chats and "response_format" not in refused:
        sent["response_format"] = "b64_json"
    if sent.get("partial_images"):
        sent["stream"] = True
    return sent


def body(
    dialect: ImageDialect, request: ImageRequest, options: Mapping[str, Any]
) -> tuple[Body, dict[str, str]]:
    """A body, with the headers that belong to it."""
    if dialect.chats:
        return msgspec.json.encode(_chat(request)), _JSON
    members = {"model": request.model, "prompt": request.prompt, **options}
    if not request.pictures:
        return msgspec.json.encode(members), _JSON
    return _form(dialect, request, members), {}


def _form(dialect: ImageDialect, request: ImageRequest, members: Mapping[str, Any]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in members.items():
        form.add_field(name, value if isinstance(value, str) else msgspec.json.encode(value).decode())
    several = len(request.pictures) > 1
    field = dialect.picture_field if several else dialect.picture_field.removesuffix("[]")
    for number, data in enumerate(request.pictures):
        _add(form, field, f"image_{number}", data)
    if request.mask is not None and MASK in dialect.edits:
        _add(form, "mask", "mask", request.mask)
    return form


def _add(form: aiohttp.FormData, field: str, name: str, data: bytes) -> None:
    kind = facts(data).format or "png"
    form.add_field(field, data, filename=f"{name}.{kind}", content_type=f"image/{kind}")


def _chat(request: ImageRequest) -> dict[str, Any]:
    """For a model that answers with pictures: what is to be changed stands beside the words."""
    content: list[dict[str, Any]] = [{"type": "text", "text": request.prompt}]
    content += [{"type": "image_url", "image_url": {"url": data_url(data)}} for data in request.pictures]
    messages = [{"role": "user", "content": content if request.pictures else request.prompt}]
    return {"model": request.model, "messages": messages, "modalities": ["image", "text"], "stream": False}
