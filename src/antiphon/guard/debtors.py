"""Clients that owe the rest of a request. They are not waited for longer than needed, nor too many at once.

A connection costs memory and a descriptor, and whoever can reach the server can open one, say a little, and
stop (slowloris). One timer looks after all that wait: a request that arrives whole costs none.
"""

import asyncio
from typing import Protocol


class Debtor(Protocol):
    """A connection whose client owes something."""

    def is_overdue(self, now: float) -> bool:
        """Whether it has had its time; `now` is the event loop's."""

    def give_up(self) -> None:
        """Ends it. It removes itself."""


class Debtors:
    """Those that owe the same thing, oldest first. When there are more than `most` the oldest is given up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, seconds: float) -> None:
        self._loop = loop
        self._most = most
        self._seconds = seconds
        self._owing: dict[Debtor, None] = {}
        self._looks = False
        """Whether the timer runs. It is not kept: a server that ends would be left in a cycle with it."""

    def __len__(self) -> int:
        return len(self._owing)

    def add(self, debtor: Debtor) -> None:
        """It owes from now on."""
        self._owing[debtor] = None
        if len(self._owing) > self._most:
            next(iter(self._owing)).give_up()
        if not self._looks:
            self._look_later()

    def remove(self, debtor: Debtor) -> None:
        """It owes nothing any more."""
        self._owing.pop(debtor, None)

    def _look(self) -> None:
        """Each `seconds`, as long as anybody owes."""
        now = self._loop.time()
        for debtor in [each for each in self._owing if each.is_overdue(now)]:
            debtor.give_up()
        self._looks = False
        if self._owing:
            self._look_later()

    def _look_later(self) -> None:
        self._looks = True
        self._loop.call_later(self._seconds, self._look)
