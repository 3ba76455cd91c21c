"""A server with a bench of code, which tests kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Upstream
from tests.tools.coding import coding_server
from tests.tools.coding.workbench import Workbench


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """What the servers ran."""
    monkeypatch.setenv(coding_server.HOME, str(tmp_path / "bench"))
    return Workbench(tmp_path / "bench")


@pytest.fixture
def killed(upstream: Upstream, tmp_path: Path, driver: Workbench) -> Iterator[Killed]:
    with Killed(tmp_path, upstream, "tests.tools.coding.coding_server") as server:
        yield server


@pytest.fixture
def client(killed: Killed) -> Iterator[OpenAI]:
    with checked_client(killed.url) as client:
        yield client
