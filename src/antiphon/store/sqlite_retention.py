"""What is over goes, a few at a time."""

import sqlite3

from antiphon.store import sqlite_responses as responses
from antiphon.store import sqlite_threads as threads


def expire_responses(db: sqlite3.Connection, before: float, limit: int) -> int:
    """Delete the oldest responses that were created before and are no longer made; gives how many went."""
    sql = """
        SELECT project_id, id FROM responses AS r
        WHERE created_at < ? AND NOT EXISTS (
            SELECT 1 FROM runs WHERE project_id = r.project_id AND id = r.id AND status <> 'ended')
        ORDER BY created_at LIMIT ?"""
    over = db.execute(sql, (before, limit)).fetchall()
    for project, response_id in over:
        responses.delete(db, project, response_id)
    return len(over)


def expire_left_items(db: sqlite3.Connection, before: float, limit: int) -> int:
    """Let go of items that conversations left when they were deleted, before; gives of how many
    conversations. Those that a response or a fork still goes through stay as long as that does."""
    sql = "SELECT id FROM threads WHERE left_at < ? ORDER BY left_at LIMIT ?"
    over = db.execute(sql, (before, limit)).fetchall()
    for (thread,) in over:
        db.execute("UPDATE threads SET left_at = NULL WHERE id = ?", (thread,))
        db.execute("UPDATE links SET state = 0 WHERE thread = ? AND state = 1", (thread,))
        threads.prune(db, thread)
    return len(over)
