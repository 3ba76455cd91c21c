"""Users of this machine that nobody is: as root, each sandbox is one of its own.

Limits of processes count for each user. Numbers between those of people and those of services are nobody's by
the conventions of systemd (UIDS-GIDS: 60578 to 61183).
"""

import random
import socket
from typing import Self

from antiphon.sandbox.base import SandboxUnavailable

FIRST = 60600
COUNT = 580


class User:
    """A user that this process has for itself. The kernel takes it back when the process ends, since it is
    held by the name of a socket, which is in no folder."""

    def __init__(self, number: int, held: socket.socket) -> None:
        self.number = number
        self._held = held

    @classmethod
    def claim(cls) -> Self:
        """One that no server of this machine has. Raises SandboxUnavailable."""
        start = random.randrange(COUNT)
        for step in range(COUNT):
            number = FIRST + (start + step) % COUNT
            held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                held.bind(f"\0antiphon-sandbox-user-{number}")
            except OSError:
                held.close()
            else:
                return cls(number, held)
        raise SandboxUnavailable(f"All {COUNT} users for sandboxes of this machine are taken.")

    def release(self) -> None:
        self._held.close()
