"""Where servers of tests keep what they keep: in their data directories or, with `pytest --store postgres`,
each in a database of its own."""

import base64
import functools
import os
from pathlib import Path

from tests.postgres import shared_postgres
from tests.store.contract.homes import template

from antiphon.config import Store

CHOSEN = {"store": "sqlite"}
_SEALING_KEY_ENV = "ANTIPHON_TEST_SEALING_KEY"


@functools.cache
def store_at(data_dir: Path) -> Store:
    """That of a server with this data directory."""
    return Store() if CHOSEN["store"] == "sqlite" else _in(shared_postgres().create(template()))


def new_store(home: str) -> Store:
    """A home of the store with nothing in it yet, not even tables."""
    return Store() if home == "sqlite" else _in(shared_postgres().create())


def _in(database: str) -> Store:
    os.environ.setdefault(_SEALING_KEY_ENV, base64.b64encode(bytes(32)).decode())
    return Store(url=shared_postgres().url(database), sealing_key_env=_SEALING_KEY_ENV)
