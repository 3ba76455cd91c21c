"""Debian's pgbouncer before a PostgreSQL of the tests: each transaction gets another connection."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

_PORT = 6432
"""A part of the name of its socket, which lies in a folder of its own."""
_SETTINGS = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {size}
ignore_startup_parameters = extra_float_digits
"""

_PATIENCE = 60.0

needs_pooler = pytest.mark.skipif(
    shutil.which("pgbouncer") is None,
    reason="needs pgbouncer, which scripts/programs installs: sudo apt-get install pgbouncer",
)


@contextmanager
def pooler(url: str, size: int = 4) -> Iterator[str]:
    """The URL of the same database behind a pooler with so many connections."""
    found = conninfo_to_dict(url)
    folder = Path(tempfile.mkdtemp(prefix="antiphon-pooler-", dir="/tmp"))
    settings = folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(server=found["host"], port=_PORT, folder=folder, size=size))
    user = _user()
    if user:
        os.chown(folder, user["user"], user["group"])
    process = subprocess.Popen(
        ["pgbouncer", "-q", str(settings)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **user
    )
    try:
        pooled = f"postgresql://postgres@/{found['dbname']}?host={folder}&port={_PORT}"
        _answers(process, pooled)
        yield pooled
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


def _answers(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=5).close()
            return
    process.kill()
    raise AssertionError(process.communicate()[1].decode())


def _user() -> dict[str, Any]:
    """It refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
