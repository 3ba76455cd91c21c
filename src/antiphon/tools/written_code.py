"""The one text that a call is about, read while the model writes its arguments.

Asked for `{"code": "..."}`, small models write the code itself, or give the member another name. What is
written as a text from its first character on is that text.
"""

from collections.abc import Iterator
from typing import Any

from antiphon.tools.partial import Path, StringReader, decode

_DOCSTRING = '"""'


class WrittenText:
    """Reads the arguments of one call. `member`: where the text belongs."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._begin: str | None = ""
        """What was written before it is known how; None: it is known."""
        self._reader: StringReader | None = None
        """Reads JSON; None: the text is written as it is."""
        self._place: Path = ()
        self._whole: list[str] = []
        self._read: list[str] = []

    @property
    def text(self) -> str:
        """What was given of it so far."""
        return "".join(self._read)

    def feed(self, delta: str) -> Iterator[str]:
        """The pieces of the text in the next piece of the arguments."""
        self._whole.append(delta)
        for piece in self._pieces(delta):
            self._read.append(piece)
            yield piece

    def end(self) -> str:
        """What is known of the text now that the arguments are whole, and was not given."""
        rest = self._begin or ""
        if not self._read and not rest:
            rest = _other(decode("".join(self._whole)), self._member)
        self._read.append(rest)
        return rest

    @property
    def fault(self) -> str | None:
        """What is wrong with the whole arguments, in words for the model; None: nothing."""
        if not self.text.strip():
            return f'The call has no {self._member}. It takes {{"{self._member}": "..."}}.'
        if self._reader is None:
            return None
        whole = "".join(self._whole)
        value = decode(whole if self._place else f'{{"{self._member}": {whole}}}')
        return value if isinstance(value, str) else None

    def _pieces(self, delta: str) -> Iterator[str]:
        if self._begin is not None:
            delta = (self._begin + delta).lstrip()
            self._begin = delta if _is_open(delta) else None
            if self._begin is not None:
                return
            self._look_at(delta)
        if self._reader is None:
            yield delta
            return
        for piece in self._reader.feed(delta):
            if piece.path == self._place and piece.text:
                yield piece.text

    def _look_at(self, begin: str) -> None:
        """How it is written shows in how it begins."""
        if begin.startswith("{"):
            self._reader, self._place = StringReader(), (self._member,)
        elif begin.startswith('"') and not begin.startswith(_DOCSTRING):
            self._reader = StringReader()


def _is_open(begin: str) -> bool:
    """Whether it is not known yet how a text is written that begins so: a JSON string, or Python's."""
    return not begin or (_DOCSTRING.startswith(begin) and begin != _DOCSTRING)


def unfenced(text: str) -> str:
    """A text without the fence of Markdown that some models put around it."""
    lines = text.strip().splitlines()
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else text


def _other(arguments: dict[str, Any] | str, member: str) -> str:
    """The text where it has another form, or is the only one under another name."""
    if isinstance(arguments, str):
        return ""
    value = arguments.get(member)
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    texts = [each for each in arguments.values() if isinstance(each, str) and each.strip()]
    return texts[0] if len(texts) == 1 else ""
