"""Processes as they are inside: how one gives up its rights, how a program starts, and how all are ended."""

import ctypes
import os
import resource
import signal
import struct
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, NoReturn

Message = dict[str, Any]

_SET_PARENT_DEATH, _SET_DUMPABLE, _DROP_BOUNDING = 1, 4, 24
_SUBREAPER, _NO_NEW_PRIVILEGES, _AMBIENT = 36, 38, 47
_CLEAR_ALL = 4
_LAST_CAPABILITY = 63
_PATIENCE = 1.5
"""Seconds for which processes are ended one by one; then all that there are at once."""
_EXPENDABLE = b"500"
"""Of `oom_score_adj`: where memory runs out, what a model started goes first."""

_libc = ctypes.CDLL(None)


def _prctl(option: int, value: int) -> None:
    _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def become(request: Message) -> None:
    """Give up all that a sandbox may not have: user, groups, capabilities, resources."""
    for name, most in request["limits"].items():
        kind = getattr(resource, name)
        _, bound = resource.getrlimit(kind)
        most = most if bound == resource.RLIM_INFINITY else min(most, bound)
        resource.setrlimit(kind, (most, most))
    os.nice(request["nice"])
    if request["user"] is not None:
        for capability in range(_LAST_CAPABILITY + 1):
            _prctl(_DROP_BOUNDING, capability)
        _libc.prctl(_AMBIENT, ctypes.c_ulong(_CLEAR_ALL), 0, 0, 0)
        os.setgroups([])
        os.setresgid(request["user"], request["user"], request["user"])
        os.setresuid(request["user"], request["user"], request["user"])
    # In the form of capset(2): version 3 of the header, and three empty sets.
    _libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_SET_DUMPABLE, 0)
    # A change of user clears it.
    _prctl(_SET_PARENT_DEATH, signal.SIGKILL)
    os.umask(0o022)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])


def adopt_orphans() -> None:
    """What descends from this process falls to it, and not to process 1, when its parents end."""
    _prctl(_SUBREAPER, 1)


def execute(
    argv: list[str], environment: dict[str, str], folder: str, streams: tuple[int, int, int]
) -> NoReturn:
    """In a child that has just been forked: become a program, in a session of its own."""
    try:
        os.setsid()
        os.chdir(folder)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        os.closerange(3, 1 << 16)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _prctl(_SET_DUMPABLE, 1)
        with suppress(OSError), open("/proc/self/oom_score_adj", "wb") as score:
            score.write(_EXPENDABLE)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def parents() -> dict[int, int]:
    """Each process that there is, and who its parent is."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return found


def descendants(of: int, known: Collection[int]) -> Iterator[int]:
    """All that come from a process, but not through those that are known."""
    tree = parents()
    look = [of]
    while look:
        parent = look.pop()
        for child in [
            each for each, its_parent in tree.items() if its_parent == parent and each not in known
        ]:
            yield child
            look.append(child)


def reap() -> Iterator[tuple[int, int]]:
    """The children that have ended, with their exit codes. Raises ChildProcessError if no child is left."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def end_all(known: Collection[int] = (), reaped: Callable[[int, int], None] = lambda pid, code: None) -> None:
    """End all that comes from this process but what is known, also what has left its session."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            for pid, code in reap():
                reaped(pid, code)
        except ChildProcessError:
            return
        left = list(descendants(os.getpid(), known))
        if not left:
            return
        if time.monotonic() > until:
            left = [-1]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
