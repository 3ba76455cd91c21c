"""Several agents (beta), and tools that need the consent of a user."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import whole
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Upstream
from tests.tools.mcp_servers import Toolset, served

from antiphon.config import Outbound

BETA: Any = ["responses_multi_agent=v1"]


@pytest.fixture
def reaching(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A client of a server that reaches MCP servers of this machine."""
    config = config_for(upstream, tmp_path)
    with (
        Running(replace(config, outbound=Outbound(allow_private=True))) as running,
        checked_client(running.url) as client,
    ):
        yield client


def test_tools_that_need_consent_are_for_the_root_alone(reaching: OpenAI, upstream: Upstream) -> None:
    def is_of_a(body: Any) -> bool:
        return "to you, /root/a:" in str(body["messages"])

    upstream.on(lambda body: is_of_a(body) and body["messages"][-1]["role"] == "tool", Answer("I may not."))
    upstream.on(is_of_a, Answer(calls=[Called("things__add", '{"a": 1, "b": 2}')]))
    upstream.on(lambda body: "I may not." in str(body["messages"]), Answer("It may not."))
    begin = Called("spawn_agent", '{"task_name": "a", "message": "Add."}')
    upstream.default = Answer(calls=[begin, Called("wait_agent")])
    with served(Toolset().server()) as running:
        things: Any = {"type": "mcp", "server_label": "things", "server_url": f"{running.url}/mcp"}
        response = reaching.beta.responses.create(
            model="m", input="Go.", multi_agent={"enabled": True}, tools=[things], betas=BETA
        )
    items = whole(response)["output"]
    assert [item for item in items if item["type"] == "mcp_approval_request"] == []
    assert items[-1]["content"][0]["text"] == "It may not."
    offered = [
        {tool["function"]["name"] for tool in received.body["tools"]} for received in upstream.requests
    ]
    assert ["things__add" in each for each in offered] == [not is_of_a(r.body) for r in upstream.requests]
    assert {"things__add", "spawn_agent"} <= offered[0]
