"""What a parser reads of a stream that may be cut anywhere, with and without runs of text spliced."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.backends.splice import Splicer
from antiphon.backends.sse import Events
from antiphon.model import Delta, single
from antiphon.protocol.errors import ApiError


def read(stream: bytes, cuts: Sequence[int] = (), **options: Any) -> list[Delta]:
    """The deltas of a stream, after all ways to read it have said the same: each chunk decoded, runs cut out,
    runs of one. Raises what ended it."""
    decoded, fault = batches(stream, cuts, ChatStreamParser(**options))
    for least in (1, 2**30):
        spliced, other = batches(stream, cuts, ChatStreamParser(**options, splicer=Splicer(least)))
        assert [list(single(batch)) for batch in spliced] == decoded
        assert (type(other), str(other)) == (type(fault), str(fault))
    if fault is not None:
        raise fault
    return [delta for batch in decoded for delta in batch]


def batches(
    stream: bytes, cuts: Sequence[int], parser: ChatStreamParser
) -> tuple[list[list[Delta]], ApiError | None]:
    """A batch for each piece between two cuts, the last one for the end; and what ended them."""
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    events, found = Events(), list[list[Delta]]()
    for start, end in pairwise(edges):
        found.append(parser.read(events.whole(stream[start:end])))
        if parser.fault is not None:
            return found, parser.fault
    if not parser.ended:
        try:
            found.append(parser.cut(events.rest()))
        except ApiError as fault:
            return found, fault
    return found, None
