"""Several deltas of one kind in a row, as one object: of a text, or of the arguments of a call.

A log may have such a run in place of its events: it takes as many sequence numbers, and says the same. Who
reads single events has them made (`single`); who writes them to a wire may take the texts as they are. Where
runs come from, and who reads them, is described in `backends/splice.py`.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec

from antiphon.protocol.events import ArgumentsDelta, Event, TextDelta
from antiphon.protocol.wire import encode

Kind = type[TextDelta] | type[ArgumentsDelta]


class DeltaPlace:
    """Which deltas these are, and what they belong to: `place` as in their events. One for all runs there."""

    def __init__(self, kind: Kind, **place: str | int) -> None:
        self.kind = kind
        self._place = place

    def event(self, sequence_number: int, delta: str) -> Event:
        return self.kind(sequence_number=sequence_number, delta=delta, **self._place)  # type: ignore[arg-type]

    @cached_property
    def json(self) -> tuple[bytes, bytes]:
        """The JSON of each of the deltas: what stands before the text, and between the text and the number. A
        brace follows."""
        before, _, behind = encode(self.event(0, "")).rpartition(b'""')
        return before + b'"', b'"' + behind.removesuffix(b"0}")


class DeltaRun(msgspec.Struct, eq=False, gc=False):
    """The run. `pieces`: its texts, none of them empty, each as the inside of a JSON string."""

    place: DeltaPlace
    pieces: Sequence[bytes]
    sequence_number: int = -1
    """Of the first; given by the machine."""

    @property
    def next_number(self) -> int:
        """The number of the event that follows."""
        return self.sequence_number + len(self.pieces)

    def lines(self) -> bytes:
        """The JSON of its events, a line each, put together from the texts."""
        before, between = self.place.json
        laid = [between] * (4 * len(self.pieces))
        laid[0::4] = [before] * len(self.pieces)
        laid[1::4] = self.pieces
        laid[3::4] = map(b"%d}\n".__mod__, range(self.sequence_number, self.next_number))
        return b"".join(laid)[:-1]

    def events(self) -> list[Event]:
        texts = (msgspec.json.decode(b'"%b"' % piece) for piece in self.pieces)
        return [self.place.event(number, text) for number, text in enumerate(texts, self.sequence_number)]


Emitted = Event | DeltaRun
"""What a log has in it."""


def single(emitted: Sequence[Emitted]) -> list[Event]:
    """The events, those of runs too."""
    events: list[Event] = []
    for each in emitted:
        events += each.events() if isinstance(each, DeltaRun) else (each,)
    return events
