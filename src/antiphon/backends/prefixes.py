"""What the turns of a chain or a conversation have in common, so that a server has it in its cache."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice

from antiphon.model import CallStarted, Delta, Finished, Message, TextDelta, TextPart, Turn

_LOOKED_AT = 4096
"""Characters of a text that tell prefixes apart, beside its length."""
_PARTS = 64
"""So many of them, as no input may hold the event loop."""
_ANSWER = 64
"""Characters of an answer that tell it apart from others to the same words."""


def prefix_of(turn: Turn) -> bytes:
    """The key that the client gives, or else all up to the first message of the user."""
    said = _beginning(turn.messages) if turn.cache_key is None else [turn.cache_key]
    return blake2b("".join([turn.model, *said]).encode(errors="replace"), digest_size=16).digest()


def exchange(prefix: bytes, answer: str) -> bytes:
    """A prefix and how the answer to it begins: of chains that begin alike, one."""
    return blake2b(prefix + answer.encode(errors="replace"), digest_size=16).digest()


def beginning_of(said: Message) -> str:
    """How an answer began that was given before: its text; the id of its first call where it has none."""
    text = "".join(part.text for part in islice(said.parts, _PARTS) if isinstance(part, TextPart))
    return text[:_ANSWER] or next((call.id for call in said.calls), "")


class Heard:
    """How an answer begins that comes just now."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._text = ""
        self._call = ""

    def hears(self, batch: Sequence[Delta]) -> bool:
        """Whether that is enough to know it again."""
        for delta in batch:
            if isinstance(delta, TextDelta):
                self._text += delta.text
            elif isinstance(delta, CallStarted):
                self._call = self._call or delta.id
            if len(self._text) >= _ANSWER or isinstance(delta, Finished):
                return True
        return False

    @property
    def exchange(self) -> bytes:
        return exchange(self._prefix, self._text[:_ANSWER] or self._call)


def _beginning(messages: Iterable[Message]) -> list[str]:
    """All parts up to the first message of the user, with their roles."""
    found: list[str] = []
    for message in messages:
        for part in message.parts[: _PARTS - len(found)]:
            text = part.text if isinstance(part, TextPart) else type(part).__name__
            found.append(f"{message.role} {len(text)} {text[:_LOOKED_AT]}")
        if message.role == "user" or len(found) == _PARTS:
            break
    return found
