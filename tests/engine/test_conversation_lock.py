"""A conversation is locked as long as a response of it is made."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from antiphon.engine.conversation_lock import locked
from antiphon.protocol.errors import InvalidRequest
from antiphon.store.base import ConversationRow
from antiphon.store.open import open_store

P = "project"
LEASE = 1.5


def locked_until(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found: float = db.execute("SELECT locked_until FROM conversations").fetchone()[0]
        return found


def fail_until(path: Path, moment: float) -> None:
    """The disk refuses every change of a conversation until then."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(
            f"""CREATE TRIGGER refused BEFORE UPDATE ON conversations
            WHEN (julianday('now') - 2440587.5) * 86400 < {moment}
            BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"""
        )
        db.commit()


async def test_it_stays_locked_when_the_store_fails_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "antiphon.db"
    store = await open_store(f"sqlite:///{path}")
    try:
        await store.create_conversation(P, ConversationRow("conv_1", 1, b"{}"), ())
        async with locked(store, P, "conv_1", LEASE):
            first = locked_until(path)
            fail_until(path, time.time() + LEASE / 2)
            while time.time() < first + LEASE / 6:
                with pytest.raises((InvalidRequest, sqlite3.Error)):
                    async with locked(store, P, "conv_1", LEASE):
                        pass
        async with locked(store, P, "conv_1", LEASE):
            pass
    finally:
        await store.close()
