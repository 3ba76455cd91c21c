"""The folders of servers that run, and what servers left that were killed.

Each server has a folder of its own, in which it holds a lock for as long as it lives. A folder whose lock is
free is nobody's: who comes next removes it, with the groups of processes that are written down in it.
"""

import fcntl
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from antiphon.sandbox import cgroup

_RUN = "run-"
_GONE = "gone-"
_LOCK = "lock"
_GROUPS = "groups"
_COMING_AND_GOING = ".runs"
"""Who holds it may add folders and take them away."""


class Run:
    """The folder of this server."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.name = folder.name
        self._lock = lock

    def note_groups(self, folders: Sequence[Path]) -> None:
        """Write down which groups go with this run."""
        (self.folder / _GROUPS).write_text("\n".join(map(str, folders)))

    def remove(self) -> None:
        remove(self.folder)
        os.close(self._lock)


def begin(home: Path) -> Run:
    """Remove what dead servers left below `home`, and make a folder. Raises OSError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(home):
        for folder in home.glob(f"{_RUN}*"):
            if _is_nobodys(folder):
                folder.rename(folder.with_name(_GONE + folder.name))
        folder = home / (_RUN + secrets.token_hex(6))
        folder.mkdir(mode=0o700)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    for gone in home.glob(f"{_GONE}*"):
        _remove_groups(gone)
        remove(gone)
    return Run(folder, lock)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / _COMING_AND_GOING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_nobodys(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _remove_groups(folder: Path) -> None:
    noted = folder / _GROUPS
    for group in noted.read_text().splitlines() if noted.exists() else ():
        cgroup.remove(Path(group))


def remove(folder: Path) -> None:
    """Remove a folder that nobody writes to any more, however deep and however closed what lies in it is."""
    command = ["rm", "-rf", "--one-file-system", "--", str(folder)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
