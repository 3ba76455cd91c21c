"""From a URL to a store."""

from pathlib import Path

from antiphon.store.blobs import Blobs
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store

_SQLITE = "sqlite:///"


class UnknownStore(ValueError):
    """The store's URL names nothing that there is."""


async def open_store(url: str, blobs: Blobs | None = None) -> Store:
    """`sqlite:///relative/path` or `sqlite:////absolute/path`, and `blobs` for the data of items, as `Store`
    has it. Raises `UnknownStore`."""
    if url.startswith(("postgresql://", "postgres://")):
        raise UnknownStore("PostgreSQL is not supported yet. Use sqlite:///path/to/file.")
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path:
        raise UnknownStore(f"'{url}' is not the URL of a store. Use sqlite:///path/to/file.")
    if path == ":memory:":
        raise UnknownStore("A store in memory is not supported. Use sqlite:///path/to/file.")
    return await open_sqlite(Path(path), blobs)
