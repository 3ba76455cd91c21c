"""The file: made if there is none, and brought up to date.

Scripts only add, so that a server of the version before works on a file which a newer one has brought up to
date: while both run, and after a step back. A script that would break it says, in its first line, which
scripts a server has to know to bear it: `-- needs 7`. `user_version` is the number of the last script, and
`application_id` of what has to be known.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from antiphon.store.errors import Incompatible
from antiphon.store.migrations import needs, newer, scripts_of
from antiphon.store.sqlite.connection import BUSY_SECONDS, connect_writer, transaction

# RETURNING came with 3.35, STRICT tables with 3.37.
OLDEST_SQLITE = (3, 37)


def prepare(path: Path) -> sqlite3.Connection:
    """Create the file if there is none, bring it up to date, and give the connection to write with.

    Raises Incompatible.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Incompatible(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only the owner may read what people said to a model. The WAL takes over the file's permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = connect_writer(path)
    try:
        _use_wal(db)
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Changing the mode does not wait for a lock, as everything else does. So wait here."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(db: sqlite3.Connection) -> None:
    """Run the scripts that this file has not seen. Another process may be about to do the same."""
    scripts = scripts_of("sqlite")
    with transaction(db):
        done, needed = _number(db, "user_version"), _number(db, "application_id")
        if needed > len(scripts):
            raise Incompatible(newer(done, len(scripts)))
        for number, script in enumerate(scripts[done:], done + 1):
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            if needs(script):
                db.execute(f"PRAGMA application_id = {needs(script)}")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """One by one, since `executescript` would commit before it starts."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
