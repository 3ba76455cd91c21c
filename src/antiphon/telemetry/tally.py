"""What is counted for each request, brought into the counters when somebody looks at them.

Those of prometheus_client are locked and ask themselves twice whether they may be counted, each time, and
histograms look for a bucket from the first one on: a response is counted in six counters and two of those.

One thread counts, that of the event loop. Others may look: what they find only grows, so what is new is the
difference to what was told before.
"""

from bisect import bisect_left
from collections.abc import Iterator
from threading import Lock

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger()


class Count:
    """In the place of a counter."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._count = 0.0
        self._told = 0.0

    def inc(self, amount: float = 1) -> None:
        self._count += amount

    def tell(self) -> None:
        count, told = self._count, self._told
        self._told = count  # first: what the counter does not take is offered once
        self._counter.inc(count - told)


class Values:
    """In the place of a histogram."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._bounds = histogram._upper_bounds
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._told = self._counts.copy()
        self._told_sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def tell(self) -> None:
        counts, total = self._counts.copy(), self._sum
        before, total_before = self._told, self._told_sum
        self._told, self._told_sum = counts, total
        for bucket, count, told in zip(self._histogram._buckets, counts, before, strict=True):
            bucket.inc(count - told)
        self._histogram._sum.inc(total - total_before)


class Tally(Collector):
    """Counts for the counters and histograms of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Before any of them is registered there: who collects from it begins with what came first."""
        self._lock = Lock()
        """Of those who look."""
        self._kept: list[Count | Values] = []
        registry.register(self)

    def count(self, counter: Counter) -> Count:
        """Once for each counter."""
        kept = Count(counter)
        self._kept.append(kept)
        return kept

    def values(self, histogram: Histogram) -> Values:
        """Once for each histogram."""
        kept = Values(histogram)
        self._kept.append(kept)
        return kept

    def collect(self) -> Iterator[Metric]:
        """Nothing of its own. A fault of one is no reason to show nothing of the others."""
        with self._lock:
            for kept in self._kept.copy():
                try:
                    kept.tell()
                except Exception:
                    log.exception("something was not counted")
        return iter(())
