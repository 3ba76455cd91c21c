"""What is to be written, as it is asked for.

Each write is a task, so it is carried out whether or not somebody still waits for it. Writes run side by
side. Yet a write that was left by who asked for it (he was cancelled) is done before one that is asked for
later begins: as he may have asked for both, and the second undoes the first.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

import structlog

from antiphon.store.faults import Unreachable
from antiphon.store.postgres import transactions
from antiphon.store.postgres.connections import Connections
from antiphon.store.statements import Steps

log = structlog.get_logger()

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")
Many: TypeAlias = Callable[[Sequence[Any]], Steps[None]]

BATCH = 64
"""As many are written in one transaction, if they wait."""
FLIGHTS = 2
"""Transactions of one rule at a time: what comes meanwhile is written together."""
LATER_SECONDS = 1.0
"""How long something may wait that nobody waits for."""


class Writer:
    """The writes of a process, for one event loop."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._running: set[asyncio.Task[None]] = set()
        self._left: set[asyncio.Task[None]] = set()
        """Those that nobody waits for any more."""
        self._waiting: defaultdict[Many, deque[tuple[Any, asyncio.Future[None]]]] = defaultdict(deque)
        self._flights: defaultdict[Many, int] = defaultdict(int)
        self._deferred: list[tuple[Many, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        self._write_deferred()
        return self._ask(transactions.write(self._connections, rule, *arguments))

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> Awaitable[None]:
        """A rule that does many things as well as one: those that wait are done in one go."""
        self._write_deferred()
        return self._ask(self._gathered(rule, argument))

    def later(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> None:
        self._check_open()
        self._deferred.append((rule, argument))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_SECONDS, self._write_deferred)

    async def close(self) -> None:
        """Finish what was asked for. What is asked for later raises RuntimeError."""
        self._write_deferred()
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The store is closed.")

    # ---- one by one ----

    def _ask(self, work: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        if self._closed:
            work.close()
            self._check_open()
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(_settle(outcome, work, tuple(self._left)))
        self._running.add(task)
        task.add_done_callback(self._forget)
        outcome.add_done_callback(lambda outcome: self._left.add(task) if outcome.cancelled() else None)
        return outcome

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._left.discard(task)

    # ---- together ----

    async def _gathered(self, rule: Many, argument: Any) -> None:
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[rule].append((argument, outcome))
        if self._flights[rule] < FLIGHTS:
            self._flights[rule] += 1
            try:
                await self._fly(rule)
            finally:
                self._flights[rule] -= 1
        await outcome

    async def _fly(self, rule: Many) -> None:
        """Write what waits for this rule, until nothing does."""
        await asyncio.sleep(0)  # others who ask in the same turn of the loop come along
        waiting = self._waiting[rule]
        while waiting:
            some = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
            try:
                await transactions.write(self._connections, rule, [argument for argument, _ in some])
            except Exception as error:  # noqa: BLE001 (raised again, where it belongs)
                if len(some) == 1 or isinstance(error, Unreachable):
                    for _, outcome in some:
                        outcome.set_exception(error)
                else:
                    await self._write_apart(rule, some)
            else:
                for _, outcome in some:
                    outcome.set_result(None)

    async def _write_apart(self, rule: Many, some: Sequence[tuple[Any, "asyncio.Future[None]"]]) -> None:
        for argument, outcome in some:
            try:
                await transactions.write(self._connections, rule, [argument])
            except Exception as error:  # noqa: BLE001 (raised again, where it belongs)
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

    # ---- later ----

    def _write_deferred(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deferred, self._deferred = self._deferred, []
        by_rule: defaultdict[Many, list[Any]] = defaultdict(list)
        for rule, argument in deferred:
            by_rule[rule].append(argument)
        for rule, some in by_rule.items():
            self._ask(self._note(rule, some)).cancel()  # nobody waits for it

    async def _note(self, rule: Many, some: Sequence[Any]) -> None:
        try:
            await transactions.write(self._connections, rule, some)
        except Exception as error:  # noqa: BLE001 (nobody waits for it)
            log.error("what was noted could not be written", error=str(error))


async def _settle(
    outcome: "asyncio.Future[T]", work: Coroutine[Any, Any, T], before: Sequence["asyncio.Task[None]"]
) -> None:
    """Whoever waited may have gone away; it is done all the same."""
    if before:
        await asyncio.wait(before)
    try:
        result = await work
    except Exception as error:  # noqa: BLE001 (raised again where it was asked for)
        if not outcome.done():
            outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)
