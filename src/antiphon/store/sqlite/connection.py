"""Connections to the file.

SQLite lets one connection write at a time. Other processes may write to the same file: a transaction begins
IMMEDIATE and waits for its turn. In WAL mode readers see the last commit and wait for nobody.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 15.0
"""How long a transaction waits for its turn."""
_STATEMENTS = 512
"""Statements that a connection keeps prepared."""

_NONE: dict[None, None] = {}

# What is neither text nor number is looked up among the adapters, and where there is none an exception is
# made and dropped for each value that is bound. These two give back what they are given.
sqlite3.register_adapter(bytes, bytes.__bytes__)
sqlite3.register_adapter(type(None), _NONE.get)

# FULL: what was committed survives a power cut too. Group commit makes it affordable.
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA journal_size_limit = {64 * 2**20}",
)
_WRITER_PRAGMAS = (
    # Deleting deletes: what was written is overwritten.
    "PRAGMA secure_delete = ON",
    # Fewer checkpoints write a page that changes often fewer times: the WAL may grow to 16 MB.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -16000",
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun in words."""
    db = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    for pragma in _PRAGMAS:
        db.execute(pragma)
    return db


def connect_writer(path: Path) -> sqlite3.Connection:
    db = connect(path)
    for pragma in _WRITER_PRAGMAS:
        db.execute(pragma)
    return db


def connect_reader(path: Path) -> sqlite3.Connection:
    db = connect(path)
    db.execute("PRAGMA query_only = ON")
    return db


@contextmanager
def transaction(db: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """All or nothing. A reader uses `BEGIN`, to see one state of the file in several queries."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise
