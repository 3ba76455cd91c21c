"""The tables: made if there are none, and brought up to date, by one process at a time.

Scripts only add: so servers of the version before go on working beside those of this one, during an update
that replaces them one after another. A script that would break them says, in its first line, which scripts a
server has to know to bear it: `-- needs 7`.
"""

import psycopg

from antiphon.store.errors import Incompatible
from antiphon.store.faults import Unreachable
from antiphon.store.migrations import needs, newer, scripts_of
from antiphon.store.postgres import procrastinate_schema
from antiphon.store.postgres.connections import Connection, in_words, reach

OLDEST_POSTGRES = 140000
_LOCK = 0x616E7469
"""Of who brings the tables up to date."""
_TABLE = """
    CREATE TABLE IF NOT EXISTS antiphon_schema (
        number BIGINT PRIMARY KEY,
        needs  BIGINT NOT NULL,
        done   TIMESTAMPTZ NOT NULL DEFAULT now()
    )"""


async def migrate(url: str) -> list[int]:
    """Bring the database up to date. Gives the numbers of the scripts that were run. Raises Incompatible,
    Unreachable."""
    connection = await reach(url)
    try:
        return await _migrate(connection)
    except psycopg.OperationalError as error:
        raise Unreachable(in_words(error)) from error
    except psycopg.Error as error:  # it belongs to another user, or is a copy that is only read
        raise Incompatible(f"Its tables cannot be brought up to date: {in_words(error)}.") from error
    finally:
        await connection.close()


async def _migrate(connection: Connection) -> list[int]:
    if connection.info.server_version < OLDEST_POSTGRES:
        version = connection.info.server_version // 10000
        raise Incompatible(f"PostgreSQL {version} is too old: {OLDEST_POSTGRES // 10000} or newer is needed.")
    scripts = scripts_of("postgres")
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", (_LOCK,))
        await connection.execute(_TABLE)
        cursor = await connection.execute(
            "SELECT coalesce(max(number), 0), coalesce(max(needs), 0) FROM antiphon_schema"
        )
        done, needed = await cursor.fetchone() or (0, 0)
        if needed > len(scripts):
            raise Incompatible(newer(done, len(scripts)))
        await procrastinate_schema.install(connection)
        new = list(range(done + 1, len(scripts) + 1))
        for number in new:
            script = scripts[number - 1]
            # Several statements at once go without parameters and preparing.
            await connection.execute(script, prepare=False)
            row = (number, needs(script))
            await connection.execute("INSERT INTO antiphon_schema (number, needs) VALUES ($1, $2)", row)
    return new
