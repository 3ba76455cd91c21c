"""Messages of the Jupyter protocol (5.4), as a kernel and its client exchange them.

The other side is not trusted: what is not signed, does not parse or is not what was awaited is no message.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct, field

T = TypeVar("T")

_DELIMITER: Final = b"<IDS|MSG>"
_PARTS: Final = 4
"""Header, parent header, metadata and content, behind delimiter and signature."""


class Header(Struct, frozen=True):
    """What a message is."""

    msg_id: str = ""
    msg_type: str = ""


class Message(Struct, frozen=True):
    """What was received."""

    header: Header
    parent: Header
    content: Raw

    def content_as(self, kind: type[T]) -> T | None:
        """Its content; None when it is something else."""
        return _decoded(self.content, kind)


class Stream(Struct, frozen=True):
    """`stream`: what was printed."""

    text: str


class Shown(Struct, frozen=True):
    """`display_data` and `execute_result`: a value in several forms."""

    data: dict[str, Raw]

    def form(self, media_type: str) -> str | None:
        """A form that is text; None: there is none."""
        return _decoded(self.data[media_type], str) if media_type in self.data else None


class Raised(Struct, frozen=True):
    """`error`: an exception."""

    ename: str
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)


class Status(Struct, frozen=True):
    """`status`: what the kernel does."""

    execution_state: str


class Signer:
    """Makes and reads messages that are signed with a key of this connection."""

    def __init__(self) -> None:
        self.key = secrets.token_hex(32)
        self._session = secrets.token_hex(16)

    def request(self, kind: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
        """The id and the frames of a request."""
        header = new_header(kind, self._session)
        parts = [msgspec.json.encode(part) for part in (header, {}, {}, content)]
        return header["msg_id"], [_DELIMITER, self._signature(parts), *parts]

    def read(self, frames: Sequence[bytes]) -> Message | None:
        """None: it is no message for us."""
        try:
            start = frames.index(_DELIMITER) + 1
        except ValueError:
            return None
        parts = frames[start + 1 : start + 1 + _PARTS]
        if len(parts) != _PARTS or not hmac.compare_digest(frames[start], self._signature(parts)):
            return None
        header, parent = _decoded(parts[0], Header), _decoded(parts[1], Header)
        if header is None or parent is None:
            return None
        return Message(header, parent, Raw(parts[3]))

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        digest = hmac.new(self.key.encode(), digestmod=hashlib.sha256)
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


def new_header(kind: str, session: str) -> dict[str, str]:
    """Of a new request."""
    return {
        "msg_id": secrets.token_hex(16),
        "msg_type": kind,
        "session": session,
        "username": "antiphon",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.4",
    }


def execute_request(code: str) -> dict[str, Any]:
    """The content of a request to run code."""
    return {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }


def _decoded(raw: bytes | Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
