"""Frames of a run of deltas, as `sse` would make them of its events, put together from its texts.

All frames of a run are alike but for three columns: the texts, their numbers and their paddings. So what
they consist of is laid out column by column, and joined once.
"""

from collections.abc import Iterable

from antiphon.api.padding import BLOCK, padding_for
from antiphon.protocol.delta_runs import DeltaRun
from antiphon.protocol.events import Event, event_type

_OBFUSCATION = b',"obfuscation":"'
_ROWS = 4
"""Deltas of a run for which it does not pay to lay out columns."""
_FEW = 2 * BLOCK
"""Deltas of a run for which it does not pay to cut each padding once."""
_NUMBERS = [b"%d" % number for number in range(4096)]


class _Heads(dict[type[Event], bytes]):
    """What stands before the data, for each kind of event."""

    def __missing__(self, kind: type[Event]) -> bytes:
        head = self[kind] = f"event: {event_type(kind)}\ndata: ".encode()
        return head


HEADS = _Heads()


def plain(run: DeltaRun) -> bytes:
    before, between = _alike(run)
    if len(run.pieces) == 1:  # nearly always, where a model takes its time
        return b"%b%b%b%d}\n\n" % (before, run.pieces[0], between, run.sequence_number)
    return _rows(run, (before, run.pieces, between, _numbers(run), b"}\n\n"))


def obfuscated(run: DeltaRun) -> bytes:
    before, between = _alike(run)
    if len(run.pieces) == 1:
        return _row(run, before, between, 0)
    if len(run.pieces) <= _ROWS:
        return b"".join([_row(run, before, between, at) for at in range(len(run.pieces))])
    columns = (before, run.pieces, between, _numbers(run), _OBFUSCATION, _paddings(run), b'"}\n\n')
    return _rows(run, columns)


def _alike(run: DeltaRun) -> tuple[bytes, bytes]:
    """What stands in every frame before the text, and between it and the number."""
    before, between = run.place.json
    return HEADS[run.place.kind] + before, between


def _row(run: DeltaRun, before: bytes, between: bytes, at: int) -> bytes:
    """One of them by itself."""
    piece = run.pieces[at]
    columns = (before, piece, between, run.sequence_number + at, padding_for(len(piece)))
    return b'%b%b%b%d,"obfuscation":"%b"}\n\n' % columns


def _rows(run: DeltaRun, columns: tuple[bytes | Iterable[bytes], ...]) -> bytes:
    """What the columns give, row by row. Bytes stand in every row."""
    width, height = len(columns), len(run.pieces)
    laid = [b""] * (width * height)
    for place, column in enumerate(columns):
        laid[place::width] = [column] * height if isinstance(column, bytes) else column
    return b"".join(laid)


def _numbers(run: DeltaRun) -> list[bytes]:
    first, behind = run.sequence_number, run.next_number
    if behind <= len(_NUMBERS):
        return _NUMBERS[first:behind]
    return [b"%d" % number for number in range(first, behind)]


def _paddings(run: DeltaRun) -> list[bytes]:
    """Those of a token's usual length are cut from one block."""
    block, sizes = padding_for(0), list(map(len, run.pieces))
    if len(sizes) <= _FEW or max(sizes) > BLOCK:
        return [block[size:] if size <= BLOCK else padding_for(size) for size in sizes]
    cuts = [block[size:] for size in range(BLOCK + 1)]
    return list(map(cuts.__getitem__, sizes))
