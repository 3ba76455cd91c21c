"""What servers that make pictures are sent."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import msgspec

from antiphon.backends.http import JSON
from antiphon.backends.image_answers import data_url
from antiphon.backends.image_dialects import MASK, ImageDialect
from antiphon.backends.image_facts import facts
from antiphon.model.image import ImageRequest


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


def body(dialect: ImageDialect, request: ImageRequest, options: Mapping[str, Any]) -> tuple[bytes, str]:
    """A body, and its type."""
    if dialect.chats:
        return msgspec.json.encode(_chat(request)), JSON
    members = {"model": request.model, "prompt": request.prompt, **options}
    if not request.pictures:
        return msgspec.json.encode(members), JSON
    return _form(dialect, request, members)


def _form(dialect: ImageDialect, request: ImageRequest, members: Mapping[str, Any]) -> tuple[bytes, str]:
    """`multipart/form-data` (RFC 7578). Its boundary is made by chance, so that no picture has it."""
    boundary = token_hex(16)
    parts = [
        _part(f'name="{name}"', value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for name, value in members.items()
    ]
    several = len(request.pictures) > 1
    field = dialect.picture_field if several else dialect.picture_field.removesuffix("[]")
    parts += [_picture(field, f"image_{number}", data) for number, data in enumerate(request.pictures)]
    if request.mask is not None and MASK in dialect.edits:
        parts.append(_picture("mask", "mask", request.mask))
    border = f"--{boundary}".encode()
    whole = b"".join(border + part for part in parts) + border + b"--\r\n"
    return whole, f"multipart/form-data; boundary={boundary}"


def _part(about: str, text: str) -> bytes:
    return f"\r\nContent-Disposition: form-data; {about}\r\n\r\n{text}\r\n".encode()


def _picture(field: str, name: str, data: bytes) -> bytes:
    kind = facts(data).format or "png"
    about = f'Content-Disposition: form-data; name="{field}"; filename="{name}.{kind}"'
    return f"\r\n{about}\r\nContent-Type: image/{kind}\r\n\r\n".encode() + data + b"\r\n"


def _chat(request: ImageRequest) -> dict[str, Any]:
    """For a model that answers with pictures: what is to be changed stands beside the words."""
    content: list[dict[str, Any]] = [{"type": "text", "text": request.prompt}]
    content += [{"type": "image_url", "image_url": {"url": data_url(data)}} for data in request.pictures]
    messages = [{"role": "user", "content": content if request.pictures else request.prompt}]
    return {"model": request.model, "messages": messages, "modalities": ["image", "text"], "stream": False}
