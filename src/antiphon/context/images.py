"""Images that clients send, held against what models read."""

import binascii
import re

from msgspec import Struct

from antiphon.protocol.errors import InvalidRequest
from antiphon.retrieval.kinds import image_type

FORMATS = ("png", "jpeg", "gif", "webp")
_TYPES = tuple(f"image/{name}" for name in FORMATS)
_HEAD = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)


class DataUrl:
    """A data URL in base64. Raises ValueError for text that is none."""

    def __init__(self, url: str) -> None:
        head = _HEAD.match(url)
        if head is None or not head[2].lower().endswith(";base64"):
            raise ValueError("not a data URL in base64")
        self.media_type = head[1].strip().lower()
        self.data = decoded(url[head.end() :])


def decoded(text: str) -> bytes:
    """Bytes from base64, whose lines may be broken. Raises ValueError."""
    return binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{binascii.b2a_base64(data, newline=False).decode()}"


class Given(Struct, frozen=True):
    """An image that a client has sent, of a type that models read."""

    data: bytes
    media_type: str
    param: str
    """Where faults in it are reported."""
    url: str = ""
    """A data URL, if it came as one that can be handed on as it is."""

    def as_url(self) -> str:
        return self.url or data_url(self.data, self.media_type)


def inline(url: str, param: str, limit: int) -> Given:
    """A client's data URL. Raises InvalidRequest."""
    try:
        given = DataUrl(url)
    except ValueError:
        raise InvalidRequest(
            f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type "
            "(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but its data is not valid base64.",
            param=param,
            code="invalid_base64_image",
        ) from None
    if not given.media_type.startswith("image/"):
        raise InvalidRequest(
            f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type "
            "(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got unsupported MIME type "
            f"'{given.media_type[:100]}'.",
            param=param,
            code="unsupported_image_media_type",
        )
    media_type = checked(given.data, param, limit)
    kept = url if url.startswith(f"data:{media_type};base64,") else ""
    return Given(given.data, media_type, param, kept)


def checked(data: bytes, param: str, limit: int) -> str:
    """The media type of an image. Raises InvalidRequest for what is none that models read."""
    if not data:
        raise InvalidRequest("The image is empty.", param=param, code="empty_image_file")
    if len(data) > limit:
        raise InvalidRequest(f"The image is larger than {limit} bytes.", param=param, code="image_too_large")
    kind = image_type(data)
    if kind not in _TYPES:
        raise InvalidRequest(
            "You uploaded an unsupported image. Please make sure your image has one of the following "
            f"formats: {list(FORMATS)}.",
            param=param,
            code="invalid_image_format",
        )
    return kind
