"""From a URL to a store."""

import re
from pathlib import Path

from antiphon.store.blobs import Blobs
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_READABLE = re.compile(r"postgres(ql)?://((?:[^/@%]|%[0-9A-Fa-f]{2})*@)?[^@?]*(\?\w+=.*)?")
"""Of others, the driver takes parts of the password for something else, which it names where that fails."""


class UnknownStore(ValueError):
    """The store's URL names nothing that there is."""


async def open_store(
    url: str, blobs: Blobs | None = None, listen_url: str | None = None, connections: int = 8
) -> Store:
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or a URL of PostgreSQL with all that its own
    programs know in one: `postgresql://user:password@host:5432/database?sslmode=verify-full`. `blobs`: as
    `Store` has them. `listen_url`: another way to the same PostgreSQL, where a pooler of connections stands
    before the first. `connections`: to PostgreSQL, that this process has at most; one more listens.

    Raises UnknownStore, Incompatible, and Unreachable for a database that is not there.
    """
    if url.startswith(_POSTGRES):
        return await _open_postgres(url, blobs, listen_url, connections)
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path:
        raise UnknownStore(
            f"'{without_secrets(url)}' is not the URL of a store. Use sqlite:///path/to/file or "
            "postgresql://user:password@host/database."
        )
    if path == ":memory:":
        raise UnknownStore("A store in memory is not supported. Use sqlite:///path/to/file.")
    return await open_sqlite(Path(path), blobs)


async def _open_postgres(url: str, blobs: Blobs | None, listen_url: str | None, connections: int) -> Store:
    """The driver is imported by those who use it."""
    check_urls(url, listen_url)
    from antiphon.store.postgres.database import open_postgres

    return await open_postgres(url, blobs, listen_url=listen_url, connections=connections)


def check_urls(*urls: str | None) -> None:
    """Raises UnknownStore for what PostgreSQL's driver cannot read, and where there is no driver."""
    try:
        from antiphon.store.postgres.connections import complaint
    except ImportError as error:
        raise UnknownStore(
            f"PostgreSQL needs a driver that is not installed ({error}): pip install 'antiphon[postgres]'."
        ) from error
    for url in filter(None, urls):
        if not _READABLE.fullmatch(url):
            raise UnknownStore(
                f"{without_secrets(url)} cannot be read as the URL of a PostgreSQL. It begins with "
                "postgresql://, and in a name or password / is %2F, @ is %40, and % is %25."
            )
        if wrong := complaint(url):
            raise UnknownStore(f"{without_secrets(url)} cannot be read as the URL of a PostgreSQL: {wrong}.")


async def reach_postgres(url: str, listen_url: str | None = None) -> None:
    """Looks whether a PostgreSQL is there, and changes nothing. Raises UnknownStore, Unreachable."""
    check_urls(url, listen_url)
    from antiphon.store.postgres.connections import reach

    for each in filter(None, (url, listen_url)):
        await (await reach(each)).close()


def without_secrets(url: str) -> str:
    """The URL of a store as it may be shown: without the password."""
    if url.startswith(_SQLITE):
        return url
    before, at, place = url.rpartition("@")
    scheme, slashes, user = before.partition("//")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{place.partition('?')[0]}"
