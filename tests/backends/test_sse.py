"""Events of a server that writes them oddly cost by their length, however much of it and however cut."""

import time

from antiphon.backends.sse import Events

EVENT = b"data:{}\n"
LINE = b"data: x\n"


def test_events_that_one_line_break_parts_cost_by_their_length() -> None:
    """A read of the socket may bring half as many."""
    count = 2**20 // len(EVENT)

    began = time.process_time()
    found = Events().feed(EVENT * count)

    assert found == [b"{}"] * count
    assert time.process_time() - began < 2


def test_an_event_of_many_lines_costs_by_its_length_however_many_reads_bring_it() -> None:
    events, read = Events(), LINE * 8192

    began = time.process_time()
    for _ in range(400):
        assert events.feed(read) == []
    assert time.process_time() - began < 2

    assert events.feed(b"\n") == [b"\n".join([b"x"] * 400 * 8192)]
