"""How long the server's event loop is held: `/healthz` is asked again and again, from a process of its own.

    python -m tests.attack.probe HOST PORT

A line for each answer: when it was asked for, in seconds of the system's monotonic clock, and how long it
took.
"""

import socket
import subprocess
import sys
import threading
import time
from typing import NamedTuple, Self

EVERY = 0.02
_ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Held(NamedTuple):
    asked: float
    seconds: float


class Probe:
    """The probe, running beside an attack."""

    def __init__(self, address: tuple[str, int]) -> None:
        command = [sys.executable, "-m", "tests.attack.probe", *map(str, address)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._seen: list[Held] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def worst(self, begun: float, ended: float) -> float:
        """The longest wait for an answer that was asked for between two moments. What is not answered yet
        counts with the time that it has waited."""
        waits = [held for held in list(self._seen) if begun - EVERY <= held.asked <= ended]
        last = self._seen[-1] if self._seen else Held(begun, 0.0)
        silent = max(0.0, ended - (last.asked + last.seconds) - 2 * EVERY)
        return max([silent, *(held.seconds for held in waits)], default=silent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            asked, _, seconds = line.partition(" ")
            if line.endswith("\n"):  # else it was killed in the middle of it
                self._seen.append(Held(float(asked), float(seconds)))


def main(host: str, port: int) -> None:
    while True:
        try:
            with socket.create_connection((host, port)) as connection:
                _ask_on(connection)
        except OSError:
            time.sleep(EVERY)


def _ask_on(connection: socket.socket) -> None:
    while True:
        asked = time.monotonic()
        connection.sendall(_ASK)
        if not connection.recv(4096):
            return
        print(asked, time.monotonic() - asked, flush=True)
        time.sleep(EVERY)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
