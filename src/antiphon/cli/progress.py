"""Bars that show how far a command is, where somebody looks: on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """In the block, calls of what is given say how many of `total` are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """The same where nobody knows how many there are."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(what) as status:
        yield lambda done: status.update(f"{done} {what}")
