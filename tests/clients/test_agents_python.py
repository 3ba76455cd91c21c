"""openai-agents for Python: every loop that runs tools on the client's side, and every way to keep state."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    Computer,
    ComputerTool,
    FileSearchTool,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunResult,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellCommandRequest,
    ShellResult,
    ShellTool,
    apply_diff,
    function_tool,
)
from agents.editor import ApplyPatchOperation
from openai import AsyncOpenAI
from pydantic import BaseModel
from tests.conftest import Running, checked_client
from tests.scripted import Answer, Called, Upstream
from tests.tools.libraries import shelve

Json = dict[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(autouse=True)
async def _bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(30):
        yield


@pytest.fixture
def make(aclient: AsyncOpenAI) -> Any:
    """Makes agents that talk to our server; every answer is checked on the way."""

    def make(name: str = "Ann", model: str = "m", **members: Any) -> Agent[Any]:
        return Agent(name, model=OpenAIResponsesModel(model, aclient), **members)

    return make


async def run(agent: Agent[Any], words: str, **members: Any) -> RunResult:
    return await Runner.run(agent, words, run_config=RunConfig(tracing_disabled=True), **members)


_numbers = count()


def call(name: str, **arguments: Any) -> Answer:
    """An answer that is a call. No two calls of a run may have the same id."""
    return Answer(calls=[Called(name, json.dumps(arguments), f"call_of_{next(_numbers)}")])


def said(upstream: Upstream) -> list[tuple[str, Any]]:
    """The last request's messages, without calls."""
    return [(m["role"], m["content"]) for m in upstream.last.body["messages"] if m.get("content")]


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: rain"


@function_tool
async def population(city: str) -> int:
    """How many live in a city."""
    return len(city) * 1000


# ---- functions, handoffs, structure -----------------------------------------------------------------


async def test_function_tools_run_side_by_side_until_the_answer(make: Any, upstream: Upstream) -> None:
    both = [Called("weather", '{"city": "Bonn"}'), Called("population", '{"city": "Bonn"}')]
    upstream.script(Answer("Let me see.", calls=both), Answer("Rain on 4000."))
    result = await run(make(instructions="Be brief.", tools=[weather, population]), "Bonn?")
    assert result.final_output == "Rain on 4000."
    assert said(upstream) == [
        ("system", "Be brief."),
        ("user", "Bonn?"),
        ("assistant", "Let me see."),
        ("tool", "Bonn: rain"),
        ("tool", "4000"),
    ]
    assert result.context_wrapper.usage.total_tokens == 2 * 12


