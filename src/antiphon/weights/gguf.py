"""What a GGUF file says of its model, read from its head (the format is that of ggml)."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from antiphon.weights.choice import Parts, parts_of
from antiphon.weights.errors import WeightsError

_MAGIC: Final = b"GGUF"
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
_KEPT: Final = 4096
"""Elements of an array that are read; longer ones, a vocabulary, are skipped."""
_NAMELESS: Final = ("", "model", "ggml-model")
"""Names of files that say nothing."""
_HALF: Final = 2
"""Bytes of a number of the memory of a context."""


class Gguf(Struct, frozen=True):
    """A model, as its file describes it."""

    path: Path
    size: int
    """Bytes of all its files."""
    name: str
    template: str
    """How a conversation is written for it, in Jinja; empty: it does not say."""
    context: int
    """Tokens that it was trained for; 0: it does not say."""
    token_bytes: int
    """Bytes of memory that each token of its context takes; 0: not known."""


def read(path: Path) -> Gguf:
    """Raises `WeightsError` when the file cannot be read, or is none."""
    try:
        size = sum(path.with_name(name).stat().st_size for name in parts_of(path.name))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            members = dict(_Head(data).members())
    except FileNotFoundError as error:
        raise WeightsError(f"There is no file {error.filename}.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, struct.error, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path} is no GGUF file, or is damaged.") from error
    return _described(path, size, members)


def _described(path: Path, size: int, members: dict[str, Any]) -> Gguf:
    kind = str(members.get("general.architecture", ""))
    return Gguf(
        path=path,
        size=size,
        name=_name(members.get("general.name"), path),
        template=str(members.get("tokenizer.chat_template", "")),
        context=_count(members.get(f"{kind}.context_length")),
        token_bytes=_token_bytes(kind, members),
    )


def _name(said: object, path: Path) -> str:
    """By its file: what files say of themselves is often the name of a training run. As one word, since it is
    written into requests."""
    plain = Parts((path.name,)).plain
    return plain if plain.lower() not in _NAMELESS else "-".join(str(said or "").split()) or path.stem


def _token_bytes(kind: str, members: dict[str, Any]) -> int:
    """Of keys and values in all layers, each a number of half precision."""
    layers = _count(members.get(f"{kind}.block_count"))
    heads = _count(members.get(f"{kind}.attention.head_count"))
    key_value = members.get(f"{kind}.attention.head_count_kv", heads)
    shared = sum(map(_count, key_value)) if isinstance(key_value, list) else layers * _count(key_value)
    each = _count(members.get(f"{kind}.embedding_length")) // heads if heads else 0
    lengths = [_count(members.get(f"{kind}.attention.{which}_length", each)) for which in ("key", "value")]
    return shared * sum(lengths) * _HALF


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


class _Head:
    """Reads values one after the other. Raises ValueError, struct.error or KeyError for what is none."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def members(self) -> Iterator[tuple[str, Any]]:
        if self._data[:4] != _MAGIC:
            raise ValueError("no GGUF")
        self._at = 4
        version, _tensors, count = self._take("IQQ")
        if version not in (2, 3):
            raise ValueError("a version that is not known")
        for _ in range(count):
            yield self._text(), self._value(self._take("I")[0])

    def _take(self, form: str) -> tuple[Any, ...]:
        layout = struct.Struct(f"<{form}")
        values = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return values

    def _text(self) -> str:
        begin, end = self._span()
        return self._data[begin:end].decode("utf-8", "replace")

    def _span(self) -> tuple[int, int]:
        """Where a text begins and ends; it is passed."""
        length = self._take("Q")[0]
        begin = self._at
        if length > len(self._data) - begin:
            raise ValueError("a text beyond the end")
        self._at = begin + length
        return begin, self._at

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        return self._array() if kind == _ARRAY else self._take(_SCALARS[kind])[0]

    def _array(self) -> list[Any]:
        """Its elements; none of one that is too long to be of use."""
        kind, count = self._take("IQ")
        if count > len(self._data) - self._at:
            raise ValueError("an array beyond the end")
        if kind == _STRING:
            for _ in range(count):
                self._span()
            return []
        if count <= _KEPT:
            return list(self._take(f"{count}{_SCALARS[kind]}"))
        self._at += count * struct.calcsize(_SCALARS[kind])
        return []
