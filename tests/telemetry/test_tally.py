"""Counts that are gathered until somebody looks."""

import sys
from threading import Thread

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

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


def test_a_histogram_has_what_it_would_have_had_at_once() -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    tallied, plain = (
        (Tally(registry), Histogram("sizes", "Sizes", ("kind",), buckets=(1, 2), registry=registry))
        for registry in registries
    )
    for value in (0.5, 1, 1.5, 2, 3):
        tallied[0].observe(tallied[1].labels("a"), value)
        plain[1].labels("a").observe(value)
        assert _values(registries[0]) == _values(registries[1])


def _values(registry: CollectorRegistry) -> list[tuple[str, float]]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return [(f"{each.name} {each.labels}", each.value) for each in samples if "created" not in each.name]


def test_nothing_is_counted_twice_or_lost_while_a_thread_looks() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    counter = Counter("things", "Things", registry=registry)
    histogram = Histogram("sizes", "Sizes", buckets=(1, 2), registry=registry)

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
            tally.observe(histogram, 1.5)
            counted += 1
    finally:
        sys.setswitchinterval(interval)
        looking.join()

    assert registry.get_sample_value("things_total") == counted
    assert registry.get_sample_value("sizes_bucket", {"le": "2.0"}) == counted
    assert registry.get_sample_value("sizes_sum") == 1.5 * counted
