"""Serves the requests of the server, as process 1 of a sandbox.

Requests and answers are JSON, each behind its length in four bytes. When the socket closes this process ends,
and with it everything.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import NoReturn

from antiphon.sandbox.agent.processes import Message, become, end_all, execute, reap
from antiphon.sandbox.agent.supervisor import Supervisor

_PIECE = 1 << 16
_MOST_FILES = 1 << 16


class Agent:
    """Serves requests until nobody asks any more."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._programs: set[int] = set()
        self._supervisors: dict[int, tuple[int, int]] = {}
        """By process: the request, and where its answer is read."""
        self._answers: dict[int, bytearray] = {}
        self._poll = select.poll()

    def serve(self) -> None:
        self._send({"up": True})
        become(self._receive())
        self._send({"ready": True})
        woken = self._wake_on_ended()
        self._poll.register(self._channel, select.POLLIN)
        self._poll.register(woken, select.POLLIN)
        while True:
            for stream, _ in self._poll.poll():
                if stream == woken:
                    os.read(woken, _PIECE)
                elif stream == self._channel.fileno():
                    self._serve(self._receive())
                else:
                    self._answer(stream)
            self._reap()

    @staticmethod
    def _wake_on_ended() -> int:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return reading

    def _receive(self) -> Message:
        (length,) = struct.unpack(">I", self._read(4))
        message: Message = json.loads(self._read(length))
        return message

    def _read(self, length: int) -> bytes:
        data = self._channel.recv(length, socket.MSG_WAITALL)
        if len(data) < length:
            os._exit(0)
        return data

    def _send(self, message: Message) -> None:
        data = json.dumps(message).encode()
        self._channel.sendall(struct.pack(">I", len(data)) + data)

    def _serve(self, request: Message) -> None:
        try:
            getattr(self, f"_serve_{request['do']}")(request)
        except OSError as error:
            self._send({"id": request["id"], "error": f"{error.strerror}"})

    def _serve_run(self, request: Message) -> None:
        reading, writing = os.pipe()
        supervisor = os.fork()
        if not supervisor:
            self._supervise(request, writing)
        os.close(writing)
        self._supervisors[supervisor] = (request["id"], reading)
        self._answers[reading] = bytearray()
        self._poll.register(reading, select.POLLIN)

    @staticmethod
    def _supervise(request: Message, writing: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.closerange(3, writing)
            os.closerange(writing + 1, _MOST_FILES)
            answer = json.dumps(Supervisor(request).run()).encode()
            with open(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)

    def _answer(self, stream: int) -> None:
        """Part of a supervisor's answer has come, or all of it."""
        if data := os.read(stream, _PIECE):
            self._answers[stream] += data
            return
        self._poll.unregister(stream)
        os.close(stream)
        supervisor = next(pid for pid, (_, its) in self._supervisors.items() if its == stream)
        request, _ = self._supervisors.pop(supervisor)
        answer = self._answers.pop(stream)
        if not answer:
            end_all({*self._programs, *self._supervisors}, self._ended)
        self._send({"id": request, "result": json.loads(answer) if answer else None})

    def _serve_stop(self, request: Message) -> None:
        for supervisor, (asked, _) in self._supervisors.items():
            if asked == request["request"]:
                os.kill(supervisor, signal.SIGTERM)

    def _serve_spawn(self, request: Message) -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        program = os.fork()
        if not program:
            signal.set_wakeup_fd(-1)
            environment = {**os.environ, **request["environment"]}
            execute(request["argv"], environment, request["folder"], (nothing, nothing, nothing))
        os.close(nothing)
        self._programs.add(program)
        self._send({"id": request["id"], "result": program, "started": program})

    def _serve_signal(self, request: Message) -> None:
        pid, number = request["pid"], request["signal"]
        if pid in self._programs:
            with suppress(ProcessLookupError):
                (os.killpg if request["group"] else os.kill)(pid, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            for pid, code in reap():
                self._ended(pid, code)

    def _ended(self, pid: int, code: int) -> None:
        if pid in self._programs:
            self._programs.discard(pid)
            self._send({"ended": pid, "code": code})


def main() -> None:
    # Of process 1 the kernel keeps signals from inside away, but those that it handles.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, _MOST_FILES)
        channel.set_inheritable(False)
        Agent(channel).serve()
