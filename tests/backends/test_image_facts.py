"""What the bytes of a picture say, and what the page says of its servers."""

import re
import struct
from pathlib import Path

import pytest
from tests.tools.images_server import png

from antiphon.backends.image_dialects import MASK, ROWS, known_by_listing, known_by_name
from antiphon.backends.image_facts import Facts, facts

PAGE = Path(__file__).parents[2] / "docs" / "image-generation.md"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def jpeg(width: int, height: int) -> bytes:
    """With an application's segment before the one that counts."""
    application = b"\xff\xe1" + struct.pack(">H", 10) + b"Exif\0\0\0\0"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + application + frame + b"\xff\xd9"


def webp(form: bytes, data: bytes) -> bytes:
    chunk = form + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int, alpha: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14 | alpha << 28
    return webp(b"VP8L", b"\x2f" + bits.to_bytes(4, "little"))


def extended(width: int, height: int, flags: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", bytes((flags, 0, 0, 0)) + sides)


RGBA = png(4, 2)[:25] + b"\x06" + png(4, 2)[26:]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (png(1536, 864), Facts("png", "1536x864", True)),
        (RGBA, Facts("png", "4x2", None)),
        (gif(300, 2), Facts("gif", "300x2", None)),
        (jpeg(1024, 768), Facts("jpeg", "1024x768", True)),
        (lossy(640, 480), Facts("webp", "640x480", True)),
        (lossless(16000, 9, 0), Facts("webp", "16000x9", True)),
        (lossless(3, 9000, 1), Facts("webp", "3x9000", None)),
        (extended(3840, 2160, 0), Facts("webp", "3840x2160", True)),
        (extended(1, 1, 0x10), Facts("webp", "1x1", None)),
        (b"<svg/>", Facts("svg")),
        (b'<?xml version="1.0"?><svg/>', Facts("svg")),
        (b"<html/>", Facts()),
        (b"", Facts()),
        (b"GIF89a\1", Facts("gif")),
        (b"\xff\xd8\xff", Facts("jpeg")),
        (png()[:20], Facts("png")),
        (b"\xff\xd8\xff\xd9", Facts("jpeg")),
    ],
)
def test_a_picture_says_what_it_is(data: bytes, found: Facts) -> None:
    assert facts(data) == found


@pytest.mark.parametrize(
    ("host", "model", "name"),
    [
        ("api.openai.com", "any", "openai"),
        ("gateway.example", "gpt-image-2", "openai"),
        ("gateway.example", "chatgpt-image-latest", "openai"),
        ("127.0.0.1", "sd-cpp-local", "sd_cpp"),
        ("127.0.0.1", "flux", None),
    ],
)
def test_some_are_known_by_name(host: str, model: str, name: str | None) -> None:
    found = known_by_name(host, model)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("owner", "model", "name"),
    [
        ("vllm", "Qwen/Qwen-Image", "vllm_omni"),
        ("sglang", "flux", "sglang"),
        ("local", "sd-cpp-local", "sd_cpp"),
        ("somebody", "flux", "generic"),
    ],
)
def test_others_by_what_they_say(owner: str, model: str, name: str) -> None:
    assert known_by_listing({owner}, {model}).name == name


@pytest.mark.parametrize("name", ["vllm_omni", "sglang", "sd_cpp", "localai", "generic"])
def test_the_page_says_what_each_takes(name: str) -> None:
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}`"))
    makes, edits = (set(re.findall(r"`(\w+)`", cell)) for cell in line.split("|")[2:4])

    assert makes == ROWS[name].makes
    assert (edits or makes) == ROWS[name].edits - {MASK}
    assert ("mask" in line) is (MASK in ROWS[name].edits)
