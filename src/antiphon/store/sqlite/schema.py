"""The file: made if there is none, and brought up to date."""

import os
import sqlite3
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from antiphon.store.errors import Incompatible
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
    scripts = _scripts()
    with transaction(db):
        done = int(db.execute("PRAGMA user_version").fetchone()[0])
        if done > len(scripts):
            raise Incompatible(f"The database has schema {done}, from a newer version of Antiphon.")
        for script in scripts[done:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(scripts)}")


def _scripts() -> list[str]:
    folder = files("antiphon.store") / "migrations" / "sqlite"
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return [script.read_text(encoding="utf-8") for script in scripts]


def _statements(script: str) -> Iterator[str]:
    """One by one, since `executescript` would commit before it starts."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
