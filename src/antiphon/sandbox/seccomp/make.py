"""Makes the filters: `python -m antiphon.sandbox.seccomp.make`. Classic BPF, as seccomp(2) reads it."""

import errno
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

from antiphon.sandbox.seccomp import policy

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _AND = 0x20, 0x54
_EQUAL, _GREATER, _AT_LEAST, _ANY_BIT = 0x15, 0x25, 0x35, 0x45
_RETURN = 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000

_Instruction = tuple[int, int, int, int]
"""Code, steps to jump when it is true and when it is not, operand."""
_Block = list[_Instruction]


def _end(verdict: int) -> _Instruction:
    return (_RETURN, 0, 0, verdict)


def _fails(error: int) -> _Instruction:
    return _end(_FAIL | error)


def _argument(place: int) -> _Instruction:
    """The lower half of an argument: the kernel reads no more of those that are looked at here."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * place)


def _one_of(values: Sequence[int], then: _Block) -> _Block:
    """`then`, which must end in a verdict, if what is loaded is one of the values."""
    tests = [(_EQUAL, len(values) - place - 1, 0, value) for place, value in enumerate(values)]
    last = (_EQUAL, 0, len(then), values[-1])
    return [*tests[:-1], last, *then]


def _socket() -> _Block:
    protocol = _one_of(policy.INTERNET_PROTOCOLS, [_end(_ALLOW)])
    internet = [_argument(2), *protocol, _fails(errno.EPROTONOSUPPORT)]
    netlink = [_argument(2), *_one_of([0], [_end(_ALLOW)]), _fails(errno.EPROTONOSUPPORT)]
    return [
        _argument(0),
        *_one_of([policy.UNIX], [_end(_ALLOW)]),
        *_one_of(policy.INTERNET, internet),
        *_one_of([policy.NETLINK], netlink),
        _fails(errno.EAFNOSUPPORT),
    ]


def _device(mode: int) -> _Block:
    masked: _Block = [_argument(mode), (_AND, 0, 0, policy.FILE_TYPE)]
    return [*masked, *_one_of(policy.DEVICE_TYPES, [_fails(errno.EPERM)]), _end(_ALLOW)]


def _conditional() -> dict[str, _Block]:
    namespaces = (_ANY_BIT, 0, 1, policy.NAMESPACES)
    return {
        "clone": [_argument(0), namespaces, _fails(errno.EPERM), _end(_ALLOW)],
        "ioctl": [_argument(1), *_one_of(policy.TERMINAL_INPUT, [_fails(errno.EPERM)]), _end(_ALLOW)],
        "mknod": _device(1),
        "mknodat": _device(2),
        "personality": [
            _argument(0),
            *_one_of(policy.SAME_PERSONALITY, [_end(_ALLOW)]),
            _fails(errno.EPERM),
        ],
        "socket": _socket(),
    }


def _ranges(calls: Sequence[int]) -> Iterator[tuple[int, int]]:
    for _, members in groupby(enumerate(sorted(calls)), lambda each: each[1] - each[0]):
        found = [number for _, number in members]
        yield found[0], found[-1]


def _between(first: int, last: int, verdict: _Instruction) -> _Block:
    if first == last:
        return [(_EQUAL, 0, 1, first), verdict]
    return [(_AT_LEAST, 0, 2, first), (_GREATER, 1, 0, last), verdict]


def build(machine: str) -> bytes:
    """The filter. A call of another architecture than the machine's ends the process that makes it."""
    known = policy.calls(machine)
    head = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _ARCHITECTURES[machine]), _end(_KILL)]
    tests = _conditional()
    depending = [
        [(_EQUAL, 0, len(tests[call.name]), call.number), *tests[call.name]]
        for call in known
        if call.verdict == "depends"
    ]
    listed = []
    for verdict, end in (("allow", _end(_ALLOW)), ("refuse", _fails(errno.EPERM))):
        numbers = [call.number for call in known if call.verdict == verdict]
        listed += [_between(first, last, end) for first, last in _ranges(numbers)]
    program = [
        *head,
        (_LOAD, 0, 0, _NUMBER),
        *chain.from_iterable(depending),
        *chain.from_iterable(listed),
        _fails(errno.ENOSYS),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def main() -> None:
    for machine in policy.MACHINES:
        Path(__file__).with_name(f"{machine}.bpf").write_bytes(build(machine))


if __name__ == "__main__":
    main()
