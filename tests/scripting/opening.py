"""What a process can open, asked from within it."""

import socket
from collections.abc import Callable


def opened(path: str) -> list[bool]:
    """Whether a file can be read, and a socket opened."""
    return [_works(lambda: open(path).close()), _works(lambda: socket.socket().close())]


def _works(opens: Callable[[], None]) -> bool:
    try:
        opens()
    except OSError:
        return False
    return True
