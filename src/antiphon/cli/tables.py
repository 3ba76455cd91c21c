"""Rows that a command prints: a table for people, JSON for programs."""

from collections.abc import Sequence

Cell = str | int | None


def show(titles: Sequence[str], rows: Sequence[Sequence[Cell]], as_json: bool) -> None:
    """A table whose lines are as long as they are (what is cut off cannot be copied), or an object a line."""
    if as_json:
        import msgspec

        names = [title.replace(" ", "_") for title in titles]
        for row in rows:
            print(msgspec.json.encode(dict(zip(names, row, strict=True))).decode())
        return
    lines = [list(titles), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _shown(cell: Cell) -> str:
    return "" if cell is None else str(cell)
