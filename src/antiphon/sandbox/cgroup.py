"""Limits of memory and processes that the kernel keeps, where we may set them: cgroups v1 and v2."""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from antiphon.sandbox.base import Limits

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE = 2.0
"""Seconds until a group can be removed whose processes were ended."""
_FIELDS = {"memory.oom_control": "oom_kill", "memory.events": "oom_kill"}


class Groups(ABC):
    """The groups of one server; one for each sandbox."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        """Which hold the groups of the sandboxes."""

    @abstractmethod
    def _settings(self, limits: Limits) -> dict[str, str]:
        """By file."""

    _counter: str

    def create(self, name: str, limits: Limits) -> "Group":
        """Raises OSError."""
        folders = [folder / name for folder in self.folders]
        group = Group(folders, self._counter)
        try:
            for folder in folders:
                folder.mkdir()
            for file, value in self._settings(limits).items():
                group.set(file, value)
        except OSError:
            group.remove()
            raise
        return group

    def remove(self) -> None:
        for folder in self.folders:
            remove(folder)


class Version1(Groups):
    _counter = "memory.oom_control"

    def _settings(self, limits: Limits) -> dict[str, str]:
        memory = str(limits.memory_bytes)
        # With the memory that is swapped out, where the kernel counts it; the order matters.
        return {
            "memory.limit_in_bytes": memory,
            "memory.memsw.limit_in_bytes": memory,
            "pids.max": str(limits.processes),
        }


class Version2(Groups):
    _counter = "memory.events"

    def _settings(self, limits: Limits) -> dict[str, str]:
        return {
            "memory.max": str(limits.memory_bytes),
            "memory.swap.max": "0",
            "pids.max": str(limits.processes),
        }


class Group:
    """The group of one sandbox."""

    def __init__(self, folders: Sequence[Path], counter: str) -> None:
        self._folders = folders
        self._counter = counter

    def set(self, file: str, value: str) -> None:
        """In the hierarchy that has such a file; in none, if the kernel was built without it."""
        for folder in self._folders:
            if (folder / file).exists():
                (folder / file).write_text(value)

    def add(self, pid: int) -> None:
        """Raises OSError."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def memory_kills(self) -> int:
        """How many processes the kernel has ended because the group had no memory left."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                for line in (folder / self._counter).read_text().splitlines():
                    name, _, count = line.partition(" ")
                    if name == _FIELDS[self._counter]:
                        return int(count)
        return 0

    def remove(self) -> None:
        for folder in self._folders:
            remove(folder)


def open_groups(name: str) -> Groups | None:
    """Make the folder of a server's groups; None: this process may set no limits."""
    for attempt in (_version2, _version1):
        with contextlib.suppress(OSError):
            groups = attempt(name)
            if groups is not None:
                return groups
    return None


def _own() -> dict[str, Path]:
    """The group of this process by controller; v2 has the empty name."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = Path(path.lstrip("/"))
    return found


def _version2(name: str) -> Groups | None:
    """Below our own group where that may have groups with limits; as root else below the topmost one."""
    own = _own().get("")
    if own is None or not (_ROOT / "cgroup.controllers").exists():
        return None
    for parent in (_ROOT / own, _ROOT):
        folder = parent / name
        with contextlib.suppress(OSError):
            if not _has_controllers(parent):
                continue
            folder.mkdir()
            (folder / "cgroup.subtree_control").write_text("+memory +pids")
            return _tried(Version2([folder]))
    return None


def _has_controllers(folder: Path) -> bool:
    return {"memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split())


def _version1(name: str) -> Groups | None:
    own = _own()
    folders = []
    for controller in ("memory", "pids"):
        hierarchy = _ROOT / controller
        if controller not in own or not hierarchy.is_dir():
            return None
        # In a container, the path is the host's, and what is mounted begins at our own group.
        inside = hierarchy / own[controller]
        folders.append((inside if inside.is_dir() else hierarchy) / name)
    for folder in folders:
        folder.mkdir()
    return _tried(Version1(folders))


def _tried(groups: Groups) -> Groups | None:
    """The groups, if limits can really be set in them."""
    try:
        groups.create("probe", Limits()).remove()
    except OSError:
        groups.remove()
        return None
    return groups


def remove(folder: Path) -> None:
    """Remove a group with all below it, and end what runs there."""
    until = time.monotonic() + _PATIENCE
    while folder.is_dir():
        for below in [*_below(folder), folder]:
            with contextlib.suppress(OSError):
                _end(below)
                below.rmdir()
        if time.monotonic() > until:
            return
        if folder.is_dir():
            time.sleep(0.002)


def _below(folder: Path) -> Iterator[Path]:
    """The groups below a group, the lowest first."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each)
            yield each


def _end(folder: Path) -> None:
    for pid in (folder / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
