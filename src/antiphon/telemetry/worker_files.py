"""Numbers of several worker processes, in files that they share.

Each worker maps files of its own into memory, so a number costs no system call and outlives its process, also
one that is killed. A worker goes by the first number that no other has, and by a lock on a file the kernel
knows who lives: the next worker goes on with the files of one that died. So no counter goes backwards, and
there are never more files than workers.
"""

import fcntl
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which workers know the folder, as prometheus_client has it."""
_DOUBLES = struct.Struct("dd").pack
"""A number as a file has it, and the time of a gauge that the latest value counts of."""


@contextmanager
def shared_folder() -> Iterator[None]:
    """In the block processes that are started keep their numbers in a folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="antiphon-metrics-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]


def is_shared() -> bool:
    """Whether this process is one of several workers."""
    return FOLDER in os.environ


def keep_in_files() -> None:
    """Numbers that are made from now on are kept in this worker's files."""
    number = _number(Path(os.environ[FOLDER]))
    shared = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
    values.ValueClass = _quick(shared)


def _quick(shared: type[Any]) -> type[Any]:
    """The client takes a lock and asks whether it was forked, each time that something is counted: a
    response is counted in ten numbers. No worker forks, and only its event loop counts."""

    class Number(shared):  # type: ignore[misc]
        def __init__(self, *about: Any, **more: Any) -> None:
            super().__init__(*about, **more)
            at = self._file._positions[self._key]
            self._place = slice(at, at + 16)

        def inc(self, amount: float) -> None:
            self._value += amount
            self._file._m[self._place] = _DOUBLES(self._value, 0.0)

    return Number


def of_all_workers() -> CollectorRegistry:
    """What all workers have counted."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ[FOLDER])  # type: ignore[no-untyped-call]
    return registry


def _number(folder: Path) -> int:
    """The first that nobody has. It is ours until this process ends."""
    for number in count():
        lock = os.open(folder / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return number
    raise AssertionError("numbers do not end")
