"""A server that is killed while it runs code in the background: nothing runs twice, and the response ends."""

import json
import time

import pytest
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.api.test_background import ended
from tests.killed import PATIENCE, Killed
from tests.scripted import Answer, Upstream
from tests.tools.coding.killing import client, driver, killed
from tests.tools.coding.workbench import Workbench
from tests.tools.using import calls, read

__all__ = ["client", "driver", "killed"]

INTERPRETER: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
SHELL: Json = {"type": "shell", "environment": {"type": "container_auto"}}
LINK = "See [it](sandbox:/mnt/data/out.csv)."
WRITE = "import pathlib\npathlib.Path('/mnt/data/out.csv').write_text('a')\ndisplay(PNG)"
SLOW = "gate.wait(20)"


def python(code: str) -> Answer:
    return calls("python", json.dumps({"code": code}), 20)


def read_until(client: OpenAI, tool: Json, kind: str, count: int = 1) -> str:
    """The id of a background response that was read until so many events of the kind were there."""
    response_id = ""
    with client.responses.create(
        model="m",
        input="Hi",
        tools=[tool],  # type: ignore[list-item]
        background=True,
        stream=True,
    ) as events:
        for event in events:
            response_id = response_id or event.response.id  # type: ignore[union-attr]
            count -= event.type == f"response.{kind}"
            if count == 0:
                return response_id
    raise AssertionError("the stream ended")


def runs(driver: Workbench, what: str) -> None:
    """Until it runs."""
    until = time.monotonic() + PATIENCE
    while what not in driver.log:
        assert time.monotonic() < until, "it never ran"


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("output_item.added", 1),
        ("code_interpreter_call.in_progress", 1),
        ("code_interpreter_call_code.delta", 1),
        ("code_interpreter_call_code.delta", 3),
        ("code_interpreter_call_code.done", 1),
        ("code_interpreter_call.interpreting", 1),
        ("code_interpreter_call.completed", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("content_part.added", 1),
        ("output_text.delta", 1),
        ("output_text.delta", 4),
        ("output_text.annotation.added", 1),
        ("output_text.annotation.added", 2),
        ("output_text.done", 1),
        ("output_item.done", 2),
    ],
)
def test_code_is_never_run_twice_and_what_it_made_is_cited(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench, kind: str, count: int
) -> None:
    upstream.script(python(WRITE))
    upstream.default = Answer(LINK, size=6)
    response_id = read_until(client, INTERPRETER, kind, count)
    killed.kill()
    killed.start()

    done = whole(ended(client, response_id))

    assert done["status"] == "completed"
    (call,) = (item for item in done["output"] if item["type"] == "code_interpreter_call")
    assert call["status"] in ("incomplete", "completed")
    assert len(driver.log) <= 1
    message = done["output"][-1]["content"][0]
    assert message["text"] == LINK
    if call["status"] == "completed":
        assert driver.log == [WRITE]
        places = [(each["start_index"], each["end_index"]) for each in message["annotations"]]
        assert places == [(0, 0), (9, 34)]
        assert {each["container_id"] for each in message["annotations"]} == {call["container_id"]}


def test_code_that_a_kill_interrupted_is_an_incomplete_call_and_its_container_lives_on(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench
) -> None:
    upstream.script(python(WRITE), python(SLOW), python("open('/mnt/data/out.csv').read()"), Answer(LINK))
    response_id = read_until(client, INTERPRETER, "code_interpreter_call.interpreting", 2)
    runs(driver, SLOW)
    killed.kill()
    killed.start()

    done = whole(ended(client, response_id))

    *made, message = done["output"]
    assert [call["status"] for call in made] == ["completed", "incomplete", "completed"]
    assert len({call["container_id"] for call in made}) == 1
    assert [each["filename"] for each in message["content"][0]["annotations"]][1:] == ["out.csv"]
    assert driver.log.count(SLOW) == 1
    assert "may have taken effect" in read(upstream, 2)[-1]["content"]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("created", 1),
        ("output_item.added", 1),
        ("shell_call_command.added", 1),
        ("shell_call_command.delta", 1),
        ("shell_call_command.done", 1),
        ("shell_call_command.done", 2),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("shell_call_output_content.delta", 1),
        ("shell_call_output_content.done", 1),
        ("shell_call_output_content.done", 2),
        ("output_item.done", 2),
        ("output_text.delta", 2),
    ],
)
def test_commands_are_never_run_twice(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench, kind: str, count: int
) -> None:
    commands = ["echo a > out.csv; echo b", "echo c"]
    upstream.script(calls("shell", json.dumps({"commands": commands}), 4))
    upstream.default = Answer(LINK, size=6)
    response_id = read_until(client, SHELL, kind, count)
    named = client.responses.retrieve(response_id).tools[0]
    killed.kill()
    killed.start()

    done = whole(ended(client, response_id))

    assert done["status"] == "completed"
    assert done["tools"] == [whole(named)]
    assert driver.log in ([], commands[:1], commands)
    items = {item["type"]: item for item in done["output"]}
    assert items["message"]["content"][0]["text"] == LINK
    if items.get("shell_call", {}).get("status") == "completed":
        output = items["shell_call_output"]
        assert (output["status"] == "completed") is (len(output["output"]) == 2)
        assert {item["environment"]["container_id"] for item in done["output"] if "environment" in item} == {
            done["tools"][0]["environment"]["container_id"]
        }
    assert whole(client.responses.create(model="m", input="And?", previous_response_id=response_id))


def test_of_commands_that_a_kill_interrupted_the_model_reads_so(
    killed: Killed, client: OpenAI, upstream: Upstream, driver: Workbench
) -> None:
    upstream.script(calls("shell", '{"commands": ["sleep 20"]}'), Answer("I stop."))
    response_id = read_until(client, SHELL, "output_item.added", 2)
    runs(driver, "sleep 20")
    killed.kill()
    killed.start()

    done = whole(ended(client, response_id))

    assert [(item["type"], item["status"]) for item in done["output"]] == [
        ("shell_call", "completed"),
        ("shell_call_output", "incomplete"),
        ("message", "completed"),
    ]
    assert driver.log == ["sleep 20"]
    assert "may have taken effect" in read(upstream)[-1]["content"]
