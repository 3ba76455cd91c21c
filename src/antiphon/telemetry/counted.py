"""What `/metrics` counts, in OpenTelemetry's form.

Counters and histograms begin at nought with the process that tells of them. What is kept for `/metrics` of
several workers does not: a worker goes on with the numbers of one that died.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

Labels = frozenset[tuple[str, str]]
_TOTAL = AggregationTemporality.CUMULATIVE
_UNITS = {"seconds": "s", "bytes": "By"}
"""By how a name ends."""
_UNKNOWN = cast(float, None)
"""In the place of the least and the greatest value, which the protocol need not have."""


class Counted:
    """What has happened since this was made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._began = time.time_ns()
        self._before: Mapping[tuple[str, Labels], float] = {
            _key(sample): sample.value
            for family in registry.collect()
            for sample in family.samples
            if family.type != "gauge"
        }

    def metrics(self) -> list[Metric]:
        """As it stands now."""
        now = time.time_ns()
        return [
            _metric(family, data) for family in self._registry.collect() if (data := self._data(family, now))
        ]

    def _data(self, family: Family, now: int) -> Sum | Gauge | Histogram | None:
        """None: nothing has happened that it counts, or it is of a kind that we have not."""
        if family.type == "gauge":
            return Gauge([self._number(sample, now) for sample in family.samples])
        if family.type == "counter":
            counts = [
                self._number(each, now) for each in family.samples if each.name == f"{family.name}_total"
            ]
            grown = [each for each in counts if each.value]
            return Sum(grown, _TOTAL, is_monotonic=True) if grown else None
        histograms = [each for each in self._histograms(family, now) if each.count]
        return Histogram(histograms, _TOTAL) if histograms else None

    def _number(self, sample: Sample, now: int) -> NumberDataPoint:
        return NumberDataPoint(dict(sample.labels), self._began, now, self._since(sample))

    def _histograms(self, family: Family, now: int) -> Iterator[HistogramDataPoint]:
        by_labels: dict[Labels, list[Sample]] = defaultdict(list)
        for sample in family.samples:
            by_labels[frozenset(sample.labels.items() - {("le", sample.labels.get("le", ""))})].append(sample)
        for labels, samples in by_labels.items():
            yield self._histogram(family.name, dict(labels), samples, now)

    def _histogram(
        self, name: str, labels: dict[str, str], samples: Sequence[Sample], now: int
    ) -> HistogramDataPoint:
        found = {(each.name, each.labels.get("le")): self._since(each) for each in samples}
        bounds = sorted(float(le) for member, le in found if member == f"{name}_bucket" and le is not None)
        below = {float(le): int(value) for (_, le), value in found.items() if le is not None}
        counts = [below[bound] for bound in bounds]
        return HistogramDataPoint(
            attributes=labels,
            start_time_unix_nano=self._began,
            time_unix_nano=now,
            count=int(found[f"{name}_count", None]),
            sum=found[f"{name}_sum", None],
            bucket_counts=[count - before for before, count in zip([0, *counts], counts, strict=False)],
            explicit_bounds=[bound for bound in bounds if bound != math.inf],
            min=_UNKNOWN,
            max=_UNKNOWN,
        )

    def _since(self, sample: Sample) -> float:
        return sample.value - self._before.get(_key(sample), 0.0)


def _metric(family: Family, data: Sum | Gauge | Histogram) -> Metric:
    unit = _UNITS.get(family.name.rpartition("_")[2], "1")
    return Metric(family.name, family.documentation, unit, data)


def _key(sample: Sample) -> tuple[str, Labels]:
    return sample.name, frozenset(sample.labels.items())
