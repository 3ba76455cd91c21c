"""Stacked columns as SVG: one for each day, say. Its colours are classes of `pages.css`."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup
from msgspec import Struct

WIDTH, HEIGHT = 720, 190
_LEFT, _TOP, _BOTTOM = 52, 10, 22
_ROOM = HEIGHT - _TOP - _BOTTOM
_UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


class Column(Struct, frozen=True):
    """What stands at a place: `parts` upon each other, the first one lowest."""

    label: str
    parts: Sequence[int]


def columns(shown: Sequence[Column], names: Sequence[str]) -> Markup:
    """`names` are those of the parts."""
    most = ceiling(max((sum(column.parts) for column in shown), default=0))
    step = (WIDTH - _LEFT) / max(len(shown), 1)
    drawn = [
        *_lines(most),
        *(_column(column, _LEFT + step * n, step, most, names) for n, column in enumerate(shown)),
        *_labels(shown, step),
    ]
    svg = '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(WIDTH, HEIGHT, ", ".join(names), Markup("").join(drawn))


def ceiling(value: int) -> int:
    """The least of 2, 4, 10, 20, 40, 100, … that is no less: its half is a whole number too."""
    power = 1
    while True:
        for factor in (2, 4, 10):
            if factor * power >= value:
                return factor * power
        power *= 10


def brief(value: int) -> str:
    """A round number in few letters."""
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:g}{unit}"
    return str(value)


def _height(value: int, most: int) -> float:
    return round(_ROOM * value / most, 2)


def _lines(most: int) -> Iterator[Markup]:
    line = '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="of-y" x="{}" y="{}">{}</text>'
    for value in (0, most // 2, most):
        y = _TOP + _ROOM - _height(value, most)
        yield Markup(line).format(_LEFT, WIDTH, y, y, _LEFT - 6, y + 4, brief(value))


def _column(column: Column, x: float, step: float, most: int, names: Sequence[str]) -> Markup:
    """With what a pointer over it is told."""
    told = ", ".join(f"{name} {part:,}" for name, part in zip(names, column.parts, strict=True))
    return Markup('<g class="column"><title>{}: {}</title>{}</g>').format(
        column.label, told, Markup("").join(_rectangles(column, x, step, most))
    )


def _rectangles(column: Column, x: float, step: float, most: int) -> Iterator[Markup]:
    rectangle = Markup('<rect class="{}" x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>')
    yield rectangle.format("whole", x, _TOP, step, _ROOM)
    top = float(_TOP + _ROOM)
    for number, part in enumerate(column.parts):
        height = _height(part, most)
        top -= height
        yield rectangle.format(f"part{number}", x + step * 0.1, round(top, 2), step * 0.8, height)


def _labels(shown: Sequence[Column], step: float) -> Iterator[Markup]:
    """As many as there is room for."""
    every = max(1, len(shown) // 6)
    for number in range(0, len(shown), every):
        x = _LEFT + step * (number + 0.5)
        yield Markup('<text class="of-x" x="{:.1f}" y="{}">{}</text>').format(
            x, HEIGHT - 6, shown[number].label
        )
