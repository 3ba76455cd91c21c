"""Sweeping in batches; and what was deleted before there was a retention."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest
from tests.store.contract.kit import Clock

from antiphon.store.retention import Retention, RetentionRule
from antiphon.store.sqlite.connection import connect
from antiphon.store.sqlite.database import open_sqlite


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "antiphon.db"


def limited(log: list[Sequence[float]], *answers: int) -> RetentionRule:
    left = list(answers)

    async def expire(before: float, limit: int) -> int:
        log.append((before, limit))
        return left.pop(0)

    return RetentionRule("things", 100, expire, batch=2)


async def test_a_sweep_goes_on_in_batches_until_one_is_not_full(clock: Clock) -> None:
    asked: list[Sequence[float]] = []

    await Retention([limited(asked, 2, 2, 1)], clock, pause=0).sweep()

    assert asked == [(clock.now - 100, 2)] * 3


async def test_conversations_deleted_before_there_was_a_retention_count_from_now(file: Path) -> None:
    scripts = sorted((resources.files("antiphon.store") / "migrations" / "sqlite").iterdir(), key=str)
    db = connect(file)
    for script in scripts[:4]:
        db.executescript(script.read_text(encoding="utf-8"))
    db.executescript("""
        INSERT INTO threads (project_id, next_position, conversation_id)
            VALUES ('p', 0, 'gone'), ('p', 0, 'alive'), ('p', 0, NULL);
        INSERT INTO conversations (project_id, id, created_at, metadata) VALUES ('p', 'alive', 1, x'7b7d');
        PRAGMA user_version = 4;
    """)

    store = await open_sqlite(file)

    found = db.execute("SELECT conversation_id, abs(left_at - strftime('%s', 'now')) < 60 FROM threads")
    assert dict(found.fetchall()) == {"gone": 1, "alive": None, None: None}
    db.close()
    await store.close()
