"""A server that runs code, for the tests of the tools that do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.scripted import Upstream
from tests.tools.coding.workbench import Workbench

from antiphon.api import app


@contextlib.contextmanager
def workbench(home: Path) -> Iterator[Workbench]:
    """Servers that are made meanwhile run code on it."""
    bench = Workbench(home)
    made = app._resources
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_resources", lambda *given: replace(made(*given), containers=bench))
        yield bench


@contextlib.contextmanager
def served(upstream: Upstream, folder: Path, **members: Any) -> Iterator[tuple[Running, Workbench]]:
    """Such a server, and what it runs code on. `members` of its configuration."""
    config = replace(config_for(upstream, folder), **members)
    with workbench(folder / "bench") as bench, Running(config) as running:
        yield running, bench
