"""A server with two projects, and what each of them sees of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from tests.conftest import Running, config_for
from tests.scripted import Upstream

from antiphon.config import Server, hash_key

KEYS = {"one": "sk-of-one", "two": "sk-of-two"}


@contextmanager
def two_projects(upstream: Upstream, folder: Path) -> Iterator[Running]:
    server = Server(verify=True, keys={name: hash_key(key) for name, key in KEYS.items()})
    with Running(config_for(upstream, folder, server)) as running:
        yield running


@contextmanager
def signed_in(server: Running, name: str) -> Iterator[httpx2.Client]:
    """The pages, for who has signed in with the key of a project."""
    with httpx2.Client(base_url=server.url, timeout=30) as pages:
        assert pages.post("/dashboard/sign-in", data={"key": KEYS[name]}).status_code == 303
        yield pages
