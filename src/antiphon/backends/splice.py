"""Runs of text, or of a call's arguments, cut out of a stream of Chat Completions by comparison alone.

Theory of operation
-------------------
Nearly all chunks of an answer are the same bytes but for one JSON string, `delta.content`: before it stand
the id, the model, the time; behind it nulls and brackets. So the first chunk of text teaches a *form*: the
bytes in front of that string (`head`) and those behind it, up to the end of the blank line (`tail`). A chunk
that has both says the same as the one that taught them, but for its text. So of a read of many chunks only
the lines are found, and no chunk is decoded: what each line has between the two is the text of one delta, as
JSON has it. They are carried as one `TextRun` or `CallRun`, through the machine (as one object that counts
for as many events) up to the frames that a client gets, which are made of these very bytes.

What has to be right, and why it is:

1.  *The form is that of `delta.content`.* The string is found by its name; that it is the one which the
    decoder reads is then tried out: the chunk with another text in its place is decoded, and must say the
    other text and nothing else that is new. And the chunk must be one that says nothing but text.
    The arguments of a call are learnt in the same way, those of each call anew, since its index stands in
    the form. There a run ends with a text that may be the end of the arguments: `Calls` decides what it is
    that comes behind it.
2.  *What was cut out of the form stood in it.* The texts are put together again with `tail` + `head` between
    them, and must be, byte for byte, what was read. Where they are not, another chunk stands between: the
    run ends in front of it.
3.  *What lies between is a JSON string.* All texts of a read are decoded at once, joined by a character (DEL)
    that JSON does not escape. An escape or a character that is cut off, a quotation mark, a line break or a
    byte that is no UTF-8 cannot hide there: the decoder refuses it, since no string goes on behind a DEL as
    if nothing were. A text with a DEL of its own is seen by counting them.
4.  *The texts are written as we would write them.* Those with an escape are encoded anew; the encoder leaves
    every other character as it is.
5.  *Whatever does not fit is decoded as ever*: the reader gets it back as the bytes that it is. So are chunks
    as long as reasoning may stand in the text, it is not certain what the arguments of a call are, or half
    of a character waits; the parser knows when (`ChatStreamParser`).

A server that writes something new into each chunk teaches a form for each: then nothing is learnt any more. A
read of one chunk or a few, as a model sends them that takes its time, is a run too, if it is that and nothing
else (`Splicer.few`); what else there is in it does not pay for being cut out.

Who reads runs
--------------
`TurnWriter` gives them to the machine, which numbers them as a `DeltaRun` (`protocol/delta_runs.py`), and
`api/run_frames.py` makes frames of that; the journal of a background response writes it as lines, one for
each event. Nobody else need know of them: a run is a delta of its kind, with all of the text, and who cares
where it is cut, or keeps what he reads, has single ones made of it (`model.single` and `delta_runs.single`):
calls in the text, text filters, the form of an answer, summaries, moderation, WebSockets, readers that join
later, the self-check.

All of it hangs on the `Splicer` that a parser is given. `text_runs = false` of a backend gives it none: then
each chunk is decoded, and no run ever comes to be. Clients get the same either way
(`tests/api/test_text_runs.py`), whatever comes and however it is cut (`tests/backends/test_splice.py`).
"""

import re
from collections.abc import Callable
from io import BytesIO
from itertools import takewhile
from operator import attrgetter, itemgetter
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from antiphon.backends.chat_chunk import CallPiece, Chunk, Said, decode_strictly
from antiphon.backends.sse import data_of
from antiphon.model import TextRun
from antiphon.protocol.wire import encode

Wanted = int | Literal["text"]
"""The text of the answer, or the arguments of the call with such an index."""

_BLANK = b"\n\n"
_DEL = b"\x7f"
_STRING = re.compile(rb'"(?:content|arguments)":\s?"((?:[^"\\]|\\.){1,1000}+)"')
_BRACE = re.compile(r"\}\s*(?:\x7f|\Z)").search
"""The end of a text that ends as an object does, among texts with a DEL between two."""
_LESSONS = 3
"""Forms that are learnt without being of use, before no more are."""

_text = msgspec.json.Decoder(str).decode


