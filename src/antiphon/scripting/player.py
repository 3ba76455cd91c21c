"""Plays programs in child processes, each from its start and with what was recorded of it."""

import asyncio
from importlib.util import find_spec

import msgspec

from antiphon.guard.pool import Busy, Limits, Overrun, Pool
from antiphon.scripting.program import Played, Script, check

SECONDS = 5.0
"""Of processor time, for each time that a program is played."""
_LIMITS = Limits(
    children=2, seconds=SECONDS, memory=512 * 2**20, counted="data", calls=200, serves="one owner"
)


_BUSY = "Error: the server is too busy to run the program; it may run later"
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
            played: Played = await self._pool.call(
                "antiphon.scripting.v8:play", data, owner=owner, result=Played
            )
            # What a child tells need not be what its code would have it tell.
            await asyncio.to_thread(check, played, script)
            return played
        except ValueError as fault:
            return Played([], [], f"Error: {fault}"[:_MOST_WORDS])
        except Busy:
            return Played([], [], _BUSY)
        except Overrun:
            words = (
                f"Error: the program took more than {self._seconds:g} s of processor time, or too much memory"
            )
            return Played([], [], words)

    async def close(self) -> None:
        await self._pool.close()
