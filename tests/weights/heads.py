"""Small GGUF files, written as the format says (that of ggml)."""

import struct
from collections.abc import Mapping
from typing import Any


def gguf_file(members: Mapping[str, Any], rest: bytes = b"weights") -> bytes:
    """A file with such a head. Whole numbers are of 32 bits, lists have elements of one kind."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(members))
    return head + b"".join(_text(name) + _typed(value) for name, value in members.items()) + rest


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _kind(value: object) -> int:
    return 8 if isinstance(value, str) else 6 if isinstance(value, float) else 4


def _plain(value: Any) -> bytes:
    if isinstance(value, str):
        return _text(value)
    return struct.pack("<f" if isinstance(value, float) else "<I", value)


def _typed(value: Any) -> bytes:
    if not isinstance(value, list):
        return struct.pack("<I", _kind(value)) + _plain(value)
    kind = _kind(value[0])
    return struct.pack("<IIQ", 9, kind, len(value)) + b"".join(map(_plain, value))


SMALL: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny Of Mine",
    "llama.context_length": 4096,
    "llama.block_count": 4,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.ggml.scores": [0.5] * 5000,
    "tokenizer.chat_template": "{% if tools %}{% endif %}{{ enable_thinking }}",
}
"""The head of a model."""
