"""Several agents (beta), and tools that need the consent of a user."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import whole
from tests.api.test_agents import BETA, ask, of, outcomes, says, spawn, texts
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.mcp_servers import Toolset, served

from antiphon.config import Outbound

Json = dict[str, Any]
ADD = Called("things__add", '{"a": 1, "b": 2}')
WAITS = Called("wait_agent")


@pytest.fixture
def reaching(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A client of a server that reaches MCP servers of this machine."""
    config = config_for(upstream, tmp_path)
    with (
        Running(replace(config, outbound=Outbound(allow_private=True))) as running,
        checked_client(running.url) as client,
    ):
        yield client


@pytest.fixture
def things() -> Toolset:
    return Toolset()


@pytest.fixture
def tool(things: Toolset) -> Iterator[Json]:
    with served(things.server()) as running:
        yield {"type": "mcp", "server_label": "things", "server_url": f"{running.url}/mcp"}


def adds(upstream: Upstream) -> None:
    """A subagent adds two numbers, and the root says what it hears of that."""
    upstream.on(says("to you, /root/a:", last="3"), Answer("It is three."))
    upstream.on(says("to you, /root/a:", last="did not approve"), Answer("I may not."))
    upstream.on(says("to you, /root/a:", last="Add."), Answer(calls=[ADD]))
    upstream.on(says("It is three."), Answer("Three."))
    upstream.on(says("I may not."), Answer("It may not."))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Add."), WAITS]))
    upstream.default = Answer("It has not answered yet.")


def requests(response: Json, agent: str) -> list[Json]:
    return [item for item in of(response, agent) if item["type"] == "mcp_approval_request"]


@pytest.mark.parametrize("keeps", [True, False], ids=["kept by the server", "kept by the client"])
@pytest.mark.parametrize("approve", [True, False])
def test_what_a_subagent_asks_consent_for_it_goes_on_with(
    reaching: OpenAI, upstream: Upstream, things: Toolset, tool: Json, keeps: bool, approve: bool
) -> None:
    adds(upstream)

    first = ask(reaching, "Go.", tools=[tool], store=keeps)

    (request,) = requests(first, "/root/a")
    assert (first["status"], things.called) == ("completed", [])
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
    if keeps:
        second = ask(reaching, [answer], tools=[tool], previous_response_id=first["id"])
    else:
        given = [{"role": "user", "content": "Go."}, *first["output"], answer]
        second = ask(reaching, given, tools=[tool], store=False)
    assert things.called == ["add"] * approve
    calls = [item for item in second["output"] if item["type"] == "mcp_call"]
    assert [(call["agent"], call["output"]) for call in calls] == [({"agent_name": "/root/a"}, "3")] * approve
    assert texts(second, "/root/a") == ["It is three." if approve else "I may not."]
    assert texts(second, "/root")[-1] == ("Three." if approve else "It may not.")


def test_each_goes_on_with_what_it_has_asked_for(
    reaching: OpenAI, upstream: Upstream, things: Toolset, tool: Json
) -> None:
    adds(upstream)
    upstream.on(says("to you, /root/b:", last="3"), Answer("Three as well."))
    upstream.on(says("to you, /root/b:"), Answer(calls=[ADD]))
    upstream.on(says(last="All."), Answer(calls=[spawn("a", "Add."), spawn("b", "Add too."), ADD]))

    first = ask(reaching, "All.", tools=[tool])

    asked = [item for name in ("/root", "/root/a", "/root/b") for item in requests(first, name)]
    assert len(asked) == 3
    answers = [
        {"type": "mcp_approval_response", "approval_request_id": each["id"], "approve": True}
        for each in asked
    ]
    second = ask(reaching, answers, tools=[tool], previous_response_id=first["id"])
    made = [item["agent"]["agent_name"] for item in second["output"] if item["type"] == "mcp_call"]
    assert sorted(made) == ["/root", "/root/a", "/root/b"]
    assert (texts(second, "/root/a"), texts(second, "/root/b")) == (["It is three."], ["Three as well."])
    assert things.called == ["add"] * 3


def test_one_that_waits_for_consent_is_not_interrupted(
    reaching: OpenAI, upstream: Upstream, tool: Json
) -> None:
    adds(upstream)
    gate = Gate(after=0)
    upstream.on(says("to you, /root/b:"), Answer("b is done.", gate=gate))
    stop = Called("interrupt_agent", '{"target": "/root/a"}')
    upstream.on(says(last="b is done."), Answer(calls=[stop]))
    upstream.on(says(last="Stop it."), Answer(calls=[spawn("a", "Add."), spawn("b", "Rest."), WAITS]))
    options: Any = {"multi_agent": {"enabled": True}, "tools": [tool], "betas": BETA}
    told: list[Json] = []
    for event in reaching.beta.responses.create(model="m", input="Stop it.", stream=True, **options):
        told.append(whole(event))
        if told[-1].get("item", {}).get("type") == "mcp_approval_request":
            gate.open()

    response = told[-1]["response"]
    assert len(requests(response, "/root/a")) == 1
    assert outcomes(response)[-1][1].startswith("/root/a cannot be interrupted")


def test_a_response_that_waits_for_consent_alone_does_not_stay_open(
    reaching: OpenAI, upstream: Upstream, tool: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs can be injected, but consent is given in the next request."""
    monkeypatch.setattr("antiphon.engine.agents.INJECTION_SECONDS", 3600)
    adds(upstream)
    with reaching.beta.responses.connect() as connection:
        connection.response.create(model="m", input="Go.", multi_agent={"enabled": True}, tools=[tool])
        told = [whole(connection.recv())]
        while told[-1]["type"] != "response.completed":
            told.append(whole(connection.recv()))
    assert len(requests(told[-1]["response"], "/root/a")) == 1
