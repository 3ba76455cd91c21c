"""What a request says of the pictures that `image_generation` makes: checked, and under the names that the
images API has for it (surface.md section 8, and OpenAI's reference of 2026-09)."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import ImageGenerationTool

MOST_PICTURES = 10
"""Of one call."""

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_STEP = 16
_RATIO = 3
_LONGEST = 3840
_LARGEST = 3840 * 2160
_SENT = (
    "background",
    "complexity",
    "frame_count",
    "frame_duration_ms",
    "input_fidelity",
    "moderation",
    "n",
    "output_compression",
    "output_format",
    "partial_images",
    "quality",
    "size",
)
_DEFAULTS: Mapping[str, Any] = {
    "n": 1,
    "partial_images": 0,
    "output_compression": 100,
    "output_format": "png",
}
"""What need not be sent. Of the rest it is `auto`."""


def options(tool: ImageGenerationTool, place: str) -> dict[str, Any]:
    """What is to be sent. `place`: where the entry stands, for faults. Raises InvalidRequest."""
    _check_size(tool.size, f"{place}.size")
    if tool.n is not None and tool.n > MOST_PICTURES:
        raise InvalidRequest(
            f"Invalid '{place}.n': integer above maximum value. Expected a value <= {MOST_PICTURES}, but got "
            f"{tool.n} instead.",
            param=f"{place}.n",
            code="integer_above_max_value",
        )
    _check_mask(tool, place)
    given = {name: getattr(tool, name) for name in _SENT}
    found = {name: value for name, value in given.items() if value not in (None, "auto", _DEFAULTS.get(name))}
    if tool.svg is not None:
        found["svg"] = msgspec.to_builtins(tool.svg)
    return found


def _check_size(size: str | None, param: str) -> None:
    if size is None or size == "auto":
        return
    sides = _SIZE.fullmatch(size)
    width, height = map(int, sides.groups()) if sides else (0, 1)
    if (
        width % _STEP
        or height % _STEP
        or not width <= height * _RATIO <= width * _RATIO * _RATIO
        or max(width, height) > _LONGEST
        or width * height > _LARGEST
    ):
        raise InvalidRequest(
            f"Invalid value: '{size[:50]}'. Expected 'auto', or WIDTHxHEIGHT such as '1024x1024', where both "
            f"are multiples of {_STEP}, neither is more than {_RATIO} times the other, and a picture has at "
            f"most {_LONGEST}x{_LARGEST // _LONGEST} pixels.",
            param=param,
            code="invalid_value",
        )


def _check_mask(tool: ImageGenerationTool, place: str) -> None:
    mask, param = tool.input_image_mask, f"{place}.input_image_mask"
    if mask is None:
        return
    if not (mask.file_id or mask.image_url):
        raise InvalidRequest(
            f"Invalid '{param}'. A mask has an image_url or a file_id.",
            param=param,
            code="invalid_value",
        )
    if tool.output_format == "gif":
        raise InvalidRequest(
            f"Invalid '{param}'. Pictures of the format 'gif' are made without a mask.",
            param=param,
            code="invalid_value",
        )
