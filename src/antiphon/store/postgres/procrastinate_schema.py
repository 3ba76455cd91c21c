"""The tables of Procrastinate, in a schema of their own: `antiphon_queue`. Whoever uses it for something else
in the same database is not disturbed.

Its functions find their tables by the search path, which a pooler of connections loses, so each is given that
path for good. Its migrations come as scripts with names in order. Those called `post` take away what servers
of the version before still use, so the last of them wait for the next release's.
"""

from importlib.resources import files

from antiphon.store.postgres.connections import Connection

_DONE = "CREATE TABLE IF NOT EXISTS antiphon_queue.antiphon_scripts (name TEXT PRIMARY KEY)"
_BIND = """
    DO $$ DECLARE function regprocedure; BEGIN
        FOR function IN SELECT oid FROM pg_proc WHERE pronamespace = 'antiphon_queue'::regnamespace LOOP
            EXECUTE format('ALTER FUNCTION %s SET search_path = antiphon_queue, pg_temp', function);
        END LOOP;
    END $$"""


async def install(connection: Connection) -> None:
    """Make the tables if there are none, and bring them up to date: within the transaction of the caller,
    who is alone."""
    cursor = await connection.execute("SELECT to_regnamespace('antiphon_queue') IS NULL")
    scripts = _scripts()
    if await cursor.fetchone() == (True,):
        await connection.execute("CREATE SCHEMA antiphon_queue")
        await connection.execute(_DONE)
        await _run(connection, [_text("schema.sql")], list(scripts))
        return
    cursor = await connection.execute("SELECT name FROM antiphon_queue.antiphon_scripts")
    done = {name for (name,) in await cursor.fetchall()}
    due = due_scripts(list(scripts), done)
    if due:
        await _run(connection, [scripts[name] for name in due], due)


def due_scripts(names: list[str], done: set[str]) -> list[str]:
    """Those that are to be run now, in their order."""
    due = [name for name in sorted(names) if name not in done]
    while due and "_post_" in due[-1]:
        due.pop()
    return due


async def _run(connection: Connection, texts: list[str], names: list[str]) -> None:
    await connection.execute("SET LOCAL search_path = antiphon_queue")
    for text in texts:
        # Several statements at once go without parameters and preparing.
        await connection.execute(text.encode(), prepare=False)
    await connection.execute(_BIND)
    await connection.execute("SET LOCAL search_path TO DEFAULT")
    await connection.execute(
        "INSERT INTO antiphon_queue.antiphon_scripts SELECT unnest(CAST($1 AS TEXT[]))", (names,)
    )


def _text(name: str) -> str:
    return (files("procrastinate") / "sql" / name).read_text(encoding="utf-8")


def _scripts() -> dict[str, str]:
    folder = files("procrastinate") / "sql" / "migrations"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return {name: _text(f"migrations/{name}") for name in names}
