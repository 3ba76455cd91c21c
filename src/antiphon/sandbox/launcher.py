"""Starts bubblewrap. What it starts ends when the thread ends that started it, so one thread starts all."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import IO

from antiphon.sandbox import arguments, problems
from antiphon.sandbox.base import SandboxUnavailable

_PATIENCE = 10.0
"""Seconds until all that runs inside has ended that was killed."""
_WORDS = 4096
"""Bytes of what bubblewrap says when it fails."""


class Launched:
    """A bubblewrap that runs, and the process inside that all others come from."""

    def __init__(
        self, process: subprocess.Popen[bytes], words: IO[bytes], channel: socket.socket, info: IO[bytes]
    ) -> None:
        self._process = process
        self._words = words
        self._info = info
        self._channel: socket.socket | None = channel
        self.pid = 0
        """Of process 1 inside, as it is known here."""
        self._handle: int | None = None

    def meet(self) -> None:
        """Wait until process 1 is there. Raises SandboxUnavailable, with what bubblewrap said."""
        said = self._info.read()
        try:
            self.pid = int(json.loads(said)["child-pid"])
            self._handle = os.pidfd_open(self.pid)
        except (ValueError, KeyError, OSError) as error:
            raise SandboxUnavailable(problems.explain(self.end())) from error

    def take_channel(self) -> socket.socket:
        """The socket of the agent; who takes it closes it."""
        assert self._channel is not None
        channel, self._channel = self._channel, None
        return channel

    def end(self) -> str:
        """End all that runs inside, and wait for it; what bubblewrap has said."""
        if self._channel is not None:
            self._channel.close()
        self._info.close()
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            ended = select.poll()
            ended.register(self._handle, select.POLLIN)
            ended.poll(_PATIENCE * 1000)
            os.close(self._handle)
            self._handle = None
        else:
            self._process.kill()
        self._process.wait()
        if self._words.closed:
            return ""
        with self._words:
            self._words.seek(0)
            return self._words.read(_WORDS).decode(errors="replace").strip()


class Launcher:
    """The thread, for as long as this object is used."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sandbox-launcher")

    async def launch(self, program: str, options: Sequence[str], filter: bytes) -> Launched:
        """Start bubblewrap. Raises SandboxUnavailable."""
        work = self._thread.submit(_launch, program, options, filter)
        try:
            return await asyncio.shield(asyncio.wrap_future(work))
        except asyncio.CancelledError:
            work.add_done_callback(lambda done: done.exception() or done.result().end())
            raise

    def close(self) -> None:
        self._thread.shutdown(wait=False)


def _launch(program: str, options: Sequence[str], filter: bytes) -> Launched:
    with ExitStack() as kept, ExitStack() as passed:
        ours, theirs = socket.socketpair()
        kept.callback(ours.close)
        passed.enter_context(theirs)
        reading, writing = os.pipe()
        info = kept.enter_context(open(reading, "rb"))
        told = passed.enter_context(open(writing, "wb"))
        words = kept.enter_context(tempfile.TemporaryFile())
        rules = passed.enter_context(_held(filter))
        more = ["--seccomp", str(rules.fileno()), "--info-fd", str(told.fileno()), ""]
        given = passed.enter_context(_held("\0".join([*options, *more]).encode()))
        try:
            process = subprocess.Popen(
                [program, "--args", str(given.fileno()), "--", *arguments.command(theirs.fileno())],
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=[each.fileno() for each in (theirs, told, rules, given)],
            )
        except OSError as error:
            raise SandboxUnavailable(f"{program} does not start: {error.strerror}.") from error
        kept.pop_all()
        return Launched(process, words, ours, info)


def _held(content: bytes) -> IO[bytes]:
    """A file without a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(content)
    file.seek(0)
    return file
