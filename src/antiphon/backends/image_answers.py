"""Answers of servers that make pictures, read leniently, into what `model.image` has."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from antiphon.backends import upstream_errors
from antiphon.backends.image_facts import facts
from antiphon.model.image import CachedTokens, ImageFault, ImageLook, ImageTokens, PartialPicture, Picture
from antiphon.model.json_text import read_json

Json = Mapping[str, Any]

_EFFECTIVE = ("size", "quality", "background", "output_format")
_EXCERPT = 500
_PARTIAL = (".partial_image",)
_COMPLETED = (".completed",)


def decoded(body: bytes) -> Json:
    """The object that an answer is. Raises ImageFault."""
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise ImageFault("The image server's answer is no JSON object.")
    return answer


def refusal(status: int, body: bytes) -> ImageFault:
    """What a status that is no success means, with the body that came with it."""
    answer = read_json(body)
    found = fault_in(answer) if isinstance(answer, dict) else None
    if found is not None and found.code == _BLOCKED:
        return found
    if status in (401, 403):
        return ImageFault(f"The image server refuses the key that it is sent (HTTP {status}).")
    kind = _USER_ERROR if status in (400, 413, 422) else "image_generation_server_error"
    if found is None:
        return ImageFault(f"The image server answered with HTTP {status}.", type=kind)
    found.type = kind if found.type == _UNTYPED else found.type
    return found


_UNTYPED = "error"
_USER_ERROR = "image_generation_user_error"
_BLOCKED = "moderation_blocked"
"""The code of what a policy forbids, as items have it."""


def fault_in(answer: Json) -> ImageFault | None:
    """The error of an answer: OpenAI's `error`, or FastAPI's `detail`; None: it has none."""
    error = answer.get("error") or answer.get("detail") or (answer if "message" in answer else None)
    if not error:
        return None
    told = error if isinstance(error, dict) else {}
    words = told.get("message") or upstream_errors.words_in(msgspec.json.encode({"error": error}))
    found = told.get("moderation_details")
    details = found if isinstance(found, dict) else {}
    code = _text(told, "code")
    is_policy = code in upstream_errors.POLICY
    return ImageFault(
        str(words)[:_EXCERPT] or "The image server failed.",
        type=_USER_ERROR if is_policy else _text(told, "type") or _UNTYPED,
        code=_BLOCKED if is_policy else code,
        param=_text(told, "param"),
        categories=list(map(str, details.get("categories") or ())) if details else None,
        stage=str(details.get("moderation_stage") or "unknown"),
    )


# ---- the images API ---------------------------------------------------------------------------------


def entries(answer: Json) -> Iterator[Json]:
    """The pictures of an answer, each with what it or the answer says of it."""
    data = answer.get("data")
    known = {name: answer[name] for name in _EFFECTIVE if isinstance(answer.get(name), str)}
    for entry in data if isinstance(data, list) else ():
        if isinstance(entry, dict):
            yield {**known, **{name: value for name, value in entry.items() if value is not None}}


def picture(entry: Json, data: str, sent: Json) -> Picture:
    """A picture whose bytes are these, in base64. `sent`: what was asked for. Raises ImageFault."""
    return Picture(
        data=plain(data), look=_look(entry, data, sent), revised_prompt=_text(entry, "revised_prompt")
    )


def partial_picture(event: Json, sent: Json) -> PartialPicture | None:
    """A partial picture of a stream; None: the event is something else. Raises ImageFault."""
    data = event.get("b64_json")
    if not _kind(event).endswith(_PARTIAL) or not isinstance(data, str):
        return None
    index = event.get("partial_image_index")
    place = index if isinstance(index, int) else 0
    return PartialPicture(index=place, data=plain(data), look=_look(event, data, sent))


def is_completed(event: Json) -> bool:
    return _kind(event).endswith(_COMPLETED) and ("b64_json" in event or "url" in event)


def tokens(answer: Json) -> ImageTokens | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    read, made = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    output = _count(usage, "output_tokens")
    image = _count(made, "image_tokens") or output - _count(made, "text_tokens")
    return ImageTokens(
        input_text=_count(read, "text_tokens"),
        input_image=_count(read, "image_tokens"),
        input=_count(usage, "input_tokens"),
        output_text=_count(made, "text_tokens"),
        output_image=image,
        output=output,
        total=_count(usage, "total_tokens"),
        cached=_cached(usage),
    )


def _cached(usage: Json) -> CachedTokens | None:
    if not isinstance(usage.get("cached_tokens"), int):
        return None
    details = _details(usage, "cached_tokens_details")
    kinds = (_count(details, "cached_image_tokens"), _count(details, "cached_text_tokens"))
    return CachedTokens(all=_count(usage, "cached_tokens"), image_and_text=kinds if details else None)


def plain(data: str) -> str:
    """base64 without what some servers put before it, or between."""
    if data[:5].lower() == "data:":
        data = data.partition(",")[2]
    return "".join(data.split())


def _look(entry: Json, data: str, sent: Json) -> ImageLook:
    """What a picture is like: by its bytes, by what the server says, by what was asked for."""
    seen = facts(raw(data))
    if seen.format is None:
        raise ImageFault("What the image server sent is no picture.")
    asked = {name: sent[name] for name in _EFFECTIVE if sent.get(name) not in (None, "auto")}
    told = {name: entry[name] for name in _EFFECTIVE if entry.get(name) not in (None, "auto")}
    opaque = "opaque" if seen.opaque else "auto"
    return ImageLook(
        size=seen.size or told.get("size") or asked.get("size"),
        quality=told.get("quality") or asked.get("quality") or "auto",
        background=told.get("background") or asked.get("background") or opaque,
        output_format=seen.format,
    )


def raw(data: str) -> bytes:
    """Bytes from base64. Raises ImageFault."""
    try:
        return b64decode(plain(data), validate=True)
    except (binascii.Error, ValueError):
        raise ImageFault("What the image server sent is not base64.") from None


# ---- models that answer with pictures ---------------------------------------------------------------


def of_chat(answer: Json) -> Iterator[str]:
    """The pictures in an answer of Chat Completions, as URLs. Raises ImageFault where the model has written
    instead."""
    message = _message(answer)
    content = message.get("content")
    found = [
        url
        for parts in (message.get("images"), content)
        for part in (parts if isinstance(parts, list) else ())
        if (url := _url_of(part))
    ]
    if not found:
        words = content if isinstance(content, str) else ""
        raise ImageFault(
            f"The model answered without a picture: {words[:_EXCERPT]}",
            type=_USER_ERROR,
        )
    yield from found


def tokens_of_chat(answer: Json) -> ImageTokens | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    image = _count(_details(usage, "completion_tokens_details"), "image_tokens")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return ImageTokens(
        input_text=read,
        input=read,
        output_text=max(0, written - image),
        output_image=image,
        output=written,
        total=_count(usage, "total_tokens") or read + written,
    )


def data_url(data: bytes) -> str:
    return f"data:image/{facts(data).format or 'png'};base64,{b64encode(data).decode()}"


def _message(answer: Json) -> Json:
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    message = choice.get("message") if isinstance(choice, dict) else None
    return message if isinstance(message, dict) else {}


def _url_of(part: Any) -> str | None:
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) and url else None


# ---- members ----------------------------------------------------------------------------------------


def _kind(event: Json) -> str:
    return str(event.get("type") or "")


def _text(told: Json, name: str) -> str | None:
    value = told.get(name)
    return str(value) if isinstance(value, str | int) and value != "" else None


def _count(told: Json, name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _details(usage: Json, name: str) -> Json:
    found = usage.get(name)
    return found if isinstance(found, dict) else {}
