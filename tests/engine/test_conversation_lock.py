"""A conversation is locked as long as a response of it is made."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from antiphon.engine.conversation_lock import locked
from antiphon.protocol.errors import InvalidRequest
from antiphon.store.conversations import ConversationRow
from antiphon.store.open import open_store
from antiphon.store.store import Store

P = "project"
LEASE = 4.5


def locked_until(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found: float = db.execute("SELECT locked_until FROM conversations").fetchone()[0]
        return found


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
        db.execute(statement)
        db.commit()


async def attempt(store: Store) -> None:
    """Somebody else wants the conversation, and does not get it."""
    with pytest.raises((InvalidRequest, sqlite3.Error)):
        async with locked(store, P, "conv_1", LEASE):
            pass


async def test_it_stays_locked_when_the_store_fails_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.db"
    store = await open_store(f"sqlite:///{path}")
    try:
        await store.conversations.create(P, ConversationRow("conv_1", 1, b"{}"), ())
        with capture_logs() as logs:
            async with locked(store, P, "conv_1", LEASE):
                first = locked_until(path)
                change(
                    path,
                    "CREATE TRIGGER refused BEFORE UPDATE ON conversations "
                    "BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END",
                )
                while not logs:  # until a renewal has failed
                    await attempt(store)
                change(path, "DROP TRIGGER refused")
                while locked_until(path) == first:  # until one has not
                    await attempt(store)
                await attempt(store)
        async with locked(store, P, "conv_1", LEASE):
            pass
    finally:
        await store.close()
