"""What the store stands on: something that carries out rules, and the one interface that a home has to offer.

The nouns of the store (`responses`, `runs`, …) are written once, over a `Database`. A second home is a second
class with these members; it may carry out a rule in a way of its own where that pays, since it is handed the
function and not the statements.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple

from antiphon.store.notices import Notices
from antiphon.store.statements import Steps

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")


class Database(Protocol):
    """Carries out rules, each in one transaction.

    A rule is handed over as a function and its arguments, because it may have to be carried out again from
    its beginning: when a write beside it failed, or when two processes met. So a rule must have no effect but
    its statements.
    """

    @property
    def clock(self) -> Callable[[], float]:
        """The time that leases are measured by, the same for all processes: seconds since the epoch."""

    @property
    def notices(self) -> Notices:
        """Wakes who waits for something to be written."""

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        """Done when it is durable. It is asked for by the call, in the order of the calls, and is carried out
        even when nobody awaits it any more."""

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> Awaitable[None]:
        """The same for a rule that does many things as well as one: those that wait are done in one go."""

    def later(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> None:
        """The same without waiting, and without a transaction of its own if others come soon. It is carried
        out within a second, and before the database is closed; a crash may lose it."""

    @property
    def reads_inline(self) -> bool:
        """Whether the event loop waits for a `read`: so it matters how large is what it gives."""

    async def read(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        """For what is small: a row, or a few. It sees one state of the database."""

    async def read_long(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        """For what may be large: whole histories, pages, logs."""

    async def count_bytes(self, wanted: bool) -> None:
        """Keep a table `stored_bytes (project_id, bytes)` from now on, which every write brings up to date in
        its own transaction, whichever process makes it; or no longer. A project may have several rows in it,
        which are added up."""

    async def close(self) -> None:
        """Finish what was asked for, then stop."""
