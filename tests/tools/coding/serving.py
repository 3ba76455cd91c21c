"""A server that runs code, for the tests of the tools that do."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from openai import OpenAI
from openai.types import ContainerListResponse
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream
from tests.tools.coding.workbench import Workbench

from antiphon.api import opening
from antiphon.sandbox.base import Driver


class Coding(NamedTuple):
    """Such a server."""

    url: str
    driver: Workbench
    data: Path
    client: OpenAI

    @property
    def log(self) -> list[str]:
        """What was run, in its order."""
        return self.driver.log

    @property
    def made(self) -> list[str]:
        """The containers, in the order in which they were made."""
        return [container.id for container in self.client.containers.list(order="asc", limit=100)]

    def container(self, container_id: str) -> ContainerListResponse:
        found = self.client.containers.list(limit=100)
        return next(container for container in found if container.id == container_id)

    def content(self, container_id: str, path: str) -> bytes:
        """A file of a container."""
        files = self.client.containers.files
        file = next(file for file in files.list(container_id) if file.path == path)
        return files.content.retrieve(file.id, container_id=container_id).read()

    def end(self, container_id: str, how: str) -> None:
        """It is `expired` or `deleted` from now on."""
        if how == "deleted":
            self.client.containers.delete(container_id)
            return
        with contextlib.closing(sqlite3.connect(self.data / "antiphon.db")) as database, database:
            database.execute(
                "UPDATE containers SET last_active_at = last_active_at - 1201 WHERE id = ?", [container_id]
            )


@contextlib.contextmanager
def running_code(driver: Driver, **rules: Any) -> Iterator[None]:
    """Servers that are made meanwhile run code with this driver, and by these rules besides."""
    usual = opening.container_rules
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "driver_of", lambda _: driver)
        patch.setattr(opening, "container_rules", lambda config: replace(usual(config), **rules))
        yield


@contextlib.contextmanager
def served(upstream: Upstream, data: Path, **rules: Any) -> Iterator[Coding]:
    """A server that does."""
    driver = Workbench(data / "bench")
    with (
        running_code(driver, **rules),
        Running(config_for(upstream, data)) as running,
        checked_client(running.url) as client,
    ):
        yield Coding(running.url, driver, data, client)
