"""JSON that is not as it should be, read one member at a time: an odd one costs itself alone.

It stands behind a strict decoder, and reads what that refuses (docs/internals/upstreams.md section 2). Only
here a text may have half of a surrogate pair: the other half comes with a later one.
"""

import json
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)


def read_leniently(event: bytes, kind: type[T], halves: frozenset[str]) -> T | None:
    """What can be read of an object; None when it is none. Members named in `halves` keep half characters:
    all other text is made readable."""
    try:
        value = json.loads(event.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    return _struct(value, kind, halves) if isinstance(value, dict) else None


def readable(value: Any) -> Any:
    """The same without half characters."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [readable(each) for each in value]
    return {readable(name): readable(each) for name, each in value.items()} if _is_dict(value) else value


def _struct(value: dict[str, Any], kind: type[T], halves: frozenset[str]) -> T:
    found = {}
    for name, hint in _hints(kind).items():
        if value.get(name) is not None:
            read = _value(value[name], hint, halves)
            read = read if name in halves or isinstance(read, Struct) else readable(read)
            if read is not None:
                found[name] = read
    return kind(**found)


@cache
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(value: Any, hint: Any, halves: frozenset[str]) -> Any:
    """The value as one of these types; None when it is none of them."""
    for each in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if each is not NoneType and (read := _as(value, each, halves)) is not None:
            return read
    return None


def _as(value: Any, kind: Any, halves: frozenset[str]) -> Any:
    if kind is Any:
        return value
    if get_origin(kind) is list:
        entries = value if isinstance(value, list) else [value]
        read = [_value(entry, get_args(kind)[0], halves) for entry in entries]
        return [entry for entry in read if entry is not None]
    if kind is int:
        return count(value)
    if kind is str:
        return _name(value)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(value, kind, halves) if _is_dict(value) else None
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, TypeError):
        return None


def count(value: Any) -> int | None:
    """A count, also where it is written as text or with a fraction."""
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number < 2**53 else None


def _name(value: Any) -> str | None:
    """A text; numbers are taken for one where they stand for something."""
    if isinstance(value, int) and value and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
