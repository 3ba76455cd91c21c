"""A network of one's own, for this process and those that it starts: loopback alone, with whatever addresses
it is given, and names that a server of ours resolves. Nothing leaves it, and the machine's own is untouched.

Linux, as root, or where users may make namespaces.
"""

import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

_NEWNS, _NEWUSER, _NEWNET = 0x00020000, 0x10000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_SETFLAGS, _SETADDRESS, _INDEX = 0x8914, 0x8916, 0x8933
_UP_RUNNING_LOOPBACK = 0x1 | 0x40 | 0x8
_libc = ctypes.CDLL(None, use_errno=True)


class NotPermitted(Exception):
    """This machine does not let us have one; the message says what it refuses."""


def enter(place: Path, addresses: Iterable[str], nameserver: str = "127.0.0.1") -> None:
    """Move into one that has these addresses. `place`: a directory for its files. Call it before threads are
    started. Raises NotPermitted."""
    if os.name != "posix" or not hasattr(_libc, "unshare"):
        raise NotPermitted("only Linux has network namespaces")
    try:
        _unshare()
        _mount(None, "/", _RECURSIVE | _PRIVATE)
        _use(place, "/etc/resolv.conf", f"nameserver {nameserver}\noptions timeout:2 attempts:1\n")
        _use(place, "/etc/nsswitch.conf", "hosts: files dns\n")
        _use(place, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        _add_addresses(addresses)
    except OSError as refused:
        raise NotPermitted(f"no network namespace of our own: {refused}") from None


def _unshare() -> None:
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(_NEWNS | _NEWNET | (0 if uid == 0 else _NEWUSER)), "unshare")
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _use(place: Path, file: str, text: str) -> None:
    """Another content for a file, as long as we are here."""
    ours = place / Path(file).name
    ours.write_text(text)
    target = os.path.realpath(file)
    if os.path.exists(target):
        _mount(str(ours), target, _BIND)


def _mount(source: str | None, target: str, flags: int) -> None:
    made = _libc.mount(source.encode() if source else None, target.encode(), None, flags, None)
    _check(made, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _add_addresses(addresses: Iterable[str]) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        fcntl.ioctl(four, _SETFLAGS, struct.pack("16sH14x", b"lo", _UP_RUNNING_LOOPBACK))
        found = fcntl.ioctl(four, _INDEX, struct.pack("16s16x", b"lo"))
        (index,) = struct.unpack_from("i", found, 16)
        for number, address in enumerate(map(ipaddress.ip_address, addresses)):
            if address.version == 4:
                name = f"lo:{number}".encode()
                family = struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
                fcntl.ioctl(four, _SETADDRESS, struct.pack("16s16s", name, family))
            else:
                fcntl.ioctl(six, _SETADDRESS, struct.pack("=16sIi", address.packed, 128, index))
