"""Reasoning that stands at the beginning of the text, set apart as it streams. The forms are data."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from antiphon.backends.harmony import OPENINGS, ChannelSplitter
from antiphon.model import ReasoningDelta, TextDelta
from antiphon.protocol.content import Logprob

Pieces = list[TextDelta | ReasoningDelta]


class ThinkForm(Struct, frozen=True):
    """What reasoning stands between."""

    opens: str
    closes: str


THINK: Final = ThinkForm("<think>", "</think>")
FORMS: Final = (
    THINK,
    ThinkForm("<thinking>", "</thinking>"),
    ThinkForm("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ThinkForm("◁think▷", "◁/think▷"),  # Kimi
    ThinkForm("<seed:think>", "</seed:think>"),  # Seed-OSS
)
_FIRST: Final = frozenset(("", *(opening[0] for opening in (*OPENINGS, *(form.opens for form in FORMS)))))
"""What any of them begins with, or nothing so far: most answers begin with something else."""
_OPENED: Final = re.compile(r"deepseek[-_]r1|\bqwq\b|qwen3\b.*\bthinking\b|minimax-m2", re.I)
"""Models whose template writes the opening tag into the prompt, always, so that they begin behind it."""
_LONGEST_NAME: Final = 256
"""Characters of a model's name that is looked at, and remembered: clients choose it."""


def opened_by_template(model: str) -> bool:
    """Whether this model's answers are known to begin in the middle of reasoning."""
    return len(model) <= _LONGEST_NAME and _is_opened(model)


@lru_cache
def _is_opened(model: str) -> bool:
    return _OPENED.search(model) is not None


def may_reason(text: str) -> bool:
    """Whether a text may begin with reasoning, as far as its first character says."""
    return text.lstrip()[:1] in _FIRST


def partial(text: str, tag: str) -> int:
    """Where a tag that is cut off at the end of the text begins; the text's length when none does."""
    at = text.rfind(tag[0])
    return at if at >= 0 and tag.startswith(text[at:]) else len(text)


class ThinkSplitter:
    """Only a block at the very beginning counts: an answer may well speak about such tags. `opened`: the
    opening tag was in the prompt."""

    __slots__ = ("_channels", "_feed", "_form", "_held", "_logprobs", "_opened_before", "_unproved", "done")

    def __init__(self, opened: bool = False) -> None:
        self._held = ""
        self._logprobs: list[Logprob] = []
        # A function of the class: a method of its own would hold the object alive until a collection.
        self._feed = ThinkSplitter._before
        self._form = THINK
        self._channels: ChannelSplitter | None = None
        self._opened_before = opened
        self._unproved: list[str] = []
        """What was taken for reasoning because of the model's name alone, until the closing tag comes."""
        self.done = False
        """From here on everything is text."""

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> Pieces:
        self._logprobs += logprobs
        held, self._held = self._held + text, ""
        return self._feed(self, held)

    def flush(self, blank: bool = True) -> Pieces:
        """What was held back; `blank` says whether white space alone counts."""
        held, self._held = self._held, ""
        if self._channels is not None:
            return self._channels.flush()
        if not held or not (blank or held.strip()):
            return []
        if self._unproved:
            self._unproved.append(held)
        return [ReasoningDelta(held)] if self._feed is ThinkSplitter._inside else self._text(held)

    def reasoned(self) -> None:
        """The server sets reasoning apart by itself: what a template opened does not come in the text."""
        self._opened_before = False

    @property
    def unclosed(self) -> str:
        """All that was taken for reasoning on the strength of the model's name, if no closing tag came."""
        return "".join(self._unproved)

    def _before(self, text: str) -> Pieces:
        start = text.lstrip()
        if not may_reason(start):
            return self._opened_unseen(start) if self._opened_before else self._text(text)
        for form in FORMS:
            if start.startswith(form.opens):
                self._form, self._feed = form, ThinkSplitter._opened
                return self._opened(start[len(form.opens) :])
        if start.startswith(OPENINGS):
            self._channels, self._feed = ChannelSplitter(), ThinkSplitter._by_channel
            return self._by_channel(start)
        if any(opening.startswith(start) for opening in (*OPENINGS, *(form.opens for form in FORMS))):
            self._held = text
            return []
        return self._opened_unseen(start) if self._opened_before else self._text(text)

    def _opened_unseen(self, text: str) -> Pieces:
        self._feed = ThinkSplitter._inside
        return self._inside(text)

    def _opened(self, text: str) -> Pieces:
        self._opened_before = False
        text = text.lstrip("\n")
        if not text:
            return []
        self._feed = ThinkSplitter._inside
        return self._inside(text)

    def _inside(self, text: str) -> Pieces:
        reasoning, closed, after = text.partition(self._form.closes)
        if closed:
            self._unproved.clear()
            self._feed = ThinkSplitter._after
            found: Pieces = [ReasoningDelta(reasoning)] if reasoning else []
            return found + self._after(after)
        cut = partial(text, self._form.closes)
        self._held = text[cut:]
        if self._opened_before and cut:
            self._unproved.append(text[:cut])
        return [ReasoningDelta(text[:cut])] if cut else []

    def _after(self, text: str) -> Pieces:
        """The blank lines between reasoning and answer belong to neither."""
        text = text.lstrip()
        return self._text(text) if text else []

    def _by_channel(self, text: str) -> Pieces:
        assert self._channels is not None
        logprobs, self._logprobs = self._logprobs, []
        return self._channels.feed(text, logprobs)

    def _text(self, text: str) -> Pieces:
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
