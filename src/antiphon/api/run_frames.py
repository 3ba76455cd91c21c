"""Frames of a run of deltas, as `sse` would make them of its events, put together from its texts
(`backends/splice.py` tells where runs come from).

All frames of a run are alike but for three columns: the texts, their numbers and their paddings. So what
they consist of is laid out column by column, and joined once, with all that leaves together.
"""

from antiphon.api.padding import padding_for
from antiphon.protocol.delta_runs import DeltaRun
from antiphon.protocol.events import Event, event_type

_NUMBERS = [b"%d" % number for number in range(4096)]


class _Heads(dict[type[Event], bytes]):
    """What stands before the data, for each kind of event."""

    def __missing__(self, kind: type[Event]) -> bytes:
        head = self[kind] = f"event: {event_type(kind)}\ndata: ".encode()
        return head


HEADS = _Heads()


class _Ends(dict[int, bytes]):
    """What stands behind the number of a delta, up to the text of the next one, by the size of its own text:
    those of one size in a run are padded alike. `before`: the beginning of the next frame."""

    def __init__(self, before: bytes) -> None:
        self._before = before

    def __missing__(self, size: int) -> bytes:
        end = self[size] = b',"obfuscation":"%b"}\n\n%b' % (padding_for(size), self._before)
        return end


def plain(run: DeltaRun) -> list[bytes]:
    """The frames, in pieces."""
    before, between = run.place.json
    head, count = HEADS[run.place.kind], len(run.pieces)
    if count == 1:  # nearly always, where a model takes its time
        return [b"%b%b%b%b%d}\n\n" % (head, before, run.pieces[0], between, run.sequence_number)]
    before = head + before
    return _laid(run, before, between, [b"}\n\n" + before] * count)


def obfuscated(run: DeltaRun) -> list[bytes]:
    """The same with paddings."""
    before, between = run.place.json
    head = HEADS[run.place.kind]
    if len(run.pieces) == 1:
        piece = run.pieces[0]
        columns = (head, before, piece, between, run.sequence_number, padding_for(len(piece)))
        return [b'%b%b%b%b%d,"obfuscation":"%b"}\n\n' % columns]
    before = head + before
    ends = _Ends(before)
    return _laid(run, before, between, list(map(ends.__getitem__, map(len, run.pieces))))


def _laid(run: DeltaRun, before: bytes, between: bytes, ends: list[bytes]) -> list[bytes]:
    """Row by row: a text, what is between, its number, and its end, in which the next frame begins."""
    laid = [between] * (4 * len(ends))
    laid[0::4] = run.pieces
    laid[2::4] = _numbers(run)
    laid[3::4] = ends
    laid[0] = before + laid[0]
    laid[-1] = laid[-1].removesuffix(before)
    return laid


def _numbers(run: DeltaRun) -> list[bytes]:
    first, behind = run.sequence_number, run.next_number
    if behind <= len(_NUMBERS):
        return _NUMBERS[first:behind]
    return [b"%d" % number for number in range(first, behind)]
