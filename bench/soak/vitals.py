"""What must not grow, measured while the server has nothing to do, and the judgement on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

from bench.server import Server, memory_of

WARM_UP = 0.2
"""The share of the rounds in which caches and pools may still fill."""


@dataclass(frozen=True)
class Vitals:
    """A server at rest. `resident`: megabytes of its process alone; `megabytes`: of its children too, with
    shared pages in part."""

    done: int
    """Pieces of traffic so far."""
    resident: float
    megabytes: float
    files: int
    threads: int
    processes: int
    stored: float
    """Megabytes in the data directory: they grow with what is kept, and are not judged."""

    @classmethod
    def of(cls, server: Server, folder: Path, done: int) -> "Vitals":
        pids = server.pids()
        return cls(
            done=done,
            resident=memory_of(pids[0]).resident,
            megabytes=server.memory().shared_out,
            files=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            threads=sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
            processes=len(pids),
            stored=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
        )


@dataclass(frozen=True)
class Bound:
    """How much something may grow from the warm-up to the end: `share` of what it was, and `slack`."""

    name: str
    of: Callable[[Vitals], float]
    share: float
    slack: float


BOUNDS = (
    Bound("resident MB", lambda vitals: vitals.resident, 0.05, 6),
    Bound("MB with children", lambda vitals: vitals.megabytes, 0.05, 6),
    Bound("open files", lambda vitals: vitals.files, 0, 4),
    Bound("threads", lambda vitals: vitals.threads, 0, 2),
    Bound("processes", lambda vitals: vitals.processes, 0, 0),
)


@dataclass(frozen=True)
class Growth:
    """What became of one of them. `grown` is its trend over the rounds after the warm-up."""

    bound: Bound
    first: float
    last: float
    grown: float

    @property
    def is_leak(self) -> bool:
        return self.grown > self.first * self.bound.share + self.bound.slack


def growths(rounds: Sequence[Vitals]) -> list[Growth]:
    """How each grew. The trend is the median of the slopes between any two rounds: a single odd round, of
    which garbage was not collected yet, does not bend it."""
    settled = rounds[int(len(rounds) * WARM_UP) :]
    return [_growth(bound, [bound.of(vitals) for vitals in settled]) for bound in BOUNDS]


def _growth(bound: Bound, values: Sequence[float]) -> Growth:
    slopes = [(b - a) / (n - m) for (m, a), (n, b) in combinations(enumerate(values), 2)]
    return Growth(bound, values[0], values[-1], median(slopes) * (len(values) - 1) if slopes else 0.0)
