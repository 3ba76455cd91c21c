"""Code and commands in containers, as clients of the field ask for them: the examples of the Agents SDK for
Python and JavaScript, and of the Vercel AI SDK (containers.mjs)."""

import base64
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agents import (
    Agent,
    CodeInterpreterTool,
    ModelSettings,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunResult,
    ShellTool,
)
from openai import AsyncOpenAI
from tests.clients.node import Node
from tests.scripted import Answer, Called, Upstream
from tests.tools.coding.serving import Coding, served
from tests.wire import CheckedAsyncTransport, Checker

LINK = "See [it](sandbox:/mnt/data/out.csv)."
WRITE = "import pathlib\npathlib.Path('/mnt/data/out.csv').write_text('a')\nprint(6 * 7)"
_numbers = count()


@pytest.fixture(scope="module")
def coding(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coding]:
    with served(_upstream, tmp_path_factory.mktemp("data")) as coding:
        yield coding


@pytest.fixture
async def make(coding: Coding) -> AsyncIterator[Any]:
    """Makes agents that talk to our server; every answer is checked on the way."""
    async with (
        httpx2.AsyncClient(transport=CheckedAsyncTransport(Checker()), timeout=30) as http,
        AsyncOpenAI(
            base_url=f"{coding.url}/v1", api_key="sk-test", max_retries=0, http_client=http
        ) as client,
    ):
        model = OpenAIResponsesModel("m", client)
        yield lambda **members: Agent("Ann", model=model, **members)


@pytest.fixture(params=["6", "7"])
def play(request: pytest.FixtureRequest, node: Node, coding: Coding, tmp_path: Path) -> Any:
    """Plays a scenario of containers.mjs with a version of the AI SDK."""
    return lambda scenario: node.ask("containers.mjs", f"{scenario}@{request.param}", coding.url, tmp_path)


def call(name: str, **arguments: Any) -> Answer:
    """No two calls of a run may have the same id."""
    return Answer(calls=[Called(name, json.dumps(arguments), f"call_in_{next(_numbers)}")], size=4)


async def run(agent: Agent[Any], words: Any, **members: Any) -> RunResult:
    return await Runner.run(agent, words, run_config=RunConfig(tracing_disabled=True), **members)


# ---- Agents SDK for Python ------------------------------------------------------------------------------


async def test_code_of_an_agent_is_streamed_and_run(make: Any, upstream: Upstream) -> None:
    upstream.script(call("python", code=WRITE), Answer(LINK, size=5))
    config: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
    agent = make(instructions="You love doing math.", tools=[CodeInterpreterTool(tool_config=config)])

    result = Runner.run_streamed(agent, "6 * 7?", run_config=RunConfig(tracing_disabled=True))
    seen = [event async for event in result.stream_events()]

    codes = [
        event.item.raw_item.code  # type: ignore[union-attr]
        for event in seen
        if event.type == "run_item_stream_event" and event.item.type == "tool_call_item"
    ]
    assert (codes, result.final_output) == ([WRITE], LINK)
    message = result.new_items[-1].raw_item
    (citation,) = message.content[0].annotations  # type: ignore[union-attr]
    assert (citation.type, citation.filename) == ("container_file_citation", "out.csv")


async def test_an_agent_that_goes_on_sends_its_calls_back(make: Any, upstream: Upstream) -> None:
    upstream.script(
        call("python", code="x = 42"), Answer("ok"), call("python", code="print(x)"), Answer("42")
    )
    config: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
    settings = ModelSettings(response_include=["code_interpreter_call.outputs"])
    agent = make(tools=[CodeInterpreterTool(tool_config=config)], model_settings=settings)
    first = await run(agent, "Remember 42.")

    second = await run(agent, [*first.to_input_list(), {"role": "user", "content": "And?"}])

    assert second.final_output == "42"
    assert second.new_items[0].raw_item.outputs[0].logs == "42\n"  # type: ignore[union-attr]


async def test_a_shell_with_a_skill_runs_and_its_container_is_used_again(
    make: Any, upstream: Upstream
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("csv/SKILL.md", "---\nname: csv\ndescription: Reads tables.\n---\nRead them.\n")
    source = {
        "type": "base64",
        "media_type": "application/zip",
        "data": base64.b64encode(packed.getvalue()).decode(),
    }
    skill = {"type": "inline", "name": "csv", "description": "Reads tables.", "source": source}
    environment: Any = {
        "type": "container_auto",
        "network_policy": {"type": "disabled"},
        "skills": [skill],
    }
    upstream.script(
        call("shell", commands=["echo 42 > a"]),
        Answer("Kept."),
        call("shell", commands=["cat a"]),
        Answer("42"),
    )

    first = await run(make(tools=[ShellTool(environment=environment)]), "Keep 42.")
    shell_call: Any = first.raw_responses[0].output[0]
    container: Any = {
        "type": "container_reference",
        "container_id": shell_call.environment.container_id,
    }
    second = await run(
        make(tools=[ShellTool(environment=container)]), "And?", previous_response_id=first.last_response_id
    )

    assert (first.final_output, second.final_output) == ("Kept.", "42")
    assert "- csv: Reads tables. (/home/oai/skills/csv-" in json.dumps(upstream.requests[0].body["tools"])
    assert "42\\n" in json.dumps(upstream.last.body["messages"])


# ---- Agents SDK for JavaScript, Vercel AI SDK -----------------------------------------------------------


def test_code_of_a_javascript_agent_is_run(
    node: Node, coding: Coding, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(call("python", code="print(42)"), Answer("42"), Answer("Yes."))

    played = node.ask("containers.mjs", "agentsCode", coding.url, tmp_path)

    assert played["outputs"] == ["42", "Yes."]
    assert played["names"] == ["code_interpreter_call"]


def test_commands_of_a_javascript_agent_are_run(
    node: Node, coding: Coding, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(
        call("shell", commands=["echo 42 > a"]),
        Answer("Kept."),
        call("shell", commands=["cat a"]),
        Answer("42"),
    )

    played = node.ask("containers.mjs", "agentsShell", coding.url, tmp_path)

    assert played["outputs"] == ["Kept.", "42"]
    assert "42\\n" in json.dumps(upstream.last.body["messages"])


def test_code_is_run_and_its_files_are_sources(play: Any, upstream: Upstream) -> None:
    upstream.script(call("python", code=WRITE), Answer(LINK))

    played = play("code")

    assert (played["text"], played["code"]) == (LINK, WRITE)
    assert played["outputs"] == [{"type": "logs", "logs": "42\n"}]
    (source,) = played["sources"]
    assert source["filename"] == "out.csv"


def test_code_is_streamed(play: Any, upstream: Upstream) -> None:
    upstream.script(call("python", code=WRITE), Answer(LINK, size=5))

    played = play("codeStream")

    assert played["text"] == LINK
    for part in ("tool-input-delta", "tool-call", "tool-result", "text-delta", "source"):
        assert part in played["parts"]


def test_commands_run_and_their_container_is_used_again(play: Any, upstream: Upstream) -> None:
    upstream.script(
        call("shell", commands=["echo 42 | tee a"]),
        Answer("Kept."),
        call("shell", commands=["cat a"]),
        Answer("42"),
    )

    assert play("shell") == {"texts": ["Kept.", "42"], "printed": [["42\n"], ["42\n"]]}
