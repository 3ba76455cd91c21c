"""Two small plots of a run, as SVG: what an answer costs by how many are asked for at once, and what a turn
takes by how long its history is. `python -m bench.plot` draws them again from the last results."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

from bench.report import RESULTS

_WIDTH, _HEIGHT, _MARGIN = 460, 260, 46
_COLOURS = ("#1f5fa8", "#c0562b", "#8aa9c8", "#dcb09c")
_AT_ONCE = re.compile(r"(plain|burst streams), (\d+) at once$")

Point = tuple[float, float]


class Line(NamedTuple):
    name: str
    points: Sequence[Point]


class Panel(NamedTuple):
    title: str
    lines: Sequence[Line]
    doubling: bool = False
    """Whether steps along the axis double."""


def draw(results: Mapping[str, Any]) -> str:
    """The plots of what `Report.write` kept; a plot without figures is left out."""
    panels = [panel for panel in (_concurrency(results), _history(results)) if panel.lines]
    drawn = (
        f'<g transform="translate({n * _WIDTH},0)">{"".join(_panel(panel))}</g>'
        for n, panel in enumerate(panels)
    )
    size = f'width="{_WIDTH * len(panels)}" height="{_HEIGHT}"'
    font = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{"".join(drawn)}</svg>\n'


def write(path: Path = RESULTS) -> Path:
    """Draws the results beside them."""
    drawing = path.with_suffix(".svg")
    drawing.write_text(draw(json.loads(path.read_text())))
    return drawing


# ---- what is drawn ----------------------------------------------------------------------------------


def _concurrency(results: Mapping[str, Any]) -> Panel:
    found: dict[str, list[Point]] = {}
    for cost in results["costs"]:
        if matched := _AT_ONCE.match(cost["name"]):
            for who in ("server", "floor"):
                points = found.setdefault(f"{matched[1]}, {who}", [])
                points.append((float(matched[2]), cost[who]["cpu_per_1000"]))
    lines = [Line(name, sorted(points)) for name, points in sorted(found.items(), reverse=True)]
    return Panel("CPU seconds for 1,000 answers, by requests at once", lines, doubling=True)


def _history(results: Mapping[str, Any]) -> Panel:
    """Smoothed: the median of each turn and its four neighbours."""
    times = results["chain"]
    near = (sorted(times[max(0, n - 2) : n + 3]) for n in range(len(times)))
    points = [(n + 1.0, group[len(group) // 2]) for n, group in enumerate(near)]
    return Panel("Milliseconds of a turn, by turns before it", [Line("server", points)] if points else [])


# ---- how it is drawn --------------------------------------------------------------------------------


def _panel(panel: Panel) -> Iterable[str]:
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    xs = sorted({x for line in panel.lines for x, _ in line.points})
    top = max(y for line in panel.lines for _, y in line.points)

    def across(x: float) -> float:
        at = (log2(x) / log2(xs[-1]) if panel.doubling else x / xs[-1]) if xs[-1] > 1 else 0
        return _MARGIN + at * width

    def up(y: float) -> float:
        return _HEIGHT - _MARGIN - y / top * height

    yield f'<text x="{_MARGIN}" y="18" font-weight="bold">{panel.title}</text>'
    for y in (0, top / 2, top):
        yield f'<path d="M{_MARGIN} {up(y):.1f}h{width}" stroke="#ddd"/>'
        yield f'<text x="{_MARGIN - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:.2g}</text>'
    for x in xs if panel.doubling else (xs[0], xs[len(xs) // 2], xs[-1]):
        place = f'x="{across(x):.1f}" y="{_HEIGHT - _MARGIN + 16}"'
        yield f'<text {place} text-anchor="middle">{x:g}</text>'
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line.points)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{_MARGIN + 8}" y="{36 + 14 * number}" fill="{colour}">{line.name}</text>'


if __name__ == "__main__":
    print(write())
