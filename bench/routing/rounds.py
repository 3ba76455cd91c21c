"""Processor time of something small, over many rounds: noise only adds to it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

ROUNDS = 40


class Figure(NamedTuple):
    """Microseconds."""

    least: float
    quartile: float


async def compared(cases: Mapping[str, Callable[[], Awaitable[int]]]) -> dict[str, Figure]:
    """All cases in turn, so that the same noise is in each. A case says how often it did its work."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            begun = time.process_time()
            done = await case()
            times[name].append((time.process_time() - begun) * 1e6 / done)
    return {name: Figure(min(each), sorted(each)[len(each) // 4]) for name, each in times.items()}
