"""Numbers of several worker processes, in files that they share.

Each worker maps files of its own into memory, so a number costs no system call and outlives its process, also
one that is killed. A worker goes by the first number that no other has, and by a lock on a file the kernel
knows who lives: the next worker goes on with the files of one that died. So no counter goes backwards, and
there are never more files than workers.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which workers know the folder, as prometheus_client has it."""


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
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


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
