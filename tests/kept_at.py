"""Where servers of tests keep what they keep: in their data directories or, with `pytest --store postgres`,
each in a database of its own."""

import functools
from pathlib import Path

from tests.postgres import shared_postgres
from tests.store.contract.homes import template

from antiphon.config import Store

CHOSEN = {"store": "sqlite"}


@functools.cache
def store_at(data_dir: Path) -> Store:
    """That of a server with this data directory."""
    if CHOSEN["store"] == "sqlite":
        return Store()
    return Store(url=shared_postgres().url(shared_postgres().create(template())))
