"""`python -m bench.durability`: what it costs that nothing is lost.

Background streams of 200 deltas beside foreground ones on the same server, in turn; and how much the store
grows for 1,000 responses.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench import server
from bench.client import Job
from bench.measure import Cost
from bench.server import Server, load
from bench.workloads import Workload

COUNT, ROUNDS = 1000, 3
KINDS = (
    Workload("burst, foreground", stream=True, count=COUNT),
    Workload("burst, background", stream=True, background=True, count=COUNT),
    Workload("5 ms apart, foreground", "paced-200", stream=True, count=COUNT // 4),
    Workload("5 ms apart, background", "paced-200", stream=True, background=True, count=COUNT // 4),
)


def main() -> None:
    table = Table("streams of 200 deltas, 16 at once", "CPU s / 1,000", "first delta ms", "store MB / 1,000")
    with server.upstream() as upstream, TemporaryDirectory() as folder:
        url = f"http://{server.HOST}:{upstream.port}/v1"
        server.compile_all()
        # The last --data-dir counts.
        with server.antiphon(url, "--data-dir", folder) as subject:
            for row in _measured(subject, Path(folder)):
                table.add_row(*row)
    Console(highlight=False).print(table)


def _measured(subject: Server, folder: Path) -> Iterator[tuple[str, ...]]:
    costs = {kind: Cost() for kind in KINDS}
    grown = dict.fromkeys(KINDS, 0.0)
    for kind in KINDS:
        load(_job(kind, subject, 50))
    for _ in range(ROUNDS):
        for kind, cost in costs.items():
            size, before = _size(folder), subject.cpu()
            seen = load(_job(kind, subject, kind.count))
            cost.add(subject.cpu() - before, seen)
            grown[kind] += (_size(folder) - size) * 1000 / kind.count / ROUNDS
    for kind, cost in costs.items():
        told = cost.summary()
        if told["errors"]:
            raise SystemExit(f"bench: {told['first_error']}")
        yield kind.name, f"{told['cpu_per_1000']:.2f}", f"{told['first_delta_ms']:.1f}", f"{grown[kind]:.1f}"


def _job(kind: Workload, subject: Server, count: int) -> Job:
    made = kind.job(subject)
    made.count = count
    return made


def _size(folder: Path) -> float:
    """Megabytes of the database, without what waits to be written into it."""
    return sum(file.stat().st_size for file in folder.glob("antiphon.db*")) / 1e6


if __name__ == "__main__":
    main()
