"""`python -m bench.routing`: what it costs to find who answers and to read what is said there, how often
chains stay where they are, and what clients see of servers that fail.

Costs are processor time within one process: the quietest of many rounds, and their lower quartile. The last
one is a whole server in front of three model servers, of which one hangs and one refuses.
"""

import argparse

import uvloop
from rich.console import Console
from rich.table import Table

from bench import server
from bench.routing import failing, overhead, reading, sticky
from bench.routing.rounds import Figure


def main() -> None:
    parts = {"overhead": _overhead, "deltas": _deltas, "sticky": _sticky, "failing": _failing}
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--only", choices=tuple(parts), nargs="+", default=tuple(parts))
    console = Console(highlight=False)
    for name in parser.parse_args().only:
        console.print(parts[name]())


def _overhead() -> Table:
    return _figures("a turn of 200 deltas in 11 batches", "µs", uvloop.run(overhead.measured()))


def _deltas() -> Table:
    return _figures("type of backend, and deltas in each read", "µs / delta", reading.measured())


def _figures(title: str, unit: str, figures: dict[str, Figure]) -> Table:
    table = Table(title, f"{unit}, least", "quartile", "more than the first")
    first = next(iter(figures.values()))
    for name, figure in figures.items():
        table.add_row(
            name, f"{figure.least:.2f}", f"{figure.quartile:.2f}", f"{figure.least - first.least:.2f}"
        )
    return table


def _sticky() -> Table:
    table = Table("three servers, all well", "turns that came where the one before was")
    for name, share in uvloop.run(sticky.measured()).items():
        table.add_row(name, f"{share:.1%}")
    return table


def _failing() -> Table:
    server.compile_all()
    table = Table("1,000 streams, 16 at once", "errors", "asked", "answered", "p50 ms", "p99 ms", "worst ms")
    for row in failing.measured():
        table.add_row(*row)
    return table


if __name__ == "__main__":
    main()
