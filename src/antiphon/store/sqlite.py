"""The embedded home: one SQLite file.

`sqlite_connection` has the threads that write and read, `sqlite_threads` the rules of what is kept,
`sqlite_responses` and `sqlite_conversations` the queries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from antiphon.store import sqlite_conversations as conversations
from antiphon.store import sqlite_responses as responses
from antiphon.store import sqlite_retention as retention
from antiphon.store.base import ConversationRow, ItemRow, Page, PageQuery, ResponseRow, StoredResponse
from antiphon.store.sqlite_connection import Readers, Writer, prepare, transaction
from antiphon.store.sqlite_files import SqliteFiles
from antiphon.store.sqlite_presence import Presence
from antiphon.store.sqlite_prompts import SqlitePrompts
from antiphon.store.sqlite_runs import SqliteRuns, free_all
from antiphon.store.sqlite_webhooks import SqliteWebhooks


class SqliteStore:
    """A `Store` in a file, which other processes may use at the same time."""

    def __init__(
        self, writer: Writer, readers: Readers, presence: Presence, clock: Callable[[], float]
    ) -> None:
        self._presence = presence
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self.files = SqliteFiles(writer, readers, clock)
        self.prompts = SqlitePrompts(writer, readers)
        self.runs = SqliteRuns(writer, readers, clock)
        self.webhooks = SqliteWebhooks(writer, readers)

    @classmethod
    async def open(cls, path: str | Path, *, clock: Callable[[], float] = time.time) -> "SqliteStore":
        """Open the file, create it if there is none, and bring its schema up to date.

        `clock` gives the time that leases are measured by, the same for all processes.
        """
        path = Path(path)
        db = await asyncio.to_thread(prepare, path)
        presence = await asyncio.to_thread(Presence, path)
        with presence.arriving() as alone:
            if alone:
                with transaction(db):
                    free_all(db)
        return cls(Writer(db), Readers(path), presence, clock)

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._presence.leave()

    # ---- responses ----

    async def save_response(self, project: str, row: ResponseRow) -> None:
        await self._writer.share(responses.save_all, (project, row))

    async def response(self, project: str, response_id: str) -> StoredResponse | None:
        return self._readers.now(lambda db: responses.load(db, project, response_id))

    async def delete_response(self, project: str, response_id: str) -> bool:
        return await self._writer.run(lambda db: responses.delete(db, project, response_id))

    async def history(self, project: str, response_id: str) -> Sequence[bytes] | None:
        return await self._readers.apart(lambda db: responses.history(db, project, response_id))

    async def input_items(self, project: str, response_id: str, query: PageQuery) -> Page | None:
        return self._readers.now(lambda db: responses.input_items(db, project, response_id, query))

    async def item(self, project: str, item_id: str) -> bytes | None:
        return self._readers.now(lambda db: responses.item(db, project, item_id))

    # ---- conversations ----

    async def create_conversation(self, project: str, row: ConversationRow, items: Sequence[ItemRow]) -> None:
        await self._writer.run(lambda db: conversations.create(db, project, row, items))

    async def conversation(self, project: str, conversation_id: str) -> ConversationRow | None:
        return self._readers.now(lambda db: conversations.load(db, project, conversation_id))

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: bytes
    ) -> ConversationRow | None:
        return await self._writer.run(lambda db: conversations.update(db, project, conversation_id, metadata))

    async def delete_conversation(self, project: str, conversation_id: str) -> bool:
        return await self._writer.run(
            lambda db: conversations.delete(db, project, conversation_id, self._clock())
        )

    async def add_items(self, project: str, conversation_id: str, items: Sequence[ItemRow]) -> bool:
        return await self._writer.run(lambda db: conversations.add_items(db, project, conversation_id, items))

    async def conversation_items(self, project: str, conversation_id: str, query: PageQuery) -> Page | None:
        return self._readers.now(lambda db: conversations.items(db, project, conversation_id, query))

    async def conversation_history(self, project: str, conversation_id: str) -> Sequence[bytes] | None:
        return await self._readers.apart(lambda db: conversations.history(db, project, conversation_id))

    async def conversation_item(self, project: str, conversation_id: str, item_id: str) -> bytes | None:
        return self._readers.now(lambda db: conversations.item(db, project, conversation_id, item_id))

    async def delete_conversation_item(self, project: str, conversation_id: str, item_id: str) -> bool:
        return await self._writer.run(
            lambda db: conversations.delete_item(db, project, conversation_id, item_id)
        )

    # ---- the right to write a conversation ----

    async def lock_conversation(self, project: str, conversation_id: str, holder: str, lease: float) -> bool:
        return await self._writer.run(
            lambda db: conversations.lock(db, project, conversation_id, holder, self._clock(), lease)
        )

    async def unlock_conversation(self, project: str, conversation_id: str, holder: str) -> None:
        await self._writer.run(lambda db: conversations.unlock(db, project, conversation_id, holder))

    # ---- what is over ----

    async def expire_responses(self, before: float, limit: int) -> int:
        return await self._writer.run(lambda db: retention.expire_responses(db, before, limit))

    async def expire_left_items(self, before: float, limit: int) -> int:
        return await self._writer.run(lambda db: retention.expire_left_items(db, before, limit))
