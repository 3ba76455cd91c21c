"""The child process of a `Pool`: `python -m antiphon.guard.child MEMORY COUNTED`, with MEMORY in bytes.

It calls the functions that it is asked to, one after another, and ends when its standard input does: with its
parent, however that went. Calls and results are msgpack behind four bytes that say how long they are. Large
arguments follow their call as they are: to pack hundreds of megabytes would hold the parent's event loop.
"""

import contextlib
import os
import signal
import sys
from importlib import import_module
from math import ceil
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import Struct

HEAD = 4
"""Bytes of a length."""
Counted = Literal["addresses", "data"]
"""What of a process's memory is bounded: all its addresses, or those that it may write to."""


class Call(Struct, frozen=True, array_like=True):
    function: str
    """`module:name`"""
    arguments: list[Any]
    seconds: float
    """Of processor time. Whoever takes longer is ended by the system."""
    large: dict[int, int] = {}
    """The arguments that follow: their places, and how many bytes each has."""


class Result(Struct, frozen=True, array_like=True):
    value: Any = None
    fault: str | None = None
    """What the function raised, if it did."""


def framed(value: object) -> bytes:
    """A value, as it goes through a pipe."""
    data = msgspec.msgpack.encode(value)
    return len(data).to_bytes(HEAD) + data


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory(int(sys.argv[1]), sys.argv[2])
    calls, results = sys.stdin.buffer, _private_stdout()
    decode = msgspec.msgpack.Decoder(Call).decode
    while head := calls.read(HEAD):
        call = decode(calls.read(int.from_bytes(head)))
        for place, size in call.large.items():
            call.arguments[place] = calls.read(size)
        _limit_time(call.seconds)
        results.write(framed(_result(call)))
        results.flush()


def _result(call: Call) -> Result:
    module, _, name = call.function.partition(":")
    try:
        return Result(getattr(import_module(module), name)(*call.arguments))
    except (ValueError, RecursionError) as fault:
        return Result(fault=str(fault))
    except BaseException:  # noqa: BLE001 - what is left of this process is not to be trusted
        os._exit(1)


def _private_stdout() -> BinaryIO:
    """The pipe to the parent. What libraries print goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    return pipe


def _limit_memory(most: int, counted: str) -> None:
    """Where the system knows such limits: macOS counts what all processes share as well."""
    if sys.platform == "darwin":
        return
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        kind = resource.RLIMIT_DATA if counted == "data" else resource.RLIMIT_AS
        resource.setrlimit(kind, (most, most))


def _limit_time(seconds: float) -> None:
    """From now on, whatever was spent before."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (ceil(used.ru_utime + used.ru_stime + seconds), hard))


if __name__ == "__main__":
    main()
