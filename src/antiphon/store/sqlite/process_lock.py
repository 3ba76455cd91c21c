"""Who else uses the file: a lock beside it that every process holds, and that the system drops when one dies.

A process that finds itself alone knows that every lease in the file is that of the dead, and need not wait
until it runs out: so work that a crash interrupted goes on at once.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ProcessLock:
    """This process's hold on the lock of the store at `path`."""

    def __init__(self, path: Path) -> None:
        self._lock: int | None = os.open(path.with_name(f"{path.name}-users"), os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def acquired(self) -> Iterator[bool]:
        """Takes the lock; gives whether nobody else has it. Whoever comes meanwhile waits until the block is
        left. From then on the lock is shared, until `release`."""
        alone = self.take()
        assert self._lock is not None
        try:
            yield alone
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def take(self) -> bool:
        """Gives whether nobody else has the lock. If so, whoever comes waits until `release`."""
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
