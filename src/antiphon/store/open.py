"""From a URL to a store."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from antiphon.store.blobs import Blobs
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


class UnknownStore(ValueError):
    """The store's URL names nothing that there is."""


async def open_store(url: str, blobs: Blobs | None = None, listen_url: str | None = None) -> Store:
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or a URL of PostgreSQL with all that its own
    programs know in one: `postgresql://user:password@host:5432/database?sslmode=verify-full`. `blobs`: as
    `Store` has them. `listen_url`: another way to the same PostgreSQL, where a pooler of connections stands
    before the first.

    Raises UnknownStore, Incompatible, and Unreachable for a database that is not there.
    """
    if url.startswith(_POSTGRES):
        return await _open_postgres(url, blobs, listen_url)
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path:
        raise UnknownStore(
            f"'{url}' is not the URL of a store. Use sqlite:///path/to/file or "
            "postgresql://user:password@host/database."
        )
    if path == ":memory:":
        raise UnknownStore("A store in memory is not supported. Use sqlite:///path/to/file.")
    return await open_sqlite(Path(path), blobs)


async def _open_postgres(url: str, blobs: Blobs | None, listen_url: str | None) -> Store:
    """The driver is imported by those who use it."""
    try:
        from antiphon.store.postgres.database import open_postgres
    except ImportError as error:
        raise UnknownStore(
            f"PostgreSQL needs a driver that is not installed ({error}): pip install 'antiphon[postgres]'."
        ) from error
    return await open_postgres(url, blobs, listen_url=listen_url)


def without_secrets(url: str) -> str:
    """The URL of a store as it may be shown: without the password."""
    parts = urlsplit(url)
    if parts.password is None and not parts.query:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{place}".removeprefix("@"), query=""))