class Run(NamedTuple):
    """Texts in a row, none of which is empty."""

    joined: str
    """Them, with a DEL between two."""
    pieces: list[bytes]
    """Each, as the inside of a JSON string."""
    size: int
    """Bytes that they took."""

    @property
    def text(self) -> str:
        return self.joined.replace("\x7f", "")

    def has_beginning(self, beginning: str) -> bool:
        """Whether one of them begins so."""
        return f"\x7f{beginning}" in f"\x7f{self.joined}"

    def up_to_brace(self) -> int:
        """How many of them there are up to the first that ends as an object does."""
        found = _BRACE(self.joined)
        return len(self.pieces) if found is None else self.joined.count("\x7f", 0, found.start()) + 1


class Splicer:
    """Of one answer. `least`: bytes of a read that pay."""

    __slots__ = ("_form", "_least", "_useless")

    def __init__(self, least: int = 1024) -> None:
        self._least = least
        self._form: _Form | None = None
        self._useless = 0

    def pays(self, size: int) -> bool:
        """Whether it is worth while to look at so many bytes of a read."""
        return size >= self._least

    def take(self, events: bytes, at: int, wanted: Wanted) -> tuple[Run | None, int]:
        """The run that begins at a place of whole events (`Events.whole`), and where it ends. None: where
        that ends which the decoder has to read."""
        form = self._form
        if form is not None and form.wanted == wanted and events.startswith(form.head, at):
            run, end = form.run(events, at)
            if run is not None:
                self._useless = 0
                return run, end
        return self._learn(events, at, wanted)

    def few(self, events: bytes) -> TextRun | None:
        """What a read says that is one chunk, or a few, of text in the form that was learnt; None for any
        other."""
        form = self._form
        if form is None or form.wanted != "text" or len(events) >= self._least:
            return None
        head, tail = form.head, form.tail
        if not (events.startswith(head) and events.endswith(tail)):
            return None
        inside = events[len(head) : -len(tail)]
        said = _together(inside.split(tail + head)) if b"\n" in inside else _alone(inside)
        if said is not None:
            self._useless = 0
        return said

    def learn(self, event: bytes) -> None:
        """The form of a read that was decoded, if it is one chunk of text."""
        if self._useless < _LESSONS and len(event) < self._least and event.count(_BLANK) == 1:
            self._useless += 1
            self._form = _learned(event, "text") or self._form

    def first_text(self, events: bytes, at: int) -> int:
        """Where the first chunk behind a place ends that may say text, or arguments."""
        found = _STRING.search(events, at)
        return len(events) if found is None else _end(events, found.end())

    def _learn(self, events: bytes, at: int, wanted: Wanted) -> tuple[Run | None, int]:
        """As `take`, by the form of the next chunk that may say what is wanted, if that chunk begins here."""
        found = _STRING.search(events, at) if self._useless < _LESSONS else None
        if found is None:
            return None, len(events)
        if (before := events.rfind(_BLANK, at, found.start())) >= 0:
            return None, before + len(_BLANK)
        self._useless += 1
        end = _end(events, found.end())
        self._form = form = _learned(events[at:end], wanted)
        return (None, end) if form is None else form.run(events, at)


def _end(events: bytes, at: int) -> int:
    """Where the event ends that stands at a place."""
    return events.find(_BLANK, at) + len(_BLANK)


class _Form(NamedTuple):
    """What the chunks of an answer have in common, from the line's beginning to the blank line's end."""

    wanted: Wanted
    head: bytes
    tail: bytes

    def run(self, events: bytes, at: int) -> tuple[Run | None, int]:
        """The chunks of this form that follow one another from a place on, and the place behind them; None:
        the first says something that is for the decoder."""
        pieces = self._alike(events, at)
        run = _run(pieces)
        if run is None:
            pieces = list(takewhile(lambda piece: _run([piece]) is not None, pieces))
            run = _run(pieces)
        if run is not None and self.wanted != "text" and (count := run.up_to_brace()) < len(pieces):
            run = _run(pieces[:count])
        if run is None:
            return None, _end(events, at)
        return run, at + run.size + len(run.pieces) * (len(self.head) + len(self.tail))

    @property
    def _after(self) -> bytes:
        """What stands behind the text in its line."""
        return self.tail[: self.tail.index(b"\n") + 1]

    def _alike(self, events: bytes, at: int) -> list[bytes]:
        """The texts from a place on, up to the first chunk that has another form. Of each chunk the one line
        is looked at that has the text; that the rest is there too shows when they are put together again."""
        behind, between = at + len(self.head), self.tail + self.head
        before, after = self.head.rpartition(b"\n")[2], self._after
        stream = BytesIO(events)  # finds line feeds many bytes at a time, which `split` does not
        stream.seek(behind - len(before))
        lines = stream.readlines()[:: between.count(b"\n")]
        while lines and not (lines[-1].startswith(before) and lines[-1].endswith(after)):
            lines.pop()  # nearly always it is the end of the answer that comes behind them
        pieces = list(map(itemgetter(slice(len(before), -len(after))), lines))
        again = between.join(pieces)
        alike = events.startswith(again, behind) and events.startswith(self.tail, behind + len(again))
        return pieces if alike else self._one_by_one(events, at)

    def _one_by_one(self, events: bytes, at: int) -> list[bytes]:
        """The same where other chunks stand between."""
        pieces: list[bytes] = []
        after = self._after
        while events.startswith(self.head, at):
            at += len(self.head)
            end = events.find(b"\n", at) + 1 - len(after)
            if end < at or not events.startswith(self.tail, end):
                break
            pieces.append(events[at:end])
            at = end + len(self.tail)
        return pieces


