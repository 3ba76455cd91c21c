"""Codex 0.171, over HTTP and over a WebSocket."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.clients.codex import ADDRESS, COMMAND, Codex
from tests.clients.node import Node
from tests.conftest import Running
from tests.scripted import Answer, Called, Upstream, Usage

from antiphon.api.codex import INSTRUCTIONS

TASK = "greet.sh greets wrongly: put it right."
WRONG = "echo helo\n"
RIGHT = "echo hello\n"
PATCH = """*** Begin Patch
*** Update File: greet.sh
@@
-echo helo
+echo hello
*** End Patch
"""


@pytest.fixture(params=["http", "websocket"])
def codex(request: pytest.FixtureRequest, node: Node, server: Running, tmp_path: Path) -> Codex:
    """Codex in a project with a script that greets wrongly."""
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    (project / "greet.sh").write_text(WRONG)
    codex = Codex(node, server.url, request.param == "websocket", home, project)
    codex.configure()
    return codex


def command(text: str) -> Called:
    """How a model runs a command with Codex."""
    return Called("exec_command", json.dumps({"cmd": text}))


def freeform(name: str, text: str) -> Called:
    """How a model calls a custom tool through us."""
    return Called(name, json.dumps({"input": text}))


def offered(body: Any) -> set[str]:
    return {tool["function"]["name"] for tool in body.get("tools", [])}


def seen(upstream: Upstream, role: str) -> list[str]:
    """What the model's last request says in a role."""
    return [message["content"] for message in upstream.last.body["messages"] if message["role"] == role]


def test_a_task_of_several_commands_and_a_patch_is_done_until_the_file_is_right(
    codex: Codex, upstream: Upstream
) -> None:
    upstream.script(
        Answer(calls=[command("ls"), command("cat greet.sh")], reasoning="Look first."),
        Answer("I see it.", calls=[command(f"apply_patch <<'EOF'\n{PATCH}EOF")]),
        Answer(calls=[command("sh greet.sh")], size=7),
        Answer("It says hello now.", size=4),
    )
    told = codex.run(TASK)
    assert (codex.project / "greet.sh").read_text() == RIGHT
    assert {(0, "greet.sh\n"), (0, WRONG), (0, "hello\n")} <= set(told.outputs)
    assert told.messages == ["I see it.", "It says hello now."]
    assert [output.splitlines()[-1] for output in seen(upstream, "tool")][-1] == "hello"
    assert (told.usage["input_tokens"], told.usage["output_tokens"]) == (4 * 7, 4 * 5)


def test_a_model_that_codex_knows_patches_with_its_custom_tool(codex: Codex, upstream: Upstream) -> None:
    upstream.script(
        Answer(calls=[command("cat greet.sh")]),
        Answer(calls=[freeform("apply_patch", PATCH)], size=9),
        Answer("Done."),
    )
    told = codex.run("-m", "gpt-5.5", TASK)
    assert (codex.project / "greet.sh").read_text() == RIGHT
    assert told.changes == [[{"path": str(codex.project / "greet.sh"), "kind": "update"}]]
    assert told.messages == ["Done."]


def test_a_patch_that_breaks_its_grammar_never_reaches_codex(codex: Codex, upstream: Upstream) -> None:
    upstream.script(
        Answer(calls=[freeform("apply_patch", "replace helo by hello")]),
        Answer(calls=[freeform("apply_patch", PATCH)]),
        Answer("Done."),
    )
    told = codex.run("-m", "gpt-5.5", TASK)
    assert (codex.project / "greet.sh").read_text() == RIGHT
    assert len(told.changes) == 1
    assert len(seen(upstream, "tool")) == 1


def test_the_newest_models_get_their_tools_as_an_item_and_write_programs(
    codex: Codex, upstream: Upstream
) -> None:
    upstream.script(
        Answer(
            calls=[
                freeform(
                    "functions__exec",
                    'const { output } = await tools.exec_command({ cmd: "cat greet.sh" }); text(output);',
                )
            ]
        ),
        Answer(calls=[freeform("functions__exec", f"await tools.apply_patch({json.dumps(PATCH)});")]),
        Answer(
            calls=[
                freeform(
                    "functions__exec",
                    'text((await tools.exec_command({ cmd: "sh greet.sh" })).output);',
                )
            ]
        ),
        Answer("Done."),
    )
    told = codex.run("-m", "gpt-5.6-sol", TASK)
    assert (codex.project / "greet.sh").read_text() == RIGHT
    assert told.outputs == [(0, WRONG), (0, "hello\n")]
    assert told.messages == ["Done."]
    assert [text.splitlines()[-1] for text in seen(upstream, "tool")[::2]] == ["echo helo", "hello"]


