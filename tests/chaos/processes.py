"""What the kernel knows of processes: read from /proc, so that nothing has to be installed for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    state: str
    parent: int
    group: int

    @property
    def command(self) -> bytes:
        try:
            return (Path("/proc") / str(self.pid) / "cmdline").read_bytes()
        except OSError:
            return b""


def processes() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has just ended
                continue
            # The name in brackets may hold anything, also brackets and spaces.
            state, parent, group = stat.rpartition(")")[2].split()[:3]
            yield Process(int(entry.name), state, int(parent), int(group))


def alive_in(group: int) -> list[int]:
    """Processes of a group. A dead one that nobody has waited for holds no port and no lock."""
    return [each.pid for each in processes() if each.group == group and each.state != "Z"]


def workers_of(supervisor: int) -> list[int]:
    """The server processes that a supervisor has started; its other children serve nobody."""
    children = [each for each in processes() if each.parent == supervisor and each.state != "Z"]
    return [each.pid for each in children if b"spawn_main" in each.command]