def _run(pieces: list[bytes]) -> Run | None:
    """The texts as one; None when one of them is no JSON string, or empty, or cannot be told apart."""
    joined = _DEL.join(pieces)
    try:
        text = _text(b'"%b"' % joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if text.count("\x7f") != len(pieces) - 1 or "\x7f\x7f" in f"\x7f{text}\x7f":
        return None
    if b"\\" in joined:
        pieces = encode(text)[1:-1].split(_DEL)
    return Run(text, pieces, len(joined) - len(pieces) + 1)


def _together(pieces: list[bytes]) -> TextRun | None:
    run = _run(pieces)
    return None if run is None else TextRun(run.text, pieces=run.pieces)


def _alone(piece: bytes) -> TextRun | None:
    """The same of one text, which nothing has to be told apart from."""
    try:
        text = _text(b'"%b"' % piece)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not text:
        return None
    return TextRun(text, pieces=(encode(text)[1:-1] if b"\\" in piece else piece,))


def _learned(event: bytes, wanted: Wanted) -> _Form | None:
    """The form of a chunk that says nothing but what is wanted; None for any other."""
    found, chunk = _STRING.search(event), _chunk(event)
    if found is None or chunk is None or chunk.usage or chunk.error or not chunk.choices:
        return None
    choice, *others = chunk.choices
    said = choice.delta
    if said is None or choice.finish_reason or choice.logprobs or choice.index != 0:
        return None
    other = _other_text(said) if wanted == "text" else _other_arguments(said, wanted)
    if other is None:
        return None
    form = _Form(wanted, event[: found.start(1)], event[found.end(1) :])
    expected = replace(chunk, choices=[replace(choice, delta=other), *others])
    tried = form.head + found[1] + b"?" + form.tail
    return form if _chunk(tried) == expected else None


def _chunk(event: bytes) -> Chunk | None:
    """What the strict decoder reads in one event."""
    found = data_of(event)
    return decode_strictly(found[0]) if len(found) == 1 else None


def _other_text(said: Said) -> Said | None:
    """The same with a longer text, if a text is all that there is."""
    if any(_BESIDE_TEXT(said)) or not isinstance(said.content, str):
        return None
    return replace(said, content=f"{said.content}?")


def _other_arguments(said: Said, index: int) -> Said | None:
    """The same with longer arguments, if arguments of that call are all that there is."""
    pieces = said.tool_calls or ()
    if any(_BESIDE_CALLS(said)) or len(pieces) != 1:
        return None
    piece, function = pieces[0], pieces[0].function
    if piece.index != index or any(_BESIDE_ARGUMENTS(piece)) or function is None:
        return None
    if function.name or not isinstance(function.arguments, str):
        return None
    longer = replace(function, arguments=f"{function.arguments}?")
    return replace(said, tool_calls=[replace(piece, function=longer)])


def _besides(
    kind: type[Said] | type[CallPiece], *names: str
) -> Callable[[Said | CallPiece], tuple[Any, ...]]:
    """All members but these."""
    return attrgetter(*(name for name in kind.__struct_fields__ if name not in names))


_BESIDE_TEXT = _besides(Said, "content")
_BESIDE_CALLS = _besides(Said, "tool_calls")
_BESIDE_ARGUMENTS = _besides(CallPiece, "function", "index")
