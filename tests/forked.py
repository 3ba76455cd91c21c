"""Servers and commands in processes of their own that need not import everything anew: they are forked from
one that has.

That takes away four fifths of what a start costs. That all starts from nothing is proven elsewhere
(`test_cli.py`, `chaos/`, `docs/`).
"""

import contextlib
import functools
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

import msgspec

_IMPORTED = (
    "antiphon.application",
    "antiphon.cli.commands",
    "antiphon.engines",
    "antiphon.worker",
    "uvicorn.loops.auto",
    "uvicorn.supervisors",
    "uvloop",
)


class Forked:
    """`python -m MODULE ARGUMENTS`, with what it writes to either stream. It leads a group of its own."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        read, write = os.pipe()
        with open(write, "wb"):
            self.pid = _mother().bear(_Wanted(module, arguments, environment), [write, write])
        self._descriptor = os.pidfd_open(self.pid)
        self.stdout: TextIO = open(read, encoding="utf-8", errors="replace")  # noqa: SIM115 - as Popen has it

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)

    def end(self, seconds: float) -> str:
        """What it said until it had ended."""
        ended, _, _ = select.select([self._descriptor], [], [], seconds)
        assert ended, "it did not end"
        os.close(self._descriptor)
        with self.stdout:
            return self.stdout.read()


def run(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """What becomes of `python -m MODULE ARGUMENTS` in a folder."""
    wanted = _Wanted(module, arguments, environment, str(folder))
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        read, write = os.pipe()
        with open(read, encoding="ascii") as code:
            with open(write, "wb"):
                pid = _mother().bear(wanted, [stdout.fileno(), stderr.fileno(), write])
            ended, _, _ = select.select([code], [], [], seconds)
            if not ended:
                os.killpg(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, seconds)
            status = int(code.read())
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, status, stdout.read(), stderr.read())


class _Wanted(msgspec.Struct):
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str = "."


class _Mother:
    """The process that servers are forked from, as tests see it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self._socket = ours

    def bear(self, wanted: _Wanted, descriptors: Sequence[int]) -> int:
        """The process that it has made, which writes its two streams there and, in the end, its exit code."""
        text = msgspec.json.encode(wanted)
        socket.send_fds(self._socket, [len(text).to_bytes(4)], descriptors)
        self._socket.sendall(text)
        return int.from_bytes(self._socket.recv(4))


@functools.cache
def _mother() -> _Mother:
    """One for all tests; it ends with its socket, which is to say with us."""
    return _Mother()


def _main(asking: socket.socket) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks what became of them
    while True:
        size, descriptors, _, _ = socket.recv_fds(asking, 4, 3)
        if not size:
            return
        wanted = msgspec.json.decode(asking.recv(int.from_bytes(size), socket.MSG_WAITALL), type=_Wanted)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asking.close()
            os.setsid()
            _become(wanted, *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        asking.sendall(pid.to_bytes(4))


def _become(wanted: _Wanted, stdout: int, stderr: int, code: int | None = None) -> None:
    if code is not None:
        _tell_end(code)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    os.chdir(wanted.folder)
    if wanted.environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
        # Other modules are to be found than those that are there: it starts from nothing.
        command = [sys.executable, "-m", wanted.module, *wanted.arguments]
        os.execve(sys.executable, command, wanted.environment)
    os.environ.clear()
    os.environ.update(wanted.environment)
    sys.argv = [wanted.module, *wanted.arguments]
    runpy.run_module(wanted.module, run_name="__main__", alter_sys=True)


def _tell_end(code: int) -> None:
    """Goes on in a process more. This one says how that has ended."""
    pid = os.fork()
    if pid == 0:
        os.close(code)
        return
    _, status = os.waitpid(pid, 0)
    os.write(code, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