def test_agents_of_the_newest_models_tell_each_other_what_to_do(codex: Codex, upstream: Upstream) -> None:
    def of_the_child(body: Any) -> bool:
        return "NEW_TASK" in str(body["messages"])

    task = {"task_name": "child", "message": "Read greet.sh."}
    upstream.on(of_the_child, Answer("It says helo."))
    upstream.script(
        Answer(calls=[Called("collaboration__spawn_agent", json.dumps(task))]),
        Answer(calls=[Called("collaboration__wait_agent")]),
        Answer("Wrong."),
    )
    told = codex.run("-m", "gpt-5.6-sol", "Have greet.sh read.")
    assert told.messages == ["Wrong."]
    (child,) = (received.body for received in upstream.requests if of_the_child(received.body))
    assert child["messages"][-1]["content"].endswith("Payload:\n\nRead greet.sh.")
    assert seen(upstream, "user")[-1].endswith("Payload:\nIt says helo.")


def test_a_session_is_resumed_with_all_that_was_said(codex: Codex, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[command("cat greet.sh")]), Answer("It says helo."), Answer("As I said."))
    first = codex.run("What does greet.sh say?")
    second = codex.run("resume", first.thread, "Are you sure?")
    assert second.thread == first.thread
    assert second.messages == ["As I said."]
    assert seen(upstream, "user")[-2:] == ["What does greet.sh say?", "Are you sure?"]
    assert seen(upstream, "assistant")[-1] == "It says helo."
    assert seen(upstream, "tool")[0].endswith(WRONG)


def test_a_session_is_forked_and_goes_two_ways(codex: Codex, upstream: Upstream) -> None:
    upstream.script(Answer("It says helo."), Answer("Hello."))
    first = codex.run("What does greet.sh say?")
    second = codex.run("fork", first.thread, "And what should it say?")
    assert second.thread != first.thread
    assert second.messages == ["Hello."]
    assert seen(upstream, "assistant") == ["It says helo."]


def test_changes_are_reviewed(codex: Codex, upstream: Upstream) -> None:
    for words in (["init", "--quiet"], ["add", "greet.sh"]):
        subprocess.run(["git", *words], cwd=codex.project, check=True)
    place = {
        "absolute_file_path": str(codex.project / "greet.sh"),
        "line_range": {"start": 1, "end": 1},
    }
    finding = {"title": "A typo", "body": "hello", "confidence_score": 0.9, "priority": 1}
    verdict = {
        "findings": [finding | {"code_location": place}],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "One letter is missing.",
        "overall_confidence_score": 0.9,
    }
    upstream.script(Answer(calls=[command("git diff --staged")]), Answer(json.dumps(verdict)))
    told = codex.run("review", "--uncommitted")
    assert told.messages[0].startswith("One letter is missing.")
    assert "A typo" in told.messages[0]
    assert "+echo helo" in seen(upstream, "tool")[-1]


NOTES = """
from fastmcp import FastMCP

server = FastMCP("notes")

@server.tool
def add_note(text: str) -> str:
    return f"added {text}"

server.run(show_banner=False)
"""
SEARCHED = [Called("tool_search", '{"query": "notes"}')], [Called("mcp__notes__add_note", '{"text": "milk"}')]
WAYS = {
    "some-model": [SEARCHED[1]],
    "gpt-5.5": [*SEARCHED],
    "gpt-5.6-sol": [[freeform("functions__exec", 'await tools.mcp__notes__add_note({ text: "milk" });')]],
}


@pytest.mark.parametrize("model", WAYS)
def test_tools_of_mcp_servers_are_called(
    codex: Codex, upstream: Upstream, tmp_path: Path, model: str
) -> None:
    """They are offered to a model that Codex does not know, found by one that it does, and called from
    programs by the newest ones."""
    (tmp_path / "notes.py").write_text(NOTES)
    settings = {"command": sys.executable, "args": [str(tmp_path / "notes.py")]}
    options = {
        **settings,
        "required": True,
        "startup_timeout_sec": 50,
        "default_tools_approval_mode": "approve",
    }
    words = [f"-cmcp_servers.notes.{name}={json.dumps(value)}" for name, value in options.items()]
    upstream.script(*[Answer(calls=calls) for calls in WAYS[model]], Answer("Noted."))
    told = codex.run(*words, "-m", model, "Note the milk.")
    assert told.messages == ["Noted."]
    assert [item["result"]["content"][0]["text"] for item in told.mcp_calls] == ["added milk"]


