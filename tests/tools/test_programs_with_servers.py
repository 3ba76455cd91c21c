"""Programs that call tools of MCP servers, which run within the response, and those that need consent."""

import json
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json
from tests.api.test_background import ended
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.calling_servers import client, mcp, server_at, things
from tests.tools.mcp_servers import Served, Toolset
from tests.tools.test_programs import ONE, PROGRAMS, answer, inner, of_type, program
from tests.tools.using import ask, offered, read, result

__all__ = ["client", "mcp", "things"]


@pytest.fixture
def tool(mcp: Served) -> Json:
    return called_at(mcp)


def called_at(mcp: Served, **members: Any) -> Json:
    return server_at(mcp, **{"allowed_callers": ["programmatic"], **members})


def kinds(response: Json) -> list[str]:
    return [item["type"] for item in response["output"] if item["type"] != "mcp_list_tools"]


ADDING = """let sum = 0;
for (let i = 0; i < 3; i++) sum = Number(await tools.things__add({a: sum, b: i}));
return sum"""


@covers("tool.mcp.allowed_callers")
@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_tools_of_servers_run_within_the_response(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json, background: bool
) -> None:
    upstream.script(program(ADDING), Answer("Three."))

    response = ask(client, PROGRAMS, tool, background=background)
    if background:
        response = ended(client, response["id"]).to_dict()

    assert kinds(response) == ["program", "mcp_call", "mcp_call", "mcp_call", "program_output", "message"]
    assert [call["output"] for call in of_type(response, "mcp_call")] == ["0", "1", "3"]
    assert things.called == ["add"] * 3
    assert list(offered(upstream)) == ["run_program"]
    assert "tools.things__add" in offered(upstream)["run_program"]["description"]
    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool"]
    assert result(upstream) == "3"


def test_calls_that_are_made_together_run_together(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json
) -> None:
    """Each of them waits until all are there."""
    upstream.script(
        program("return (await Promise.all(Array.from({length: 20}, () => tools.things__meet()))).length"),
        Answer("Met."),
    )

    response = ask(client, PROGRAMS, tool)

    assert len(of_type(response, "mcp_call")) == 20
    assert result(upstream) == "20"


def test_servers_and_the_client_are_called_side_by_side(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json
) -> None:
    code = """const [there, here] = await Promise.all([tools.things__add({a: 1, b: 2}), tools.one({n: 1})]);
    return [there, here, await tools.things__add({a: Number(there), b: here.n})]"""
    upstream.script(program(code), Answer("Done."))

    first = ask(client, PROGRAMS, tool, ONE)
    assert kinds(first) == ["program", "mcp_call", "function_call"]
    second = ask(
        client,
        PROGRAMS,
        tool,
        ONE,
        given=[answer(inner(first)[0], {"n": 4})],
        previous_response_id=first["id"],
    )

    assert kinds(second) == ["mcp_call", "program_output", "message"]
    assert json.loads(result(upstream)) == ["3", {"n": 4}, "7"]
    assert things.called == ["add"] * 2


def test_a_call_that_fails_is_an_error_in_the_program(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(
        program("try { await tools.things__fail() } catch (error) { return error.message }"), Answer("Sad.")
    )

    ask(client, PROGRAMS, tool)

    assert "out of order" in result(upstream)


# ---- consent ----------------------------------------------------------------------------------------


def consent(request: Json, approve: bool) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}


DELETING = """const gone = [];
for (const name of ['a', 'b']) {
  try { gone.push(await tools.things__delete({name})) } catch (error) { gone.push(error.message) }
}
return gone"""


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "store: false"])
def test_a_call_that_needs_consent_suspends_the_program(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served, stored: bool
) -> None:
    tool = called_at(mcp, require_approval="always")
    upstream.script(program(DELETING), Answer("Done."), Answer("Again."))
    said: list[Json] = [{"role": "user", "content": "Go"}]

    def send(*given: Json, before: Json | None = None) -> Json:
        said.extend(given)
        if stored and before is not None:
            return ask(client, PROGRAMS, tool, given=list(given), previous_response_id=before["id"])
        return ask(client, PROGRAMS, tool, given=list(said), store=stored)

    first = send()
    said.extend(first["output"])
    assert kinds(first) == ["program", "mcp_approval_request"]
    assert things.called == []

    second = send(consent(of_type(first, "mcp_approval_request")[0], True), before=first)
    said.extend(second["output"])
    assert kinds(second) == ["mcp_call", "mcp_approval_request"]
    assert things.called == ["delete a"]

    third = send(consent(of_type(second, "mcp_approval_request")[0], False), before=second)
    said.extend(third["output"])
    assert kinds(third) == ["program_output", "message"]
    assert json.loads(result(upstream)) == ["a is gone", "The user did not approve this call."]
    assert things.called == ["delete a"]

    send({"role": "user", "content": "And?"}, before=third)
    assert [message["role"] for message in read(upstream)][-4:] == ["assistant", "tool", "assistant", "user"]


def test_consent_for_the_model_and_for_its_program_go_each_their_way(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    tool = called_at(mcp, require_approval="always", allowed_callers=["direct", "programmatic"])
    (run,) = program("return await tools.things__delete({name: 'inner'})").calls
    upstream.script(Answer(calls=[Called("things__delete", '{"name":"direct"}'), run]), Answer("Done."))

    first = ask(client, PROGRAMS, tool)
    asked = of_type(first, "mcp_approval_request")
    assert [json.loads(request["arguments"])["name"] for request in asked] == ["direct", "inner"]
    ask(
        client,
        PROGRAMS,
        tool,
        given=[consent(request, True) for request in asked],
        previous_response_id=first["id"],
    )

    results = [message["content"] for message in read(upstream) if message["role"] == "tool"]
    assert sorted(results) == ["direct is gone", "inner is gone"]
    assert sorted(things.called) == ["delete direct", "delete inner"]


# ---- limits -----------------------------------------------------------------------------------------


@covers("param.max_tool_calls")
def test_a_program_that_calls_more_than_the_response_may_ends(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json
) -> None:
    upstream.script(program(ADDING), Answer("Too much."))

    response = ask(client, PROGRAMS, tool, max_tool_calls=2)

    assert kinds(response) == ["program", "mcp_call", "mcp_call", "program_output", "message"]
    (output,) = of_type(response, "program_output")
    assert output["status"] == "incomplete"
    assert "no more tool calls" in result(upstream)
    assert things.called == ["add"] * 2


def test_a_background_response_is_suspended_and_goes_on(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json
) -> None:
    upstream.script(
        program("return await tools.things__add({a: 1, b: (await tools.one({})).n})"), Answer("A.")
    )

    tools = (PROGRAMS, tool, ONE)
    first = ended(client, ask(client, *tools, background=True)["id"]).to_dict()
    given = [answer(inner(first)[0], {"n": 4})]
    began = ask(client, *tools, given=given, background=True, previous_response_id=first["id"])
    second = ended(client, began["id"]).to_dict()

    assert kinds(second) == ["mcp_call", "program_output", "message"]
    assert result(upstream) == "5"


def test_a_program_that_computes_too_long_between_its_calls_ends(
    client: OpenAI, upstream: Upstream, things: Toolset, tool: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.engine.programs.SECONDS", 0.0)
    upstream.script(program(ADDING), Answer("Too slow."))

    response = ask(client, PROGRAMS, tool)

    assert kinds(response) == ["program", "program_output", "message"]
    assert "too much processor time" in result(upstream)
    assert things.called == []
