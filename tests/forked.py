"""Servers and commands in processes of their own that need not import everything anew: they are forked from
one that has.

That takes away four fifths of what a start costs. That all starts from nothing is proven elsewhere
(`test_cli.py`, `chaos/`, `docs/`).
"""

import atexit
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
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

_REPOSITORY = Path(__file__).parents[1]
_ENVIRONMENT = dict(os.environ)
"""Of the session: what a test sets is only for what that starts."""
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
        self._pipe, write = os.pipe()
        with open(write, "wb"):
            wanted = _Wanted(module, arguments, environment, os.getcwd())
            self._born = _mother().bear(wanted, write, write)
        self._said = b""
        """What nobody was told yet."""
        self.pid = self._born.pid
        self.returncode: int | None = None

    def says(self, words: str) -> bool:
        """Wait for a line with these words. Whether it came before the end."""
        while True:
            _, found, behind = self._said.partition(words.encode())
            if found and b"\n" in behind:
                self._said = behind.partition(b"\n")[2]
                return True
            if not self._read():
                return False

    def terminate(self) -> None:
        self._born.signal(signal.SIGTERM)

    def kill(self) -> None:
        """It, and whatever of its group has outlived it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self, seconds: float) -> str:
        """What it said until it had ended. Others that hold its pipe are not waited for."""
        until, watched = time.monotonic() + seconds, [self._pipe, self._born.code]
        while self._born.code in watched:
            left = until - time.monotonic()
            ready, _, _ = select.select(watched, [], [], max(0.0, left))
            assert ready, "it did not end"
            assert left > 0, "it did not end"
            if self._born.code in ready:
                watched.remove(self._born.code)
            elif not self._read():
                watched.remove(self._pipe)
        while time.monotonic() < until and select.select([self._pipe], [], [], 0)[0] and self._read():
            pass
        self.returncode = self._born.returncode()
        os.close(self._pipe)
        return self._said.decode(errors="replace")

    def _read(self) -> bool:
        """Whether there was more."""
        data = os.read(self._pipe, 2**16)
        self._said += data
        return bool(data)


def run(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """What becomes of `python -m MODULE ARGUMENTS` in a folder."""
    wanted = _Wanted(module, arguments, environment, str(folder))
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        born = _mother().bear(wanted, stdout.fileno(), stderr.fileno())
        ended, _, _ = select.select([born.code], [], [], seconds)
        if not ended:
            os.killpg(born.pid, signal.SIGKILL)
        status = born.returncode()
        if not ended:
            raise subprocess.TimeoutExpired(arguments, seconds)
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, status, stdout.read(), stderr.read())


class _Wanted(msgspec.Struct):
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str


class _Born:
    """A process of the mother's."""

    def __init__(self, pid: int, descriptor: int, code: int) -> None:
        self.pid = pid
        self.code = code
        """Where its exit code comes when it has ended."""
        self._descriptor = descriptor

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def returncode(self) -> int:
        """Once, when it has ended."""
        with open(self.code, encoding="ascii") as code:
            told = code.read()
        os.close(self._descriptor)
        if not told:
            raise ChildProcessError(_GONE)
        return int(told)


_GONE = "the process that others are forked from has ended"


class _Mother:
    """The process that servers are forked from, as tests see it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # What interrupts us does not interrupt her: she has to end those that she has forked.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=_REPOSITORY,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        self._socket = ours

    def bear(self, wanted: _Wanted, stdout: int, stderr: int) -> _Born:
        """The process that she has made, which writes its two streams there."""
        text = msgspec.json.encode(wanted)
        read, write = os.pipe()
        with open(write, "wb"):
            socket.send_fds(self._socket, [len(text).to_bytes(4)], [stdout, stderr, write])
        self._socket.sendall(text)
        pid, descriptors, _, _ = socket.recv_fds(self._socket, 4, 1)
        if len(pid) < 4:
            os.close(read)
            raise ChildProcessError(_GONE)
        return _Born(int.from_bytes(pid), descriptors[0], read)

    def close(self) -> None:
        """She ends, and all that she has forked."""
        self._socket.close()
        self._process.wait()


@functools.cache
def _mother() -> _Mother:
    """One for all tests; she ends with her socket, which is to say with us, however we end."""
    mother = _Mother()
    atexit.register(mother.close)
    return mother


class _Children:
    """Those that the mother has forked, as she sees them."""

    def __init__(self, asking: socket.socket) -> None:
        self._asking = asking
        self._living: dict[int, tuple[int, int]] = {}
        """By the descriptor of each: its id, and where its exit code goes."""

    def tend(self) -> tuple[_Wanted, Sequence[int]] | None:
        """In a child: what that is to become. Else this goes on until nobody is there who could ask."""
        with contextlib.suppress(ConnectionError):
            while True:
                ready, _, _ = select.select([self._asking.fileno(), *self._living], [], [])
                for descriptor in self._living.keys() & set(ready):
                    self._bury(descriptor)
                if self._asking.fileno() not in ready:
                    continue
                size, descriptors, _, _ = socket.recv_fds(self._asking, 4, 3)
                if not size:
                    break
                text = self._asking.recv(int.from_bytes(size), socket.MSG_WAITALL)
                if self._is_child(descriptors):
                    return msgspec.json.decode(text, type=_Wanted), descriptors[:2]
        for pid, _ in self._living.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        return None

    def _is_child(self, descriptors: Sequence[int]) -> bool:
        """Forks, and says who goes on."""
        *streams, code = descriptors
        pid = os.fork()
        if pid == 0:
            os.setsid()
            self._asking.close()
            for other, (_, its_code) in self._living.items():
                os.close(other)
                os.close(its_code)
            os.close(code)
            return True
        while os.getpgid(pid) != pid:  # else who kills its group might come too early
            time.sleep(0.001)
        for stream in streams:
            os.close(stream)
        descriptor = os.pidfd_open(pid)
        self._living[descriptor] = pid, code
        socket.send_fds(self._asking, [pid.to_bytes(4)], [descriptor])
        return False

    def _bury(self, descriptor: int) -> None:
        pid, code = self._living.pop(descriptor)
        _, status = os.waitpid(pid, 0)
        os.close(descriptor)
        with open(code, "w", encoding="ascii") as told, contextlib.suppress(BrokenPipeError):
            told.write(str(os.waitstatus_to_exitcode(status)))
            told.flush()


def _main(asking: socket.socket) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    wanted = _Children(asking).tend()
    if wanted is not None:
        _become(wanted[0], *wanted[1])


def _become(wanted: _Wanted, stdout: int, stderr: int) -> None:
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


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
