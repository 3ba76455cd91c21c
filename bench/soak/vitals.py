"""What must not grow, measured while the server has nothing to do, and the judgement on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.server import Server, kilobytes, memory_of

WARM_UP = 0.4
"""The share of the rounds in which caches and pools may still fill: that of the database's writer takes some
thousand pieces of traffic."""


@dataclass(frozen=True)
class Vitals:
    """A server at rest. `resident`: megabytes of its process; `megabytes`: those of it and its children that
    belong to no file."""

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
            megabytes=sum(_anonymous(pid) for pid in pids),
            files=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            threads=sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
            processes=len(pids),
            stored=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
        )


def _anonymous(pid: int) -> float:
    """Megabytes that belong to no file: what processes of others map beside it does not change them."""
    return kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text())["Pss_Anon"] / 1024


@dataclass(frozen=True)
class Bound:
    """How much something may grow from the warm-up to the end: `share` of what it was, and `slack`."""

    name: str
    of: Callable[[Vitals], float]
    share: float
    slack: float


# Connections to the model's server are kept, as many as there were clients at once.
BOUNDS = (
    Bound("resident MB", lambda vitals: vitals.resident, 0.03, 6),
    Bound("own MB, with children", lambda vitals: vitals.megabytes, 0.03, 6),
    Bound("open files", lambda vitals: vitals.files, 0, 8),
    Bound("threads", lambda vitals: vitals.threads, 0, 2),
    Bound("processes", lambda vitals: vitals.processes, 0, 0),
)


@dataclass(frozen=True)
class Growth:
    """What became of one of them. `grown` is what it grew by in the rounds after the warm-up."""

    bound: Bound
    first: float
    last: float
    grown: float

    @property
    def is_leak(self) -> bool:
        return self.grown > self.first * self.bound.share + self.bound.slack


def growths(rounds: Sequence[Vitals]) -> list[Growth]:
    """How each grew: what was usual in the last third of the rounds, beside the first third. A single odd
    round, of which garbage was not collected yet, changes neither."""
    settled = rounds[int(len(rounds) * WARM_UP) :]
    return [_growth(bound, [bound.of(vitals) for vitals in settled]) for bound in BOUNDS]


def _growth(bound: Bound, values: Sequence[float]) -> Growth:
    third = max(1, len(values) // 3)
    # From the middle of one third to that of the other it is two thirds of the way.
    return Growth(bound, values[0], values[-1], 1.5 * (median(values[-third:]) - median(values[:third])))
