"""A sandbox as the server sees it from outside: its processes, its folders in memory, and what they hold.

Everything is reached through the sandbox's first process, and opened before any code of a model runs, so that
nothing which runs later decides what is looked at.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_IN_MEMORY = ("dev/shm", "tmp", "home/oai")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Outside:
    """Calls wait for the kernel, not for the sandbox; after the sandbox's end they find nothing."""

    def __init__(self, pid: int, data: int) -> None:
        """`pid` is process 1 inside as it is known here, `data` the device of the sandbox's files. Raises
        OSError."""
        self._data = data
        root = os.open(f"/proc/{pid}/root", _FOLDER)
        try:
            self._processes = os.open("proc", _FOLDER, dir_fd=root)
            opened = [os.open(place, _FOLDER, dir_fd=root) for place in _IN_MEMORY]
        finally:
            os.close(root)
        self._in_memory = [each for each in opened if os.fstat(each).st_dev != data]
        for each in set(opened) - set(self._in_memory):
            os.close(each)

    def close(self) -> None:
        for each in (self._processes, *self._in_memory):
            os.close(each)

    def folders_in_memory(self) -> int:
        """Bytes in them."""
        found = [os.fstatvfs(each) for each in self._in_memory]
        return sum((each.f_blocks - each.f_bfree) * each.f_frsize for each in found)

    def processes(self) -> list[str]:
        """Their numbers inside."""
        with suppress(OSError):
            return [name for name in os.listdir(self._processes) if name.isdecimal()]
        return []

    def memory(self, more_than: int) -> int:
        """Bytes that the processes have. What they share is counted once, if it comes to more than that."""
        pids = self.processes()
        resident = sum(self._resident(pid) for pid in pids)
        return resident if resident <= more_than else sum(self._share(pid) for pid in pids)

    def _resident(self, pid: str) -> int:
        return int((self._read(f"{pid}/statm").split() or [b"0", b"0"])[1]) * _PAGE

    def _share(self, pid: str) -> int:
        for line in self._read(f"{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
        return self._resident(pid)

    def deleted(self) -> int:
        """Bytes of the sandbox's files that have no name any more and go on because a process has them."""
        sizes: dict[int, int] = {}
        for pid in self.processes():
            sizes.update(self._opened(pid))
            sizes.update(self._mapped(pid))
        return sum(sizes.values())

    def _opened(self, pid: str) -> Iterator[tuple[int, int]]:
        with suppress(OSError):
            folder = os.open(f"{pid}/fd", _FOLDER, dir_fd=self._processes)
            try:
                for name in os.listdir(folder):
                    with suppress(OSError):
                        status = os.stat(name, dir_fd=folder)
                        if self._is_deleted(status):
                            yield status.st_ino, max(status.st_size, status.st_blocks * 512)
            finally:
                os.close(folder)

    def _is_deleted(self, status: os.stat_result) -> bool:
        return not status.st_nlink and stat.S_ISREG(status.st_mode) and status.st_dev == self._data

    def _mapped(self, pid: str) -> Iterator[tuple[int, int]]:
        """In the form of proc(5): addresses, rights, offset, device, inode, path."""
        device = f"{os.major(self._data):02x}:{os.minor(self._data):02x}".encode()
        for line in self._read(f"{pid}/maps").splitlines():
            if line.endswith(b"(deleted)"):
                addresses, _, offset, of, inode, *_ = line.split()
                if of == device:
                    first, _, last = addresses.partition(b"-")
                    yield int(inode), int(offset, 16) + int(last, 16) - int(first, 16)

    def _read(self, name: str) -> bytes:
        with suppress(OSError):
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._processes)
            with open(file, "rb") as opened:
                return opened.read()
        return b""
