"""Counts that are gathered until somebody looks."""

import sys
from threading import Thread

from prometheus_client import CollectorRegistry, Counter, generate_latest

from antiphon.telemetry.tally import Tally


def test_whoever_looks_sees_all_that_was_counted_by_then() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    counter = Counter("things", "Things", ("kind",), registry=registry)
    tally.add(counter.labels("a"))
    tally.add(counter.labels("a"), 2)
    tally.add(counter.labels("b"))

    assert registry.get_sample_value("things_total", {"kind": "a"}) == 3
    assert b'things_total{kind="b"} 1.0' in generate_latest(registry)

    tally.add(counter.labels("a"))
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 4


def test_nothing_is_counted_twice_or_lost_while_a_thread_looks() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    counter = Counter("things", "Things", registry=registry)

    def look() -> None:
        for _ in range(5000):
            generate_latest(registry)

    looking = Thread(target=look)
    counted, interval = 0, sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns at every step
    try:
        looking.start()
        while looking.is_alive():
            tally.add(counter)
            counted += 1
    finally:
        sys.setswitchinterval(interval)
        looking.join()

    assert registry.get_sample_value("things_total") == counted
