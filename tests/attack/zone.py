"""A name server, as an attacker has one: what a name resolves to is for a table to say."""

import ipaddress
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from itertools import cycle

Records = Sequence[str]
"""Addresses; or a name, which the name that is asked for is another word for."""

_A, _CNAME, _AAAA = 1, 5, 28
_POINTER = b"\xc0\x0c"
"""The name that was asked for."""
_NONE = 3


class Zone:
    """The server, on UDP port 53 of an address, in a thread of its own. Each look-up of a name takes the next
    of its answers. Whoever looks up a name asks twice, for both kinds of addresses: that is one look-up."""

    def __init__(self, names: Mapping[str, Sequence[Records]], address: str = "127.0.0.1") -> None:
        self._names = {name: cycle(answers) for name, answers in names.items()}
        self._newest: dict[str, Records] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            asked, client = self._socket.recvfrom(4096)
            self._socket.sendto(self._answer(asked), client)

    def _answer(self, asked: bytes) -> bytes:
        name, end = _name(asked)
        (kind,) = struct.unpack_from("!H", asked, end)
        known = name.lower() in self._names
        answers = self._records(_POINTER, name.lower(), kind) if known else []
        head = asked[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8580 | _NONE, 1, len(answers), 0, 0)
        return head + asked[12 : end + 4] + b"".join(answers)

    def _records(self, owner: bytes, name: str, kind: int) -> list[bytes]:
        if kind == _A or name not in self._newest:
            self._newest[name] = next(self._names[name])
        found: list[bytes] = []
        for record in self._newest[name]:
            address = _address(record)
            if address is None:
                found.append(_record(owner, _CNAME, _labels(record)))
                found += self._records(_labels(record), record, kind) if record in self._names else []
            elif kind == (_A if address.version == 4 else _AAAA):
                found.append(_record(owner, kind, address.packed))
        return found


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _address(record: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(record)
    except ValueError:
        return None


def _labels(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _name(asked: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while size := asked[at]:
        labels.append(asked[at + 1 : at + 1 + size].decode(errors="replace"))
        at += 1 + size
    return ".".join(labels), at + 1
