"""Plays programs in child processes, each from its start and with what was recorded of it."""

import asyncio
from importlib.util import find_spec

import msgspec

from antiphon.guard.pool import Limits, Overrun, Pool
from antiphon.scripting.program import Played, Script, check

SECONDS = 5.0
"""Of processor time, for each time that a program is played."""
_LIMITS = Limits(children=2, seconds=SECONDS, memory=512 * 2**20, counted="data", calls=200)


_MOST_WORDS = 1000
"""Characters of why a program was ended."""


def is_installed() -> bool:
    """Whether there is a V8 to play programs in."""
    return find_spec("py_mini_racer") is not None


class Player:
    """Plays programs."""

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._pool = Pool(limits)
        self._seconds = limits.seconds

    async def play(self, script: Script, owner: str = "") -> Played:
        """How far it comes; a program that takes too much has ended with a fault."""
        try:
            # As JSON, which has integers of any size; in a thread, since answers may be large.
            data = await asyncio.to_thread(msgspec.json.encode, script)
            played = await self._pool.call("antiphon.scripting.v8:play", data, owner=owner)
            return await asyncio.to_thread(_checked, played, script)
        except ValueError as fault:
            return Played([], [], f"Error: {fault}"[:_MOST_WORDS])
        except Overrun:
            words = (
                f"Error: the program took more than {self._seconds:g} s of processor time, or too much memory"
            )
            return Played([], [], words)

    async def close(self) -> None:
        await self._pool.close()


def _checked(told: object, script: Script) -> Played:
    """What a child told, which need not be what its code would have it tell. Raises ValueError."""
    played = msgspec.convert(told, Played)
    check(played, script)
    return played
