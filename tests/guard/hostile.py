"""What a child process may be made to do."""

import os
import time
from pathlib import Path


def add(one: int, other: int) -> int:
    return one + other


def sizes(*arguments: bytes | str) -> list[tuple[int, bytes | str]]:
    """How long each is, and how it begins."""
    return [(len(each), each[:3]) for each in arguments]


def numbers(count: int) -> list[int]:
    return list(range(count))


def pid() -> int:
    return os.getpid()


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def grow(megabytes: int) -> int:
    return len(bytearray(megabytes * 2**20))


def crash() -> None:
    os.abort()


def chatter() -> str:
    print("what a library prints")
    os.write(1, b"and what native code prints")
    return "said"


def fail() -> None:
    raise ValueError("in words")


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return "there"


def surroundings() -> list[str]:
    return sorted(os.environ)
