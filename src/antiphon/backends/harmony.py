"""The channels of Harmony (gpt-oss), where a server leaves them in the text: cookbook.openai.com, "OpenAI
Harmony Response Format".

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>

What is said on the channel `analysis` is reasoning. What has a recipient is a call, and passes as it was
written: `text_calls` reads it.
"""

from collections.abc import Sequence
from typing import Final, Literal

from antiphon.backends.marks import Marks
from antiphon.backends.token_queue import TokenQueue
from antiphon.model import ReasoningDelta, TextDelta
from antiphon.protocol.content import Logprob

OPENINGS: Final = ("<|channel|>", "<|start|>")
_CONTENT: Final = "<|message|>"
_MARKS: Final = ("<|end|>", "<|return|>", "<|call|>", *OPENINGS)
_MARK: Final = Marks(_MARKS)
_LONGEST_HEADER: Final = 256

_Kind = Literal["reasoning", "text", "call"]
Pieces = list[TextDelta | ReasoningDelta]


class ChannelSplitter:
    """Messages with their headers, as reasoning and text. Begins with a header."""

    __slots__ = ("_held", "_in_header", "_is_new", "_kind", "_said", "_tokens")

    def __init__(self) -> None:
        self._held = ""
        self._in_header = True
        self._kind: _Kind = "text"
        self._is_new = False
        """Whether nothing was said of this message yet."""
        self._said: _Kind | None = None
        """What was said last."""
        self._tokens = TokenQueue()

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> Pieces:
        self._tokens.add(logprobs)
        text, self._held = self._held + text, ""
        out: Pieces = []
        while text:
            text = self._header(text, out) if self._in_header else self._content(text, out)
        return out

    def flush(self) -> Pieces:
        """What was held back."""
        held, self._held = self._held, ""
        out: Pieces = []
        self._say(held, "text" if self._in_header else self._kind, out)
        return out

    def _header(self, text: str, out: Pieces) -> str:
        """Takes a header, which begins with its mark."""
        end = text.find(_CONTENT)
        if end > _LONGEST_HEADER or (end < 0 and len(text) >= _LONGEST_HEADER + len(_CONTENT)):
            return self._no_header(text, out)
        if end < 0:
            self._held = text
            return ""
        header, after = text[:end], text[end + len(_CONTENT) :]
        self._kind = "call" if "to=" in header else "reasoning" if "analysis" in header else "text"
        self._in_header, self._is_new = False, True
        if self._kind == "call":
            self._say(header + _CONTENT, "call", out)
        else:
            self._tokens.take(end + len(_CONTENT))
        return after

    def _no_header(self, text: str, out: Pieces) -> str:
        self._in_header, self._kind = False, "call"
        self._say(text[:1], "call", out)
        return text[1:]

    def _content(self, text: str, out: Pieces) -> str:
        at, mark = _MARK.find(text)
        self._say(text[:at], self._kind, out)
        if not mark:
            self._held = text[at:]
            return ""
        if mark in OPENINGS:
            self._in_header = True
            return text[at:]
        if self._kind == "call":
            self._say(mark, "call", out)
        else:
            self._tokens.take(len(mark))
        self._kind = "text"
        return text[at + len(mark) :]

    def _say(self, text: str, kind: _Kind, out: Pieces) -> None:
        """Messages of one kind in a row are separate thoughts."""
        if not text:
            return
        tokens = self._tokens.take(len(text))
        if self._is_new and kind == self._said != "call":
            text = "\n\n" + text
        self._is_new, self._said = False, kind
        out.append(ReasoningDelta(text) if kind == "reasoning" else TextDelta(text, tokens))
