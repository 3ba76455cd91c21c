"""Servers in processes of their own that need not import everything anew: they are forked from one that has.

That takes away four fifths of what a start costs. That a server starts from nothing is proven elsewhere
(`test_cli.py`, `chaos/`).
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

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
            wanted = {"module": module, "arguments": list(arguments), "environment": dict(environment)}
            self.pid = _mother().bear(wanted, write)
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


class _Mother:
    """The process that servers are forked from, as tests see it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        self._socket = ours

    def bear(self, wanted: Mapping[str, Any], output: int) -> int:
        """The process that it has made."""
        text = json.dumps(wanted).encode()
        socket.send_fds(self._socket, [len(text).to_bytes(4)], [output])
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
        size, descriptors, _, _ = socket.recv_fds(asking, 4, 1)
        if not size:
            return
        wanted = json.loads(asking.recv(int.from_bytes(size), socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asking.close()
            _become(wanted, descriptors[0])
            return
        os.close(descriptors[0])
        asking.sendall(pid.to_bytes(4))


def _become(wanted: Mapping[str, Any], output: int) -> None:
    os.setsid()
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = [wanted["module"], *wanted["arguments"]]
    runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
