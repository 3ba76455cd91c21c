"""What was measured, as a table for people and as JSON for programs."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from antiphon import __version__
from bench.measure import Compared, Surcharge
from bench.server import Memory

RESULTS = Path(__file__).parent / "results" / "latest.json"
_MAX_LOAD = 0.9
"""A load that is busy for more of the time than this may have held the server up."""


@dataclass
class Report:
    """Everything that one run found out."""

    subject: str
    costs: list[Compared] = field(default_factory=list)
    surcharges: list[Surcharge] = field(default_factory=list)
    """Where all is recorded that is sent upstream, and where two workers share the requests."""
    chain: list[float] = field(default_factory=list)
    """Milliseconds of each turn."""
    grown: dict[str, float] = field(default_factory=dict)
    """How many times the CPU of its first turns the last ones of a chain of 200 take, those of a
    conversation, and those that the floor is sent with all that was said."""
    start_up: tuple[float, float] | None = None
    sizes: dict[str, dict[str, Memory]] = field(default_factory=dict)
    """Of each server."""
    idle: dict[str, float] = field(default_factory=dict)
    """Kilobytes for each idle stream."""
    unread: dict[str, float] = field(default_factory=dict)
    """Megabytes for a long stream that nobody reads."""

    def write(self, path: Path = RESULTS) -> None:
        path.parent.mkdir(exist_ok=True)
        told = {
            "version": __version__,
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "time": int(time.time()),
            **asdict(self),
            "sizes": {name: {k: v._asdict() for k, v in s.items()} for name, s in self.sizes.items()},
            "ratios": {cost.name: cost.ratio for cost in self.costs},
        }
        path.write_text(json.dumps(told, indent=1) + "\n")

    def show(self, console: Console) -> None:
        console.print(_costs(self.costs, self.subject))
        _complain(self.costs, console)
        figures = _figures(self)
        if figures.row_count:
            console.print(figures)


# ---- tables -----------------------------------------------------------------------------------------


def _costs(costs: Sequence[Compared], subject: str) -> Table:
    table = Table(title=f"CPU seconds for 1,000 answers: {subject} beside the floor", title_justify="left")
    table.add_column("workload")
    for name in ("floor", subject, "ratio", "must", "aim", "haproxy", "answers/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    table.add_column("event ms", justify="right")
    table.add_column("delta ms (floor)", justify="right")
    if costs and not any(cost.haproxy for cost in costs):
        table.caption = "haproxy, the physical limit, is not installed"
    for cost in costs:
        table.add_row(*_row(cost))
    return table


def _row(cost: Compared) -> list[str]:
    told, floor = cost.server, cost.floor or {}
    budget = cost.budget
    return [
        cost.name,
        _number(floor.get("cpu_per_1000"), 3),
        _number(told["cpu_per_1000"], 3),
        _judged(cost),
        f"{budget.must:g}" if budget else "",
        f"{budget.aim:g}" if budget else "",
        _number(cost.limit, 2),
        _number(told["per_second"], 0),
        _number(told["p50_ms"]),
        _number(told["p99_ms"]),
        _number(told["first_event_ms"]),
        f"{_number(told['first_delta_ms'])} ({_number(floor.get('first_delta_ms'))})"
        if told["first_delta_ms"]
        else "",
    ]


def _judged(cost: Compared) -> str:
    """The ratio, in the colour of the budget."""
    if cost.ratio is None:
        return ""
    return _coloured(f"{cost.ratio:.2f}", cost.ratio, *cost.budget) if cost.budget else f"{cost.ratio:.2f}"


def _coloured(text: str, value: float, must: float, aim: float) -> str:
    colour = "green" if value <= aim else "yellow" if value <= must else "red"
    return f"[{colour}]{text}[/]"


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _complain(costs: Sequence[Compared], console: Console) -> None:
    """Figures that should not be believed say so."""
    for cost in costs:
        for who, told in (("the floor", cost.floor), ("the server", cost.server)):
            if told and told["errors"]:
                console.print(f"[red]{cost.name}: {told['errors']} errors of {who}:[/]", end=" ")
                console.print(told["first_error"], markup=False)
            if told and told["load_share"] > _MAX_LOAD:
                console.print(f"[yellow]{cost.name}: the load was busy all the time beside {who}.[/]")


def _figures(report: Report) -> Table:
    table = Table(title="Beside that", title_justify="left")
    for name in ("what", "found", "must", "aim"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in (
        *_surcharges(report.surcharges),
        *_beginning(report),
        *_turns(report.chain),
        *_grown(report.grown),
        *_sizes(report.sizes),
    ):
        table.add_row(*row)
    for name, kilobytes in report.idle.items():
        table.add_row(f"each of 1,000 idle streams, {name} (PSS)", f"{kilobytes:.0f} KB", "30 KB")
    for name, megabytes in report.unread.items():
        table.add_row(f"50 MB that nobody reads, {name}", f"{megabytes:.1f} MB")
    return table


def _surcharges(found: Sequence[Surcharge]) -> list[list[str]]:
    return [
        [
            f"{each.name}, {each.what}",
            _coloured(f"{each.ratio:.2f} x", each.ratio, each.most, each.most)
            + (f" (floor: {each.floor:.2f} x)" if each.floor else ""),
            f"{each.most:.2f} x",
        ]
        for each in found
    ]


def _beginning(report: Report) -> list[list[str]]:
    if report.start_up is None:
        return []
    waited, spent = report.start_up
    found = _coloured(f"{waited:.2f} s", waited, 1, 1)
    return [["start to the first answer", found, "1 s"], ["CPU of that", f"{spent:.2f} s"]]


def _turns(times: Sequence[float]) -> list[list[str]]:
    """Turn 1 is slow only when something is wrong, so each later turn is told against it."""
    rows = []
    for turn in (50, 200):
        if len(times) >= turn:
            ratio = times[turn - 1] / times[0]
            budget = ["1.5 x", "1.2 x"] if turn == 200 else []
            found = _coloured(f"{ratio:.2f} x", ratio, 1.5, 1.2) if budget else f"{ratio:.2f} x"
            ms = f"{times[0]:.1f} and {times[turn - 1]:.1f} ms"
            rows.append([f"turn {turn} against turn 1 ({ms})", found, *budget])
    return rows


def _grown(ratios: Mapping[str, float]) -> list[list[str]]:
    rows = []
    for kind, ratio in ratios.items():
        shown = f"{ratio:.2f} x"
        if kind == "floor":
            rows.append(["CPU of the floor for all that turn 200 sends against turn 1", shown])
        else:
            found = _coloured(shown, ratio, 1.5, 1.2)
            rows.append([f"CPU of turn 200 of a {kind} against turn 1", found, "1.5 x", "1.2 x"])
    return rows


_SIZES = {"at rest": (90, 70), "64 streams": (120, 120)}


def _sizes(sizes: Mapping[str, Mapping[str, Memory]]) -> list[list[str]]:
    rows: list[list[Any]] = []
    for name, moments in sizes.items():
        for moment, size in moments.items():
            must, aim = _SIZES[moment]
            held = size.peak if moment == "64 streams" else size.resident
            limits = [] if name == "floor" else [f"{must} MB", f"{aim} MB"]
            found = f"{held:.0f} MB" if not limits else _coloured(f"{held:.0f} MB", held, must, aim)
            rows.append([f"memory, {moment}, {name} (PSS {size.shared_out:.0f} MB)", found, *limits])
    return rows
