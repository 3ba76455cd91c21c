"""Runs one command, in a process between it and the agent, to which all falls that the command leaves."""

import os
import select
import signal
import time
from contextlib import suppress

from antiphon.sandbox.agent.kept import Kept
from antiphon.sandbox.agent.processes import Message, adopt_orphans, end_all, execute

_PIECE = 1 << 16
_DRAIN = 64
"""Pieces that are still read when nobody is left to write; a pipe holds 16."""
_LOOK = 0.25
"""Seconds after which it is noticed at the latest that a command is to be stopped."""


class Supervisor:
    """A command that runs, and how it ends."""

    def __init__(self, request: Message) -> None:
        self._until = time.monotonic() + request["seconds"]
        self._most = request["most"]
        self._command = request["command"]

    def run(self) -> Message:
        adopt_orphans()
        signal.signal(signal.SIGTERM, self._stop)
        pipes = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        command = os.fork()
        if not command:
            streams = nothing, pipes[0][1], pipes[1][1]
            execute(["bash", "-c", self._command], dict(os.environ), os.getcwd(), streams)
        kept = {}
        for reading, writing in pipes:
            os.close(writing)
            os.set_blocking(reading, False)
            kept[reading] = Kept(self._most)
        code = self._watch(command, dict(kept))
        for stream in kept:
            self._drain(stream, kept[stream])
        out, error = kept.values()
        return {"stdout": out.text(), "stderr": error.text(), "exit_code": code}

    def _stop(self, *_: object) -> None:
        self._until = 0

    def _watch(self, command: int, open_streams: dict[int, Kept]) -> int | None:
        """Read until the command ends or its time is over; its exit code, as a shell has it."""
        ended = os.pidfd_open(command)
        poll = select.poll()
        for stream in (*open_streams, ended):
            poll.register(stream, select.POLLIN)
        while (left := self._until - time.monotonic()) > 0:
            ready = [stream for stream, _ in poll.poll(min(left, _LOOK) * 1000)]
            for stream in set(ready) & open_streams.keys():
                if not self._read(stream, open_streams[stream]):
                    poll.unregister(stream)
                    del open_streams[stream]
            if ended in ready:
                break
        codes: dict[int, int] = {}
        in_time = left > 0
        if not in_time:
            with suppress(ProcessLookupError):
                os.killpg(command, signal.SIGKILL)
        end_all(reaped=codes.__setitem__)
        code = codes.get(command, -signal.SIGKILL)
        return (code if code >= 0 else 128 - code) if in_time else None

    @staticmethod
    def _read(stream: int, kept: Kept) -> bool:
        data = os.read(stream, _PIECE)
        kept.add(data)
        return bool(data)

    @staticmethod
    def _drain(stream: int, kept: Kept) -> None:
        with suppress(BlockingIOError):
            for _ in range(_DRAIN):
                if not Supervisor._read(stream, kept):
                    return
