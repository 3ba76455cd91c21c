"""Ports for servers that are started in processes of their own."""

import os
import socket
import weakref


class Port:
    """A free port of loopback that is given to nobody else as long as this object lives: not while its server
    starts, and not between two starts. Servers listen there all the same, since they say SO_REUSEADDR."""

    def __init__(self) -> None:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self.number: int = held.getsockname()[1]
        weakref.finalize(self, os.close, held.detach())
