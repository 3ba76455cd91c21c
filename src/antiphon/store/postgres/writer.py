"""What is to be written, as it is asked for.

Each write is a task, so it is carried out whether or not somebody still waits for it. Writes run side by
side. Yet a write that was left by who asked for it (he was cancelled) is done before one that is asked for
later begins: as he may have asked for both, and the second undoes the first.

What can be done together waits in a *lane* while as much as may be is on its way: the busier the process, the
more is done by one transaction.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

import psycopg
import structlog

from antiphon.store.faults import Unreachable
from antiphon.store.postgres import hot, transactions
from antiphon.store.postgres.connections import Connections
from antiphon.store.postgres.hot import Form
from antiphon.store.statements import Steps

log = structlog.get_logger()

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")
Many: TypeAlias = Callable[[Sequence[Any]], Steps[None]]
Outcomes: TypeAlias = Sequence[Exception | None]
"""None: done."""
_Together: TypeAlias = Callable[[Any, Sequence[Any]], Awaitable[Outcomes]]

BATCH = 64
"""As many are written in one transaction, if they wait."""
FLIGHTS = 2
"""Transactions of one lane at a time."""
LATER_SECONDS = 1.0
"""How long something may wait that nobody waits for."""


class _Lane:
    """What waits to be done together: arguments, each with what tells of its end."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Any, asyncio.Future[None]]] = deque()
        self.flights = 0


class Writer:
    """The writes of a process, for one event loop."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._running: set[asyncio.Task[None]] = set()
        self._left: set[asyncio.Task[None]] = set()
        """Those that nobody waits for any more."""
        self._lanes: defaultdict[Hashable, _Lane] = defaultdict(_Lane)
        self._deferred: list[tuple[Many, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        self._write_deferred()
        formed = hot.form_of(rule, arguments)
        if formed is not None:
            return self._ask(self._fly_as(*formed))  # type: ignore[arg-type]  # a form has no result, nor its rule
        return self._ask(transactions.write(self._connections, rule, *arguments))

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> Awaitable[None]:
        """A rule that does many things as well as one: those that wait are done in one go."""
        self._write_deferred()
        formed = hot.form_of(rule, (argument,))
        if formed is not None:
            return self._ask(self._fly_as(*formed))
        return self._ask(self._gathered(rule, argument, BATCH, self._write_many))

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

    async def _gathered(self, key: Any, argument: Any, most: int, carry_out: _Together) -> None:
        """Done with others of this key, at most so many."""
        lane = self._lanes[key]
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((argument, end))
        if lane.flights < FLIGHTS:
            lane.flights += 1
            try:
                await asyncio.sleep(0)  # others who ask in the same turn of the loop come along
                while lane.waiting:
                    some = [lane.waiting.popleft() for _ in range(min(most, len(lane.waiting)))]
                    outcomes = await carry_out(key, [argument for argument, _ in some])
                    for (_, end_of_one), error in zip(some, outcomes, strict=True):
                        _tell(end_of_one, error)
            finally:
                lane.flights -= 1
        await end

    async def _write_many(self, rule: Many, some: Sequence[Any]) -> Outcomes:
        """In one transaction; when that fails, each in one of its own."""
        try:
            await transactions.write(self._connections, rule, some)
        except Exception as error:  # noqa: BLE001 (raised again, where it belongs)
            if len(some) == 1 or isinstance(error, Unreachable):
                return [error] * len(some)
            return [await self._try(rule, [argument]) for argument in some]
        return [None] * len(some)

    async def _fly_as(self, form: Form, argument: Any) -> None:
        if form.most > 1:
            await self._gathered(form, argument, form.most, self._write_form)
            return
        (error,) = await self._write_form(form, [argument])
        if error is not None:
            raise error

    async def _write_form(self, form: Form, some: Sequence[Any]) -> Outcomes:
        """By one statement; what that does not do, by the rule."""
        try:
            rows = await transactions.single(self._connections, form.statement(some))
        except Unreachable as error:
            return [error] * len(some)
        except psycopg.Error:  # the rule finds out whose it is
            rows = []
        done = {number for (number,) in rows}
        return [
            None if number in done else await self._try(form.rule, argument)
            for number, argument in enumerate(some)
        ]

    async def _try(self, rule: Callable[[Any], Steps[None]], argument: Any) -> Exception | None:
        try:
            await transactions.write(self._connections, rule, argument)
        except Exception as error:  # noqa: BLE001 (raised again, where it belongs)
            return error
        return None

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
            self._ask(self._note(rule, some)).cancel()  # nobody waits for it, but who comes later

    async def _note(self, rule: Many, some: Sequence[Any]) -> None:
        error = await self._try(rule, some)
        if error is not None:
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


def _tell(end: "asyncio.Future[None]", error: Exception | None) -> None:
    if error is None:
        end.set_result(None)
    else:
        end.set_exception(error)
