"""Counts that are gathered until somebody looks."""

import sys
from threading import Thread

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from structlog.testing import capture_logs

from antiphon.telemetry.tally import Tally


def test_whoever_looks_sees_all_that_was_counted_by_then() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    counter = Counter("things", "Things", ("kind",), registry=registry)
    of_a, of_b = tally.count(counter.labels("a")), tally.count(counter.labels("b"))
    of_a.inc()
    of_a.inc(2)
    of_b.inc()

    assert registry.get_sample_value("things_total", {"kind": "a"}) == 3
    assert b'things_total{kind="b"} 1.0' in generate_latest(registry)

    of_a.inc()
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 4


def test_what_a_counter_does_not_take_is_told_of_once_and_costs_the_others_nothing() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    counter = Counter("things", "Things", ("kind",), registry=registry)
    of_a, of_b = tally.count(counter.labels("a")), tally.count(counter.labels("b"))
    of_a.inc(3)
    generate_latest(registry)
    of_a.inc(-1)
    of_b.inc()

    with capture_logs() as told:
        for _ in range(2):
            assert registry.get_sample_value("things_total", {"kind": "b"}) == 1
            assert registry.get_sample_value("things_total", {"kind": "a"}) == 3
    assert len(told) == 1
    of_a.inc(2)
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 5


def test_a_histogram_has_what_it_would_have_had_at_once() -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    tally = Tally(registries[0])
    ours, theirs = (
        Histogram("sizes", "Sizes", ("kind",), buckets=(1, 2), registry=registry).labels("a")
        for registry in registries
    )
    values = tally.values(ours)
    for value in (0.5, 1, 1.5, 2, 3):
        values.observe(value)
        theirs.observe(value)
        assert _values(registries[0]) == _values(registries[1])


def _values(registry: CollectorRegistry) -> list[tuple[str, float]]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return [(f"{each.name} {each.labels}", each.value) for each in samples if "created" not in each.name]


def test_nothing_is_counted_twice_or_lost_while_a_thread_looks() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    count = tally.count(Counter("things", "Things", registry=registry))
    values = tally.values(Histogram("sizes", "Sizes", buckets=(1, 2), registry=registry))

    def look() -> None:
        for _ in range(5000):
            generate_latest(registry)

    looking = Thread(target=look)
    counted, interval = 0, sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns at every step
    try:
        looking.start()
        while looking.is_alive():
            count.inc()
            values.observe(1.5)
            counted += 1
    finally:
        sys.setswitchinterval(interval)
        looking.join()

    assert registry.get_sample_value("things_total") == counted
    assert registry.get_sample_value("sizes_bucket", {"le": "2.0"}) == counted
    assert registry.get_sample_value("sizes_sum") == 1.5 * counted
