"""The filters of system calls are those that the policy makes, and say what it says."""

import errno
import struct

import pytest

from antiphon.sandbox import seccomp
from antiphon.sandbox.seccomp import make, policy

ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NOT_THERE, REFUSED = FAIL | errno.ENOSYS, FAIL | errno.EPERM


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would make of a call: classic BPF over the form of seccomp_data."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    steps = list(struct.iter_unpack("<HBBI", program))
    at, value = 0, 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            value &= operand
        elif code == 0x06:
            return int(operand)
        else:
            test = {
                0x15: value == operand,
                0x25: value > operand,
                0x35: value >= operand,
                0x45: value & operand,
            }
            at += yes if test[code] else no


@pytest.fixture(params=seccomp.MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def decide(machine: str, name: str, *arguments: int) -> int:
    number = next(call.number for call in policy.calls(machine) if call.name == name)
    return verdict(make.build(machine), ARCHITECTURES[machine], number, *arguments)


def test_the_filters_are_those_that_are_made_now(machine: str) -> None:
    assert seccomp.program(machine) == make.build(machine)


def test_each_call_has_the_verdict_of_the_table(machine: str) -> None:
    expected = {"allow": ALLOW, "refuse": REFUSED, "-": NOT_THERE}
    calls = [call for call in policy.calls(machine) if call.verdict != "depends"]

    assert len(calls) > 280
    for call in calls:
        assert decide(machine, call.name) == expected[call.verdict], call.name


def test_what_no_table_knows_does_not_exist(machine: str) -> None:
    known = {call.number for call in policy.calls(machine)}
    for number in set(range(1000)) - known:
        assert verdict(make.build(machine), ARCHITECTURES[machine], number) == NOT_THERE


def test_a_call_of_another_architecture_is_the_end(machine: str) -> None:
    for other in (0x40000003, 0x40000028, *ARCHITECTURES.values()):
        if other != ARCHITECTURES[machine]:
            assert verdict(make.build(machine), other, 0) == KILL


def test_numbers_of_the_x32_kind_do_not_exist() -> None:
    for call in policy.calls("x86_64"):
        assert verdict(make.build("x86_64"), ARCHITECTURES["x86_64"], 0x40000000 | call.number) == NOT_THERE


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", [17], ALLOW),
        ("clone", [0x3D0F00], ALLOW),
        *(("clone", [17 | flag], REFUSED) for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000)),
        *(("clone", [17 | flag], REFUSED) for flag in (0x10000000, 0x20000000, 0x40000000)),
        ("socket", [1, 1, 0], ALLOW),
        ("socket", [2, 1, 6], ALLOW),
        ("socket", [10, 2, 17], ALLOW),
        ("socket", [16, 3, 0], ALLOW),
        ("socket", [2, 1, 132], FAIL | errno.EPROTONOSUPPORT),
        ("socket", [16, 3, 12], FAIL | errno.EPROTONOSUPPORT),
        *(("socket", [family, 1, 0], FAIL | errno.EAFNOSUPPORT) for family in (0, 17, 38, 40, 44, 2**31)),
        ("ioctl", [0, 0x5401], ALLOW),
        ("ioctl", [0, 0x5412], REFUSED),
        # The kernel reads no more than the lower half of a request.
        ("ioctl", [0, 0x1_0000_5412], REFUSED),
        ("ioctl", [0, 0x541C], REFUSED),
        ("personality", [0xFFFFFFFF], ALLOW),
        ("personality", [0], ALLOW),
        ("personality", [0x40000], REFUSED),
        ("mknodat", [0, 0, 0o10644], ALLOW),
        ("mknodat", [0, 0, 0o100644], ALLOW),
        ("mknodat", [0, 0, 0o60644], REFUSED),
        ("mknodat", [0, 0, 0o20644], REFUSED),
    ],
)
def test_calls_that_depend_on_what_they_are_asked_for(
    machine: str, name: str, arguments: list[int], expected: int
) -> None:
    assert decide(machine, name, *arguments) == expected


def test_there_is_no_filter_for_an_unknown_machine() -> None:
    assert seccomp.program("riscv64") is None
