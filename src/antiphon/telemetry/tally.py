"""What is counted for each request, brought into the counters when somebody looks at them.

Those of prometheus_client are locked and ask themselves twice whether they may be counted, each time, and
histograms look for a bucket from the first one on: a response is counted in six counters and two of those.

One thread counts, that of the event loop. Others may look: what they read only grows, so what is new is the
difference to what was told before.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector


class _Seen:
    """The values of a histogram."""

    def __init__(self, histogram: Histogram) -> None:
        self.bounds = histogram._upper_bounds
        self.counts = [0] * len(self.bounds)
        self.sum = 0.0
        self._histogram = histogram
        self._told = self.counts.copy()
        self._told_sum = 0.0

    def tell(self) -> None:
        counts, total = self.counts.copy(), self.sum
        for bucket, count, told in zip(self._histogram._buckets, counts, self._told, strict=True):
            bucket.inc(count - told)
        self._histogram._sum.inc(total - self._told_sum)
        self._told, self._told_sum = counts, total


class Tally(Collector):
    """Counts for the counters and histograms of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Before any of them is registered there: who collects from it begins with what came first."""
        self._lock = Lock()
        """Of those who look."""
        self._counts: defaultdict[Counter, float] = defaultdict(float)
        self._told: defaultdict[Counter, float] = defaultdict(float)
        self._seen: dict[Histogram, _Seen] = {}
        registry.register(self)

    def add(self, counter: Counter, amount: float = 1) -> None:
        self._counts[counter] += amount

    def observe(self, histogram: Histogram, value: float) -> None:
        seen = self._seen.get(histogram)
        if seen is None:
            seen = self._seen[histogram] = _Seen(histogram)
        seen.counts[bisect_left(seen.bounds, value)] += 1
        seen.sum += value

    def collect(self) -> Iterator[Metric]:
        """Nothing of its own."""
        with self._lock:
            for counter, count in self._counts.copy().items():
                counter.inc(count - self._told[counter])
                self._told[counter] = count
            for seen in self._seen.copy().values():
                seen.tell()
        return iter(())


class AtOnce:
    """Counts where others look at what this process has counted, also when it was killed."""

    def add(self, counter: Counter, amount: float = 1) -> None:
        counter.inc(amount)

    def observe(self, histogram: Histogram, value: float) -> None:
        histogram.observe(value)
