"""The PostgreSQL of the tests is real, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.postgres import DURABLE, FAST, Postgres, Stop, shared_postgres

_HOLD = """
import sys
from tests.postgres import shared_postgres
server = shared_postgres()
print(server.url("postgres").partition("host=")[2], flush=True)
sys.stdin.read()
"""


def test_a_database_is_like_its_template_and_apart_from_others() -> None:
    server = shared_postgres()
    with server.database() as url:
        _add(url)
        name = conninfo_to_dict(url)["dbname"]
        with server.database() as other, server.database(template=str(name)) as copy:
            assert _tables(other) == []
            assert _tables(copy) == ["things"]


def test_a_database_that_is_used_is_dropped_all_the_same() -> None:
    server = shared_postgres()
    with server.database() as url:
        connection = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert conninfo_to_dict(url)["dbname"] not in _databases(server)


def test_connections_are_cut() -> None:
    server = shared_postgres()
    with server.database() as url, psycopg.connect(url) as connection:
        assert server.cut(str(conninfo_to_dict(url)["dbname"])) == 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_committed_survives_a_restart(mode: Stop) -> None:
    with Postgres(FAST) as server:
        url = server.url("postgres")
        _add(url)
        server.restart(mode)
        assert _tables(url) == ["things"]


def test_a_durable_server_waits_for_the_disk() -> None:
    with Postgres(DURABLE) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_vectors_are_at_hand() -> None:
    with shared_postgres().database() as url, psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[1,0]'::halfvec <=> '[0,1]'::halfvec").fetchone() == (1.0,)


def test_nothing_remains_of_a_server_whose_tests_end() -> None:
    with _held() as (process, folder):
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert process.returncode == 0
        assert not folder.exists()


def test_nothing_remains_of_a_server_whose_tests_are_killed() -> None:
    with _held() as (process, folder):
        guard = subprocess.run(
            ["pgrep", "-f", f"guard .*{folder.name}"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        process.kill()
        process.wait()
        subprocess.run(["tail", f"--pid={guard}", "-f", "/dev/null"], check=True, timeout=60)
        assert not folder.exists()
        assert subprocess.run(["pgrep", "-f", folder.name], capture_output=True).returncode == 1


@contextmanager
def _held() -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Another process of tests with its server, and the server's folder."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        yield process, folder


def _add(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")


def _tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for (name,) in found]


def _databases(server: Postgres) -> list[str]:
    with psycopg.connect(server.url("postgres")) as connection:
        return [name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()]
