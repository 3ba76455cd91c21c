"""What is counted for each request, brought into the counters when somebody looks at them.

A counter of prometheus_client is locked and asks itself twice whether it may be counted, each time: a
response is counted in six of them.
"""

from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector


class Tally(Collector):
    """Counts for the counters of a registry. An exporter looks at them in a thread of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Before any counter is registered there: who collects from it begins with what came first."""
        self._lock = Lock()
        self._counts: dict[Counter, float] = {}
        registry.register(self)

    def add(self, counter: Counter, amount: float = 1) -> None:
        with self._lock:
            self._counts[counter] = self._counts.get(counter, 0) + amount

    def collect(self) -> Iterator[Metric]:
        """Nothing of its own."""
        with self._lock:
            counts, self._counts = self._counts, {}
        for counter, amount in counts.items():
            counter.inc(amount)
        return iter(())


def at_once(counter: Counter, amount: float = 1) -> None:
    """Where others look at the counters of this process, also when it was killed. Without what `inc` asks
    first: whether the counter has its labels, and goes up."""
    counter._value.inc(amount)
