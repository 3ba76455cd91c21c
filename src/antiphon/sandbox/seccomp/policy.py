"""What the filters make of each system call. The verdicts are in `calls.tsv`, beside the calls' numbers.

Whatever is not allowed there does not exist inside (ENOSYS), and programs fall back on what is older; what
attackers ask for first is refused outright (EPERM). Allowed is what container engines of the field allow,
without what needs a capability, without memory that belongs to no process (memfd, System V and POSIX queues),
and without io_uring and AIO.
"""

from importlib import resources

from msgspec import Struct

MACHINES = ("x86_64", "aarch64")

# What calls may be asked for whose verdict depends on it.
NAMESPACES = 0x7E020000
"""The flags of clone() that make namespaces."""
SAME_PERSONALITY = (0x0, 0xFFFFFFFF)
TERMINAL_INPUT = (0x5412, 0x541C)
"""The ioctls TIOCSTI and TIOCLINUX: they put input into a terminal that may be somebody else's."""
FILE_TYPE = 0o170000
DEVICE_TYPES = (0o060000, 0o020000)
UNIX = 1
NETLINK = 16
"""libzmq and getifaddrs ask for interfaces (NETLINK_ROUTE, which is 0); there is only the loopback to see."""
INTERNET = (2, 10)
"""AF_INET and AF_INET6."""
INTERNET_PROTOCOLS = (0, 6, 17)
"""TCP and UDP, and what stands for one of them."""


class Call(Struct, frozen=True):
    """A system call of a kind of machine."""

    name: str
    number: int
    verdict: str
    """`allow`, `refuse`, `depends` or `-`."""


def calls(machine: str) -> list[Call]:
    """The calls of a kind of machine."""
    table = resources.files(__package__ or "").joinpath("calls.tsv").read_text(encoding="ascii")
    column = 1 + MACHINES.index(machine)
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return [Call(row[0], int(row[column]), row[3]) for row in rows if row[column] != "-"]
