"""What an execution prints and shows, gathered within bounds."""

import base64
import binascii
import re
from typing import Final

from antiphon.sandbox.base import Logs, Picture
from antiphon.sandbox.jupyter import Message, Raised, Shown, Stream

CHARACTERS: Final = 200_000
"""Of one run of text its first and its last characters are kept, half of these each."""
TEXT: Final = 1_000_000
"""Characters of all texts of an execution, each counted within its own bound."""
OUTPUTS: Final = 100
PICTURE_BYTES: Final = 32 << 20
"""Of all pictures of an execution."""

_IMAGES: Final = ("image/png", "image/jpeg")
_COLOURS: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


class Clipped:
    """Text whose middle is left out when it is long."""

    def __init__(self, most: int = CHARACTERS) -> None:
        self._half = most // 2
        self._head = ""
        self._tail = ""
        self._left_out = 0

    def add(self, text: str) -> None:
        room = self._half - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:] if room < len(text) else self._tail
        self._left_out += max(0, len(tail) - self._half)
        self._tail = tail[-self._half :]

    def text(self) -> str:
        if not self._left_out:
            return self._head + self._tail
        return f"{self._head}\n[… {self._left_out:,} characters are left out …]\n{self._tail}"


class Gathered:
    """The outputs of one execution, in their order."""

    def __init__(self) -> None:
        self._outputs: list[Clipped | Picture] = []
        self._open: Clipped | None = None
        """What the next printed text belongs to."""
        self._picture_bytes = 0
        self._characters = 0
        self._dropped = 0
        self.error: str | None = None
        self.is_whole = True
        """Whether all that came was heard."""

    def add(self, message: Message) -> None:
        """Take in what is an output; all else is passed over."""
        kind = message.header.msg_type
        if kind == "stream" and (stream := message.content_as(Stream)):
            self._print(stream.text)
        elif kind in ("display_data", "execute_result") and (shown := message.content_as(Shown)):
            self._show(shown)
        elif kind == "error" and (raised := message.content_as(Raised)):
            self.error = None if _is_clean_exit(raised) else _words(raised)

    def outputs(self) -> list[Logs | Picture]:
        found = [Logs(each.text()) if isinstance(each, Clipped) else each for each in self._outputs]
        if not self.is_whole:
            found.append(Logs("[What came last was too much, and is left out]\n"))
        if self._dropped:
            found.append(Logs(f"[{self._dropped} more outputs are left out]\n"))
        return found

    def _print(self, text: str) -> None:
        if self._open is None:
            self._open = Clipped()
            self._append_text(self._open)
        self._open.add(text)
        self._characters += min(len(text), CHARACTERS)

    def _show(self, shown: Shown) -> None:
        picture = _picture(shown)
        if picture is not None:
            self._append_picture(picture)
        elif text := shown.form("text/plain"):
            value = Clipped()
            value.add(f"{text}\n")
            self._append_text(value)
            self._characters += min(len(text), CHARACTERS)
        else:
            return
        self._open = None

    def _append_text(self, text: Clipped) -> None:
        if self._characters > TEXT:
            self._dropped += 1
        else:
            self._append(text)

    def _append_picture(self, picture: Picture) -> None:
        if self._picture_bytes + len(picture.data) > PICTURE_BYTES:
            self._dropped += 1
        elif self._append(picture):
            self._picture_bytes += len(picture.data)

    def _append(self, output: Clipped | Picture) -> bool:
        if len(self._outputs) >= OUTPUTS:
            self._dropped += 1
            return False
        self._outputs.append(output)
        return True


def _picture(shown: Shown) -> Picture | None:
    for media_type in _IMAGES:
        if encoded := shown.form(media_type):
            try:
                return Picture(media_type, base64.b64decode(encoded))
            except binascii.Error:
                return None
    drawing = shown.form("image/svg+xml")
    return Picture("image/svg+xml", drawing.encode(errors="replace")) if drawing else None


def _is_clean_exit(raised: Raised) -> bool:
    return raised.ename == "SystemExit" and raised.evalue in ("", "0", "None")


def _words(raised: Raised) -> str:
    """The traceback as the terminal of a person would have it, without its colours."""
    clipped = Clipped()
    clipped.add("\n".join(raised.traceback) or f"{raised.ename}: {raised.evalue}")
    return _COLOURS.sub("", clipped.text())
