"""Rules as transactions, which may meet.

Rules run side by side, on this server and on others, at the isolation level READ COMMITTED: each statement
sees all that was committed when it began. What SQLite's one writer gives for nothing is had like this:

- A rule that changes what it names does so by a guarded statement (`UPDATE … WHERE … AND owner = $2`), which
  waits for whoever has the row, and then looks at its guard again.
- A rule that decides by what it read holds on to it first (`statements.Lock`, `/*! FOR UPDATE */`). What is
  appended to or pruned is a thread: its row is held. What is continued is a response: its row cannot be
  deleted meanwhile. A job and a run are held by whoever works on them. Rows that any process may take are
  taken by SKIP LOCKED.
- Rules that decide by much, and are rare (files and vector stores, containers and skills, prompts), run one
  at a time for each project (`statements.alone`).
- What is left are races that the constraints of the schema refuse: an item that is linked while it is
  forgotten, an id that is given twice at once, two that wait for each other. Then the rule is carried out
  again from its beginning, which sees what the other one did.

SERIALIZABLE would need none of that. But it lets transactions fail that have nothing to do with each other
(what a page of an index holds is one thing to it), and so most often where most is written; and what is
written at another level escapes it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, TypeVarTuple

import psycopg
from psycopg.errors import (
    AdminShutdown,
    DeadlockDetected,
    ForeignKeyViolation,
    SerializationFailure,
    UniqueViolation,
)

from antiphon.store.errors import AlreadyExists
from antiphon.store.faults import Unreachable
from antiphon.store.postgres.connections import Connection, Connections
from antiphon.store.postgres.driver import Several, drive, drive_one, execute
from antiphon.store.statements import Rows, Statement, Steps

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TRIES = 8
"""How often a rule is carried out that meets others."""
_PAUSE_SECONDS = 0.005
"""Before the second time; then twice as long, and so on."""
_IDS = "_id_key"
"""How constraints end that say that an id is given already: nothing to try again."""
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class _Lost(Exception):
    """The connection broke, and nothing was committed."""


async def write(connections: Connections, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
    """Raises what the rule raises, AlreadyExists, Unreachable and psycopg.Error."""
    lost = False
    for tries in range(1, TRIES + 1):
        try:
            async with connections.taken() as connection, _transaction(connection, _WRITE):
                return await drive(connection, rule(*arguments))
        except _Lost as error:
            await connections.forget()
            if lost:
                raise Unreachable(str(error)) from error.__cause__
            lost = True
        except (SerializationFailure, DeadlockDetected, ForeignKeyViolation, UniqueViolation) as error:
            if _is_taken(error) or tries == TRIES:
                raise _in_words(error) from error
        await asyncio.sleep(random.random() * _PAUSE_SECONDS * 2**tries)
    raise AssertionError


async def read(connections: Connections, rule: Callable[..., Steps[T]], *arguments: Any) -> T:
    """The same for a rule that only reads: one state of the database."""
    try:
        return await _read(connections, rule, *arguments)
    except _Lost:
        await connections.forget()
    try:
        return await _read(connections, rule, *arguments)
    except _Lost as error:
        raise Unreachable(str(error)) from error.__cause__


_several: set[Callable[..., Steps[Any]]] = set()
"""Rules that were found to read more than once: a single statement sees one state of itself."""


async def _read(connections: Connections, rule: Callable[..., Steps[T]], *arguments: Any) -> T:
    async with connections.taken() as connection:
        if rule not in _several:
            try:
                async with _statement(connection):
                    return await drive_one(connection, rule(*arguments))
            except Several:
                _several.add(rule)
        async with _transaction(connection, _READ):
            return await drive(connection, rule(*arguments))


@asynccontextmanager
async def _statement(connection: Connection) -> AsyncIterator[None]:
    """Raises _Lost."""
    try:
        yield
    except psycopg.Error as error:
        if _is_lost(connection, error):
            raise _Lost(str(error)) from error
        raise


async def single(connections: Connections, statement: Statement) -> Rows:
    """A statement that is a transaction. Raises Unreachable and psycopg.Error."""
    try:
        async with connections.taken() as connection, _statement(connection):
            return await execute(connection.cursor(binary=True), statement.text, statement.parameters)
    except _Lost as error:
        await connections.forget()
        if not isinstance(error.__cause__, AdminShutdown):
            raise Unreachable(str(error)) from error.__cause__
    # That was told instead of a result, so nothing was committed.
    try:
        async with connections.taken() as connection, _statement(connection):
            return await execute(connection.cursor(binary=True), statement.text, statement.parameters)
    except _Lost as error:
        raise Unreachable(str(error)) from error.__cause__


@asynccontextmanager
async def _transaction(connection: Connection, begin: str) -> AsyncIterator[None]:
    """All or nothing. Raises _Lost while it is certain that nothing was committed, then Unreachable."""
    try:
        await connection.execute(begin)
        yield
    except BaseException as error:
        if isinstance(error, psycopg.Error) and _is_lost(connection, error):
            raise _Lost(str(error)) from error
        with suppress(psycopg.Error):
            await connection.execute("ROLLBACK")
        raise
    try:
        await connection.execute("COMMIT")
    except psycopg.Error as error:
        if _is_lost(connection, error):
            raise Unreachable(str(error)) from error
        raise


def _is_lost(connection: Connection, error: psycopg.Error) -> bool:
    """Whether it is the connection that failed, and not what was asked for."""
    return connection.closed or (error.sqlstate or "")[:2] in ("08", "57") or error.sqlstate == "25006"


def _is_taken(error: psycopg.Error) -> bool:
    return isinstance(error, UniqueViolation) and (error.diag.constraint_name or "").endswith(_IDS)


def _in_words(error: psycopg.Error) -> Exception:
    return AlreadyExists(str(error)) if isinstance(error, UniqueViolation) else error
