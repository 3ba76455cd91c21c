"""Where the cycles go: Antiphon under one workload, watched by py-spy.

py-spy is nobody's dependency: `uv venv /tmp/tools && uv pip install --python /tmp/tools/bin/python py-spy`,
then `python -m bench.profile "burst streams" --py-spy /tmp/tools/bin/py-spy`. On most systems it needs root,
or `ptrace` to be allowed. Threads that wait for the disk count as well: `--gil` shows Python alone.
"""

import argparse
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import server
from bench.server import Server, load
from bench.workloads import WORKLOADS, Workload

_RATE = 400


def main() -> None:
    arguments = _arguments()
    workload = next(workload for workload in WORKLOADS if arguments.workload in workload.name)
    with server.upstream() as upstream:
        url = f"http://{server.HOST}:{upstream.port}/v1"
        server.compile_all()
        with server.antiphon(url) as subject:
            stacks = record(subject, workload, arguments)
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    console.print(f"[bold]{workload.name}[/]: {stacks.total()} samples")
    for name, view in _VIEWS.items():
        console.print(_table(name, _shares(stacks, view), stacks.total(), arguments.top))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", nargs="?", default="plain, stored", help="a part of its name")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--py-spy", default="py-spy")
    parser.add_argument("--native", action="store_true", help="C functions too")
    parser.add_argument("--gil", action="store_true", help="only what holds the interpreter's lock")
    parser.add_argument("--top", type=int, default=30)
    return parser.parse_args()


def record(subject: Server, workload: Workload, arguments: argparse.Namespace) -> Counter[str]:
    """The stacks that were seen, each as `outermost;…;innermost`, while the workload ran again and again."""
    load(workload.job(subject))
    ended = threading.Event()
    repeat = threading.Thread(target=_repeat, args=(subject, workload, ended))
    repeat.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder, "stacks")
            command = [arguments.py_spy, "record", "--pid", str(subject.pid), "--format", "raw"]
            command += ["--duration", str(arguments.seconds), "--rate", str(_RATE), "--output", str(raw)]
            command += ["--native"] * arguments.native + ["--gil"] * arguments.gil
            subprocess.run(command, check=True, capture_output=True)
            return _counted(raw.read_text().splitlines())
    finally:
        ended.set()
        repeat.join()


def _repeat(subject: Server, workload: Workload, ended: threading.Event) -> None:
    while not ended.is_set():
        load(workload.job(subject))


def _counted(lines: Iterable[str]) -> Counter[str]:
    stacks: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        stacks[stack] += int(count)
    return stacks


# ---- counting ---------------------------------------------------------------------------------------


def own_time(frames: Sequence[str]) -> set[str]:
    """The function that ran."""
    return {frames[-1]}


def with_callees(frames: Sequence[str]) -> set[str]:
    """Every function that was under way; once, also when it calls itself."""
    return set(frames)


def by_module(frames: Sequence[str]) -> set[str]:
    """The file of the function that ran."""
    return {frames[-1].rpartition("(")[2].rstrip(")")}


_VIEWS: dict[str, Callable[[Sequence[str]], set[str]]] = {
    "own time": own_time,
    "own time, by module": by_module,
    "with callees": with_callees,
}


def _shares(stacks: Counter[str], view: Callable[[Sequence[str]], set[str]]) -> Counter[str]:
    shares: Counter[str] = Counter()
    for stack, count in stacks.items():
        # The line behind the colon is left out: what counts is the function.
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        for name in view(frames):
            shares[name] += count
    return shares


def _table(view: str, shares: Counter[str], total: int, top: int) -> Table:
    table = Table(title=view, title_justify="left", show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for name, count in shares.most_common(top):
        table.add_row(f"{count / total:.1%}", name)
    return table


if __name__ == "__main__":
    main()