def test_the_last_message_follows_the_schema_that_was_given(
    codex: Codex, upstream: Upstream, tmp_path: Path
) -> None:
    schema = {
        "type": "object",
        "properties": {"lines": {"type": "integer"}},
        "required": ["lines"],
        "additionalProperties": False,
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    upstream.script(Answer(calls=[command("wc -l greet.sh")]), Answer('{"lines": 1}'))
    told = codex.run("--output-schema", str(tmp_path / "schema.json"), "Count the lines of greet.sh.")
    assert json.loads(told.messages[-1]) == {"lines": 1}
    assert upstream.last.body["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize("provider", ["Antiphon", "OpenAI"])
def test_a_context_that_grows_too_long_is_compacted_in_the_middle_of_a_task(
    codex: Codex, upstream: Upstream, provider: str
) -> None:
    """By Codex itself; or by us, when the provider is named OpenAI."""
    codex.configure(name=provider, settings="model_auto_compact_token_limit = 20000")
    upstream.script(
        Answer(calls=[command("echo one > one.txt")], usage=Usage(prompt=30_000)),
        Answer("one.txt is written, two.txt is still to do"),
        Answer(calls=[command("echo two > two.txt")]),
        Answer("Both are written."),
    )
    told = codex.run("Write one.txt, then two.txt.")
    assert told.messages == ["Both are written."]
    assert (codex.project / "one.txt").read_text() == "one\n"
    assert (codex.project / "two.txt").read_text() == "two\n"
    assert offered(upstream.requests[1].body) == set()
    users = seen(upstream, "user")
    assert users[-2] == "Write one.txt, then two.txt."
    assert users[-1].endswith("one.txt is written, two.txt is still to do")
    assert len(seen(upstream, "tool")) == 1


@pytest.mark.parametrize("key", [COMMAND, ADDRESS], ids=["command", "address"])
def test_codex_reads_the_catalogue_and_works_by_it(codex: Codex, upstream: Upstream, key: str) -> None:
    codex.configure(key=key)
    upstream.models, upstream.listed = ["some-model", "other"], {"max_model_len": 50_000}
    upstream.script(
        Answer(calls=[freeform("apply_patch", PATCH)]),
        Answer("It says hello now."),
    )

    told = codex.run(TASK)

    assert (codex.project / "greet.sh").read_text() == RIGHT
    assert told.messages == ["It says hello now."]
    # It neither failed to read the catalogue, nor does it miss anything of the model there.
    assert [event for event in told.events if event.get("item", {}).get("type") == "error"] == []
    kept = json.loads((codex.home / "models_cache.json").read_text())
    assert {model["slug"]: model["context_window"] for model in kept["models"]} == {
        "some-model": 50_000,
        "other": 50_000,
    }
    assert kept["etag"]
    assert seen(upstream, "system")[0].startswith(INSTRUCTIONS)


def test_a_context_grows_no_longer_than_the_catalogue_says(codex: Codex, upstream: Upstream) -> None:
    codex.configure(key=COMMAND)
    upstream.models, upstream.listed = ["some-model"], {"max_model_len": 30_000}
    upstream.script(
        Answer(calls=[command("echo one > one.txt")], usage=Usage(prompt=28_000)),
        Answer("one.txt is written"),
        Answer("It is written."),
    )

    told = codex.run("Write one.txt.")

    assert told.messages == ["It is written."]
    assert seen(upstream, "user")[-1].endswith("one.txt is written")


def test_a_catalogue_leaves_codex_what_it_knows_of_other_models(codex: Codex, upstream: Upstream) -> None:
    codex.configure(key=COMMAND)
    upstream.models = ["some-model"]
    upstream.script(Answer(calls=[freeform("apply_patch", PATCH)]), Answer("Done."))

    assert codex.run("-m", "gpt-5.5", TASK).messages == ["Done."]
    assert not seen(upstream, "system")[0].startswith(INSTRUCTIONS)
