"""Where a page finds what items have or name: pictures, files, and long data that the store keeps apart."""

import re
from typing import Any
from urllib.parse import quote, urlencode

from antiphon.store.outline import LINK

MEDIA = "/dashboard/media"
_SMALL = 16_384
"""Characters of a picture that may stand in a page."""
_linked = re.compile(rf"(?:data:[^,]*,)?{LINK}([0-9a-f]{{64}})").fullmatch
_picture = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*").fullmatch
_base64 = re.compile(r"[A-Za-z0-9+/]+=*").fullmatch
_KINDS = {"iVBORw0KGgo": "png", "/9j/": "jpeg", "R0lGOD": "gif", "UklGR": "webp"}
"""How base64 of a picture begins."""


def data(value: Any, name: str = "") -> str | None:
    """Of data that the store keeps apart. None: it is none."""
    found = _linked(value) if isinstance(value, str) else None
    if found is None:
        return None
    address = f"{MEDIA}/data/{found[1]}"
    return f"{address}?{urlencode({'name': name})}" if name else address


def picture(value: Any) -> str | None:
    """Of a picture that a page may show; `value` is a data URL, or base64."""
    address = data(value)
    if address is not None or not isinstance(value, str) or len(value) > _SMALL:
        return address
    if _picture(value):
        return value
    kind = next((kind for begin, kind in _KINDS.items() if value.startswith(begin)), None)
    return f"data:image/{kind};base64,{value}" if kind and _base64(value) else None


def file(file_id: Any) -> str | None:
    return f"{MEDIA}/files/{quote(file_id, safe='')}" if _is_name(file_id) else None


def container_file(container_id: Any, file_id: Any) -> str | None:
    if not (_is_name(container_id) and _is_name(file_id)):
        return None
    return f"{MEDIA}/containers/{quote(container_id, safe='')}/{quote(file_id, safe='')}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value not in (".", "..")
