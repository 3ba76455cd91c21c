"""The sandboxes that live in this process, one behind each container that is used.

A sandbox that nobody uses stays, since it holds the state of its Python: until another container needs its
place, or for as long as the container is kept. Who comes when all are in use waits.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from antiphon.containers.folder import Folder
from antiphon.containers.rules import Rules
from antiphon.guard.turns import Turns
from antiphon.sandbox.base import Sandbox, SandboxEnded
from antiphon.tools.containers import ContainerError

log = structlog.get_logger()


class NoPlace(ContainerError):
    """All sandboxes are in use, and have been for a while."""


@dataclass
class Seat:
    """A container's place among those that live."""

    key: int
    """The container's."""
    project: str
    idle_seconds: float
    """For which it stays when nobody uses it."""
    folder: Folder | None = None
    """What its sandbox has of the container's files."""
    sandbox: Sandbox | None = None
    users: int = 0
    last_used: float = 0.0
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def lives(self) -> bool:
        return self.sandbox is not None and self.sandbox.ended is None


class Sandboxes:
    """Places for sandboxes. The one who used his last loses it first."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._turns = Turns(rules.sandboxes, rules.project_sandboxes)
        self._seats: OrderedDict[int, Seat] = OrderedDict()

    @property
    def keys(self) -> list[int]:
        """The containers that have a place."""
        return list(self._seats)

    @asynccontextmanager
    async def turn(self, project: str) -> AsyncIterator[None]:
        """The right to use one for the block. Raises NoPlace."""
        granted = self._turns.turn(project)
        try:
            async with asyncio.timeout(self._rules.queue_seconds):
                await granted.__aenter__()
        except TimeoutError:
            raise NoPlace(
                "All containers that may run at once are busy ([sandbox] of this server). Please try again."
            ) from None
        try:
            yield
        finally:
            await granted.__aexit__(None, None, None)

    @asynccontextmanager
    async def place(self, key: int, project: str, idle_seconds: float) -> AsyncIterator[Seat]:
        """The container's place, which is used while the block runs. Who asks has a turn."""
        seat = self._seats.get(key)
        if seat is None:
            seat = self._seats[key] = Seat(key, project, idle_seconds)
        self._seats.move_to_end(key)
        seat.users += 1
        try:
            await self._make_room(project)
            yield seat
        finally:
            self._leave(seat)

    async def start(self, seat: Seat, start: Callable[[], Awaitable[Sandbox]]) -> Sandbox:
        """What lives in a place: `start` makes it, if nothing does. Raises what that raises; SandboxEnded
        when the place was taken away meanwhile."""
        async with seat.starting:
            if seat.sandbox is not None and seat.sandbox.ended is None:
                return seat.sandbox
            await _end(seat)
            sandbox = await start()
            if self._seats.get(seat.key) is not seat:
                await sandbox.close()
                raise SandboxEnded("The container was deleted, or is used elsewhere.")
            seat.sandbox = sandbox
            return sandbox

    async def drop(self, keys: Iterable[int]) -> None:
        """End those of the containers, whoever uses them."""
        for key in keys:
            seat = self._seats.pop(key, None)
            if seat is not None:
                await _end(seat)

    async def tidy(self) -> None:
        """End those that nobody used for long, and forget those that ended."""
        now = time.monotonic()
        await self.drop(
            seat.key
            for seat in list(self._seats.values())
            if not seat.users and (not seat.lives or now - seat.last_used > seat.idle_seconds)
        )

    async def close(self) -> None:
        await self.drop(self.keys)

    def _leave(self, seat: Seat) -> None:
        seat.users -= 1
        seat.last_used = time.monotonic()
        if not seat.lives and not seat.users and self._seats.get(seat.key) is seat:
            del self._seats[seat.key]

    async def _make_room(self, project: str) -> None:
        """There are as many turns as places, so some that has none is not used."""
        theirs = [seat for seat in self._seats.values() if seat.project == project]
        if len(theirs) > self._rules.project_sandboxes:
            await self._end_one(theirs)
        if len(self._seats) > self._rules.sandboxes:
            await self._end_one(list(self._seats.values()))

    async def _end_one(self, seats: Iterable[Seat]) -> None:
        idle = next((seat for seat in seats if not seat.users), None)
        if idle is not None:
            await self.drop([idle.key])


async def _end(seat: Seat) -> None:
    """Also one that is only starting."""
    sandbox, seat.sandbox = seat.sandbox, None
    if sandbox is not None:
        try:
            await sandbox.close()
        except Exception:  # its driver ends what is left with the server
            log.exception("a sandbox did not end", container=seat.key)
