"""What tests of MCP servers start from: one with a set of tools, and a server that may call it."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Upstream
from tests.tools.mcp_servers import Served, Toolset, served

from antiphon.config import Outbound


@pytest.fixture
def things() -> Toolset:
    return Toolset()


@pytest.fixture
def mcp(things: Toolset) -> Iterator[Served]:
    with served(things.server()) as running:
        yield running


@pytest.fixture(scope="module")
def client(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    config = config_for(_upstream, tmp_path_factory.mktemp("data"))
    with (
        Running(replace(config, outbound=Outbound(allow_private=True))) as running,
        checked_client(running.url) as client,
    ):
        yield client


def server_at(mcp: Served, **members: Any) -> Json:
    base = {"type": "mcp", "server_label": "things", "server_url": f"{mcp.url}/mcp"}
    return base | {"require_approval": "never"} | members
