"""Reasoning that stands in the text, between <think> and </think>, set apart as it streams."""

from collections.abc import Sequence

from antiphon.model import ReasoningDelta, TextDelta
from antiphon.protocol.content import Logprob

_OPEN, _CLOSE = "<think>", "</think>"


def partial(text: str, tag: str) -> int:
    """Where a tag that is cut off at the end of the text begins; the text's length when none does."""
    at = text.rfind("<")
    return at if at >= 0 and tag.startswith(text[at:]) else len(text)


class ThinkSplitter:
    """Only a block at the very beginning counts: an answer may well speak about such tags."""

    __slots__ = ("_feed", "_held", "_logprobs", "done")

    def __init__(self) -> None:
        self._held = ""
        self._logprobs: list[Logprob] = []
        # A function of the class: a method of its own would hold the object alive until a collection.
        self._feed = ThinkSplitter._before
        self.done = False
        """From here on everything is text."""

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> list[TextDelta | ReasoningDelta]:
        self._logprobs += logprobs
        held, self._held = self._held + text, ""
        return self._feed(self, held)

    def flush(self, blank: bool = True) -> list[TextDelta | ReasoningDelta]:
        """What was held back; `blank` says whether white space alone counts."""
        held, self._held = self._held, ""
        if not held or not (blank or held.strip()):
            return []
        return [ReasoningDelta(held)] if self._feed is ThinkSplitter._inside else self._text(held)

    def _before(self, text: str) -> list[TextDelta | ReasoningDelta]:
        start = text.lstrip()
        if start.startswith(_OPEN):
            self._feed = ThinkSplitter._opened
            return self._opened(start[len(_OPEN) :])
        if _OPEN.startswith(start):
            self._held = text
            return []
        return self._text(text)

    def _opened(self, text: str) -> list[TextDelta | ReasoningDelta]:
        text = text.lstrip("\n")
        if not text:
            return []
        self._feed = ThinkSplitter._inside
        return self._inside(text)

    def _inside(self, text: str) -> list[TextDelta | ReasoningDelta]:
        reasoning, closed, after = text.partition(_CLOSE)
        if closed:
            self._feed = ThinkSplitter._after
            found: list[TextDelta | ReasoningDelta] = [ReasoningDelta(reasoning)] if reasoning else []
            return found + self._after(after)
        cut = partial(text, _CLOSE)
        self._held = text[cut:]
        return [ReasoningDelta(text[:cut])] if cut else []

    def _after(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """The blank lines between reasoning and answer belong to neither."""
        text = text.lstrip()
        return self._text(text) if text else []

    def _text(self, text: str) -> list[TextDelta | ReasoningDelta]:
        self.done = True
        self._feed = ThinkSplitter._text
        logprobs = _last(self._logprobs, len(text))
        self._logprobs = []
        return [TextDelta(text, logprobs)]


def _last(logprobs: list[Logprob], size: int) -> tuple[Logprob, ...]:
    """The last tokens, as many as make up that much text."""
    start = len(logprobs)
    while start and size > 0:
        start -= 1
        size -= len(logprobs[start].token)
    return tuple(logprobs[start:])
