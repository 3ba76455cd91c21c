"""Counts that are gathered until somebody looks."""

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
