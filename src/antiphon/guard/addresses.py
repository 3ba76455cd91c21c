"""Which addresses a connection may go to, checked where nothing can come between: when its socket is made.

A server that connects to what strangers name is a way into the network it stands in: to the cloud's metadata,
to databases that trust their neighbours. What counts is not what a name says but what it resolves to, in
every form in which an address can be written.
"""

import ipaddress
import socket
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from aiohttp import AddrInfoType

Reachable = Callable[[str], bool]
"""Whether an address, written as sockets are given it, may be connected to."""

NOT_PUBLIC = (
    "leads to an address that is not public. If requests may lead there, the operator of this server sets "
    "`[outbound] allow_private = true`"
)
"""What a client is answered whose URL was refused, behind the name of what it is the URL of."""

_RELAYS = ipaddress.ip_network("192.88.99.0/24")
"""Once the way to relays of 6to4 (RFC 7526); leads to whoever announces it now."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = "not a public address"


class Forbidden(OSError):
    """A connection to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an address, written as sockets are given it, is one that the whole internet can reach. An
    address that carries another one in it is as good as that one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        special = ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip in _RELAYS
        return ip.is_global and not special
    if ip.ipv4_mapped is not None:
        return is_public(str(ip.ipv4_mapped))
    if ip in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    tunnelled = ip.sixtofour is not None or ip.teredo is not None
    return ip in _UNICAST and ip.is_global and not tunnelled


def anywhere(address: str) -> bool:
    """For servers whose clients are trusted with their network."""
    return True


def as_address(host: str) -> str | None:
    """The IPv4 address that a host is to C programs, which read one in many forms (`127.1`, `0x7f000001`,
    `0177.0.0.1`, digits of other scripts). Our libraries connect to none of these, and do not say why."""
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".")
    try:
        return socket.inet_ntoa(socket.inet_aton(plain))
    except (OSError, UnicodeError, ValueError):
        return None


def parts_of(url: str) -> SplitResult | None:
    """The parts of a URL of HTTP; None: it is none, or nothing can be sent to it."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    blank = any(character <= " " or character == "\x7f" for character in url)
    return parts if fits and not blank else None


def written_address(host: str) -> str | None:
    """The address that stands in a URL in place of a name, in any form; None: it is a name."""
    return host if ":" in host else as_address(host)


def sockets(reachable: Reachable) -> "Callable[[AddrInfoType], socket.socket]":
    """Makes the sockets of an aiohttp connector; `reachable` is `is_public`, or `anywhere`."""
    return partial(_socket, reachable)


def is_forbidden(error: BaseException) -> bool:
    """Whether a connection failed because of it. With several addresses, what is raised names them all; its
    text is all that is left then."""
    cause = getattr(error, "os_error", error)
    return isinstance(cause, Forbidden) or _NOT_PUBLIC in str(cause)


def _socket(reachable: Reachable, info: "AddrInfoType") -> socket.socket:
    """The socket for a connection. Raises Forbidden."""
    family, kind, protocol, _, address = info
    if not reachable(str(address[0])):
        raise Forbidden(_NOT_PUBLIC)
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
