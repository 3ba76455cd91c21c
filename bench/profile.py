"""Where the cycles go: Antiphon under one workload, watched by py-spy.

py-spy is nobody's dependency: `uv venv /tmp/tools && uv pip install --python /tmp/tools/bin/python py-spy`,
then `python -m bench.profile "burst streams" --py-spy /tmp/tools/bin/py-spy`. On most systems it needs root,
or `ptrace` to be allowed. `own` is the time in a function itself, `with callees` that under it as well.
"""

import argparse
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
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
    console.print(_table(workload.name, stacks, arguments.top))


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
            subprocess.run([*command, *["--native"] * arguments.native], check=True, capture_output=True)
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


def _table(name: str, stacks: Counter[str], top: int) -> Table:
    own, whole = _shares(stacks)
    total = stacks.total() or 1
    table = Table(title=f"{name}: {total} samples", title_justify="left")
    for column in ("own", "function", "with callees", "function "):
        table.add_column(column, justify="right" if column != column.strip("function ") else "left")
    for (mine, mine_count), (all_, all_count) in zip(own.most_common(top), whole.most_common(top), strict=False):
        table.add_row(f"{mine_count / total:.1%}", mine, f"{all_count / total:.1%}", all_)
    return table


def _shares(stacks: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """Samples in each function itself, and in it and what it called."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, count in stacks.items():
        frames = [frame.rpartition(":")[0] + ")" * frame.endswith(")") for frame in stack.split(";")]
        own[frames[-1]] += count
        for frame in set(frames):
            whole[frame] += count
    return own, whole


if __name__ == "__main__":
    main()
