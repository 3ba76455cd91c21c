"""The PostgreSQL under servers that are killed, and what is done to it as well."""

import asyncio
import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict
from tests.postgres import DURABLE, Postgres


@dataclass(frozen=True)
class Database:
    """A server of its own, which waits for its disk."""

    server: Postgres
    url: str
    sealing_key: str

    async def restart(self) -> None:
        """As after a crash."""
        await asyncio.to_thread(self.server.restart, "immediate")

    async def cut(self) -> None:
        """Every connection breaks."""
        name = conninfo_to_dict(self.url)["dbname"]
        await asyncio.to_thread(self.server.cut, str(name))

    def left(self) -> list[str]:
        """What should not be there when all has ended."""
        faults = []
        with psycopg.connect(self.url, autocommit=True) as connection:
            for what, sql in _LEFT.items():
                row = connection.execute(sql).fetchone()
                if row is not None and row[0]:
                    faults.append(f"{row[0]} {what} are left")
        return faults


_LEFT = {
    "runs that never ended": "SELECT count(*) FROM runs WHERE status <> 'ended'",
    "jobs of runs": "SELECT count(*) FROM antiphon_queue.procrastinate_jobs WHERE queue_name = 'runs'",
    "jobs without work": """
        SELECT count(*) FROM antiphon_queue.procrastinate_jobs AS j
        WHERE queue_name = 'work' AND NOT EXISTS (SELECT 1 FROM work WHERE work.job = j.id)""",
}


@contextmanager
def database() -> Iterator[Database]:
    with Postgres(DURABLE) as server, server.database() as url:
        yield Database(server, url, base64.b64encode(os.urandom(32)).decode())
