"""Several `response.output_text.delta` in a row, as one object.

A log may have such a run in place of its events: it takes as many sequence numbers, and says the same. Who
reads single events has them made (`single`); who writes them to a wire may take the texts as they are.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec

from antiphon.protocol.events import Event, TextDelta
from antiphon.protocol.wire import encode


class TextPlace:
    """Where a text stands: which part of which item. One for all its runs."""

    def __init__(self, item_id: str, output_index: int, content_index: int) -> None:
        self.item_id = item_id
        self.output_index = output_index
        self.content_index = content_index

    def event(self, sequence_number: int, delta: str) -> TextDelta:
        return TextDelta(
            sequence_number=sequence_number,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            delta=delta,
        )

    @cached_property
    def json(self) -> tuple[bytes, bytes]:
        """The JSON of each of its deltas without logprobs: what stands before the text, and between the text
        and the number. A brace follows."""
        before, _, behind = encode(self.event(0, "")).rpartition(b'""')
        return before + b'"', b'"' + behind.removesuffix(b"0}")


class TextDeltas:
    """The run. `pieces`: its texts, none of them empty, each as the inside of a JSON string."""

    __slots__ = ("pieces", "place", "sequence_number")

    def __init__(self, place: TextPlace, pieces: Sequence[bytes]) -> None:
        self.place = place
        self.pieces = pieces
        self.sequence_number = -1
        """Of the first; given by the machine."""

    @property
    def next_number(self) -> int:
        """The number of the event that follows."""
        return self.sequence_number + len(self.pieces)

    def events(self) -> list[Event]:
        texts = (msgspec.json.decode(b'"%b"' % piece) for piece in self.pieces)
        return [self.place.event(number, text) for number, text in enumerate(texts, self.sequence_number)]


Emitted = Event | TextDeltas
"""What a log has in it."""


def single(emitted: Sequence[Emitted]) -> list[Event]:
    """The events, those of runs too."""
    events: list[Event] = []
    for each in emitted:
        events += each.events() if isinstance(each, TextDeltas) else (each,)
    return events