async def test_a_required_tool_is_called(make: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Rome"), Answer("Rain."))
    agent = make(tools=[weather], model_settings=ModelSettings(tool_choice="weather", temperature=0.2))
    assert (await run(agent, "?")).final_output == "Rain."
    assert upstream.requests[0].body["tool_choice"]["function"] == {"name": "weather"}


async def test_a_handoff_passes_the_conversation_to_another_agent(make: Any, upstream: Upstream) -> None:
    upstream.script(call("transfer_to_bob"), Answer("Bob here."))
    bob = make("Bob", instructions="You are Bob.")
    result = await run(make(instructions="You are Ann.", handoffs=[bob]), "Bob, please.")
    assert (result.final_output, result.last_agent.name) == ("Bob here.", "Bob")
    assert said(upstream)[:2] == [("system", "You are Bob."), ("user", "Bob, please.")]


class Answered(BaseModel):
    city: str
    rain: bool


async def test_an_answer_takes_the_form_of_a_model(make: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Bonn"), Answer('{"city": "Bonn", "rain": true}', size=3))
    result = await run(make(tools=[weather], output_type=Answered), "Bonn?")
    assert result.final_output == Answered(city="Bonn", rain=True)
    assert upstream.last.body["response_format"]["json_schema"]["strict"] is True


async def test_a_run_is_streamed(make: Any, upstream: Upstream) -> None:
    upstream.script(
        Answer(reasoning="Hm.", calls=[Called("weather", '{"city": "Bonn"}')], size=3),
        Answer("It rains in Bonn.", size=4),
    )
    config = RunConfig(tracing_disabled=True)
    result = Runner.run_streamed(make(tools=[weather]), "Bonn?", run_config=config)
    text, items = "", []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
        elif event.type == "run_item_stream_event":
            items.append(event.name)
    assert text == result.final_output == "It rains in Bonn."
    assert [name for name in items if name != "reasoning_item_created"] == [
        "tool_called",
        "tool_output",
        "message_output_created",
    ]


# ---- state ------------------------------------------------------------------------------------------


async def test_a_session_lives_in_a_conversation(make: Any, upstream: Upstream, aclient: AsyncOpenAI) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("It rains."), Answer("I said that it rains."))
    session = OpenAIConversationsSession(openai_client=aclient)
    agent = make(tools=[weather])
    await run(agent, "Bonn?", session=session)
    result = await run(agent, "What did you say?", session=session)
    assert result.final_output == "I said that it rains."
    assert said(upstream) == [
        ("user", "Bonn?"),
        ("tool", "Bonn: rain"),
        ("assistant", "It rains."),
        ("user", "What did you say?"),
    ]
    assert len(await session.get_items()) == 6
    assert [item["role"] for item in await session.get_items(limit=2)] == ["user", "assistant"]
    popped: Any = await session.pop_item()
    assert popped["content"][0]["text"] == "I said that it rains."
    await session.clear_session()


async def test_a_long_session_is_kept_whole(make: Any, upstream: Upstream, aclient: AsyncOpenAI) -> None:
    """It comes in chunks of twenty."""
    session = OpenAIConversationsSession(openai_client=aclient)
    await session.add_items([{"role": "user", "content": f"number {n}"} for n in range(45)])
    upstream.script(Answer("45"))
    assert (await run(make(), "How many?", session=session)).final_output == "45"
    assert [text for _, text in said(upstream)] == [*(f"number {n}" for n in range(45)), "How many?"]


async def test_each_turn_continues_the_response_before(make: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("It rains."), Answer("Yes."))
    agent = make(tools=[weather])
    first = await run(agent, "Bonn?", auto_previous_response_id=True)
    assert first.raw_responses[0].response_id != first.last_response_id
    second = await run(agent, "Sure?", previous_response_id=first.last_response_id)
    assert second.final_output == "Yes."
    assert [text for _, text in said(upstream)] == ["Bonn?", "Bonn: rain", "It rains.", "Sure?"]


async def test_runs_share_a_conversation(make: Any, upstream: Upstream, aclient: AsyncOpenAI) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("It rains."), Answer("Yes."))
    conversation = await aclient.conversations.create()
    agent = make(tools=[weather])
    await run(agent, "Bonn?", conversation_id=conversation.id)
    await run(agent, "Sure?", conversation_id=conversation.id)
    assert [text for _, text in said(upstream)] == ["Bonn?", "Bonn: rain", "It rains.", "Sure?"]


# ---- loops on the client's machine ------------------------------------------------------------------


class Screen(Computer):
    """Remembers what was done to it."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        self.done: list[tuple[Any, ...]] = []
        self._size = size

    @property
    def environment(self) -> Any:
        return self._size and "browser"

    @property
    def dimensions(self) -> tuple[int, int] | None:
        return self._size

    def screenshot(self) -> str:
        return PIXEL

    def click(self, x: int, y: int, button: str) -> None:
        self.done.append(("click", x, y, button))

    def double_click(self, x: int, y: int) -> None:
        self.done.append(("double_click", x, y))

    def scroll(self, x: int, y: int, scroll_x: int, scroll_y: int) -> None:
        self.done.append(("scroll", x, y, scroll_x, scroll_y))

    def type(self, text: str) -> None:
        self.done.append(("type", text))

    def wait(self) -> None:
        self.done.append(("wait",))

    def move(self, x: int, y: int) -> None:
        self.done.append(("move", x, y))

    def keypress(self, keys: list[str]) -> None:
        self.done.append(("keypress", *keys))

    def drag(self, path: list[tuple[int, int]]) -> None:
        self.done.append(("drag", *path))


CLICK: Json = {"type": "click", "x": 3, "y": 4, "button": "left"}
TYPE: Json = {"type": "type", "text": "héllo"}
KEYS: Json = {"type": "keypress", "keys": ["ENTER"]}


def images(upstream: Upstream) -> int:
    contents = [message["content"] for message in upstream.last.body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return sum(part.get("image_url", {}).get("url", "").endswith(PIXEL) for part in parts)


async def test_a_computer_is_used_until_the_task_is_done(make: Any, upstream: Upstream) -> None:
    upstream.script(
        call("computer", actions=[{"type": "screenshot"}]),
        call("computer", actions=[CLICK, TYPE, KEYS]),
        Answer("I wrote it."),
    )
    screen = Screen()
    result = await run(make(tools=[ComputerTool(screen)]), "Write héllo.")
    assert result.final_output == "I wrote it."
    assert screen.done == [("click", 3, 4, "left"), ("type", "héllo"), ("keypress", "ENTER")]
    assert images(upstream) == 2


async def test_the_preview_of_the_computer_works_too(make: Any, upstream: Upstream) -> None:
    upstream.script(
        call("computer", actions=[CLICK]), call("computer", actions=[TYPE]), Answer("I wrote it.")
    )
    screen = Screen((1024, 768))
    agent = make(model="computer-use-preview", tools=[ComputerTool(screen)])
    assert (await run(agent, "Write héllo.")).final_output == "I wrote it."
    assert screen.done == [("click", 3, 4, "left"), ("type", "héllo")]
    assert images(upstream) == 2


async def test_a_shell_on_the_clients_machine_runs_what_the_model_writes(
    make: Any, upstream: Upstream, tmp_path: Path
) -> None:
    def execute(request: ShellCommandRequest) -> ShellResult:
        return ShellResult([_execute(command, tmp_path) for command in request.data.action.commands])

    upstream.script(
        call("shell", commands=["echo one > a.txt", "cat a.txt"]),
        call("shell", commands=["cat b.txt"], timeout_ms=5000),
        Answer("There is one."),
    )
    result = await run(make(tools=[ShellTool(execute)]), "Make a.txt.")
    assert result.final_output == "There is one."
    assert (tmp_path / "a.txt").read_text() == "one\n"
    read = [text for role, text in said(upstream) if role == "tool"]
    assert "one" in read[0]
    assert "No such file" in read[1]


def _execute(command: str, folder: Path) -> ShellCommandOutput:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60)
    return ShellCommandOutput(done.stdout, done.stderr, ShellCallOutcome("exit", done.returncode), command)


class Editor:
    """Changes files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create_file(self, operation: ApplyPatchOperation) -> str:
        (self._folder / operation.path).write_text(apply_diff("", operation.diff or "", mode="create"))
        return f"Created {operation.path}"

    def update_file(self, operation: ApplyPatchOperation) -> str:
        file = self._folder / operation.path
        file.write_text(apply_diff(file.read_text(), operation.diff or ""))
        return f"Updated {operation.path}"

    def delete_file(self, operation: ApplyPatchOperation) -> str:
        (self._folder / operation.path).unlink()
        return f"Deleted {operation.path}"


