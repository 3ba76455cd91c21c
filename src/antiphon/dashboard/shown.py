"""How templates write times, durations and numbers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

_UNITS = ("B", "kB", "MB", "GB", "TB")


def moment(seconds: float) -> str:
    """Seconds since the epoch, as people read them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes} min {seconds} s"


def number(value: int) -> str:
    return f"{value:,}"


def size(count: int) -> str:
    """So many bytes."""
    power = min((len(str(count)) - 1) // 3, len(_UNITS) - 1)
    return f"{count} B" if power == 0 else f"{count / 1000**power:.1f} {_UNITS[power]}"


def pretty(value: Any) -> str:
    """As indented JSON; a text that is JSON is read first."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return str(value)
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def web_address(value: Any) -> str | None:
    """An address that may be followed: one of the web. None: it is none."""
    try:
        is_web = isinstance(value, str) and urlsplit(value).scheme in ("http", "https")
    except ValueError:
        return None
    return value if is_web else None


def kind(name: str) -> str:
    """A type of the wire, in words."""
    return name.replace("_", " ")


FILTERS: dict[str, Callable[..., Any]] = {
    "moment": moment,
    "duration": duration,
    "number": number,
    "size": size,
    "kind": kind,
    "pretty": pretty,
    "web_address": web_address,
}