def files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text().rstrip() for file in folder.iterdir()}


@pytest.mark.parametrize("streamed", [False, True])
async def test_files_are_patched_on_the_clients_machine(
    make: Any, upstream: Upstream, tmp_path: Path, streamed: bool
) -> None:
    (tmp_path / "old.txt").write_text("x\n")
    upstream.script(
        call("apply_patch", type="create_file", path="a.txt", diff="+one\n+two\n"),
        call("apply_patch", type="update_file", path="a.txt", diff="@@\n one\n-two\n+zwei\n"),
        call("apply_patch", type="delete_file", path="old.txt"),
        Answer("Done."),
    )
    agent = make(tools=[ApplyPatchTool(Editor(tmp_path))])
    if streamed:
        config = RunConfig(tracing_disabled=True)
        result: Any = Runner.run_streamed(agent, "Patch.", run_config=config)
        assert [event.type async for event in result.stream_events()]
    else:
        result = await run(agent, "Patch.")
    assert result.final_output == "Done."
    assert files(tmp_path) == {"a.txt": "one\nzwei"}
    read = [text for role, text in said(upstream) if role == "tool"]
    assert ["Created" in read[0], "Updated" in read[1], "Deleted" in read[2]] == [True] * 3


async def test_files_are_searched_and_cited(make: Any, upstream: Upstream, server: Running) -> None:
    with checked_client(server.url) as client:
        store = await asyncio.to_thread(shelve, client, {"boats.md": "Boats float because they are light."})
    upstream.script(call("file_search", queries=["Why do boats float?"]), Answer("They are light 【1】."))
    tool = FileSearchTool(vector_store_ids=[store], max_num_results=3, include_search_results=True)

    result = await run(make(tools=[tool]), "Why do boats float?")

    assert result.final_output == "They are light ."
    search, message = (item.raw_item for item in result.new_items)
    assert [found.filename for found in search.results or ()] == ["boats.md"]  # type: ignore[union-attr]
    (citation,) = message.content[0].annotations  # type: ignore[union-attr]
    assert (citation.type, citation.filename, citation.index) == ("file_citation", "boats.md", 15)


async def test_a_run_that_goes_on_sends_its_searches_back(
    make: Any, upstream: Upstream, server: Running
) -> None:
    with checked_client(server.url) as client:
        store = await asyncio.to_thread(shelve, client, {"boats.md": "Boats float because they are light."})
    upstream.script(
        call("file_search", queries=["boats"]), Answer("Light 【1】."), Answer("As I said 【1】.")
    )
    agent = make(tools=[FileSearchTool(vector_store_ids=[store])])
    first = await run(agent, "Why do boats float?")

    second = await run(agent, [*first.to_input_list(), {"role": "user", "content": "Why?"}])

    assert second.final_output == "As I said ."
    (message,) = second.new_items
    assert message.raw_item.content[0].annotations[0].filename == "boats.md"
