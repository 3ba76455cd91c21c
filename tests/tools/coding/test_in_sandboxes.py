"""The tools on real sandboxes of bubblewrap; where these cannot run the tests are skipped, with the words."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.api.test_background import ended
from tests.conftest import Running, checked_client, config_for
from tests.kept_python import kept_python
from tests.killed import Killed
from tests.scripted import Answer, Called, Upstream
from tests.tools.test_file_citations import recorded
from tests.tools.using import ask, calls, read, stream

from antiphon import config
from antiphon.sandbox.bubblewrap import Bubblewrap

INTERPRETER: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
SHELL: Json = {"type": "shell", "environment": {"type": "container_auto"}}
OUTPUTS = "code_interpreter_call.outputs"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment for the sandboxes' Python."""
    found = kept_python().folder
    driver = Bubblewrap(tmp_path_factory.mktemp("tried"), lambda: found)
    if why := asyncio.run(_checked(driver)):
        pytest.skip(why)
    return found


async def _checked(driver: Bubblewrap) -> str | None:
    try:
        return await driver.check()
    finally:
        await driver.close()


@pytest.fixture(scope="module")
def client(_upstream: Upstream, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    sandbox = config.Sandbox(environment=str(python), seconds=5)
    settings = replace(config_for(_upstream, tmp_path_factory.mktemp("data")), sandbox=sandbox)
    with Running(settings) as running, checked_client(running.url) as client:
        yield client


def run(code: str) -> Answer:
    return calls("python", json.dumps({"code": code}), 9)


def shell(*commands: str, **limits: Any) -> Answer:
    return calls("shell", json.dumps({"commands": commands, **limits}), 9)


def result(upstream: Upstream, which: int = -1) -> Any:
    return [message["content"] for message in read(upstream, which) if message["role"] == "tool"][-1]


def test_a_figure_and_a_table_come_back_and_are_cited(client: OpenAI, upstream: Upstream) -> None:
    code = (
        "import pandas as pd, matplotlib.pyplot as plt\n"
        "table = pd.DataFrame({'n': range(1, 6)})\ntable['square'] = table.n ** 2\n"
        "table.to_csv('/mnt/data/squares.csv', index=False)\n"
        "plt.plot(table.n, table.square)\nplt.show()\nprint(table.square.sum())"
    )
    upstream.script(run(code), Answer("See [it](sandbox:/mnt/data/squares.csv).", size=4))

    events = stream(client, INTERPRETER, include=[OUTPUTS])

    call, message = events[-1]["response"]["output"]
    assert [output["type"] for output in call["outputs"]] == ["image", "logs"]
    assert call["outputs"][1]["logs"] == "55\n"
    picture, table = message["content"][0]["annotations"]
    assert picture["filename"] == f"{picture['file_id']}.png"
    content = [
        client.containers.files.content.retrieve(each["file_id"], container_id=call["container_id"]).read()
        for each in (picture, table)
    ]
    assert content[0].startswith(b"\x89PNG")
    assert content[1].splitlines()[-1] == b"5,25"
    theirs = {event["type"] for event in recorded("code_interpreter_image")}
    assert theirs == {event["type"] for event in events}


def test_state_stays_from_call_to_call_and_from_turn_to_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(run("x = 6"), run("x * 7"), Answer("ok"), run("x + 1"), Answer("ok"))

    first = ask(client, INTERPRETER, include=[OUTPUTS])
    second = ask(client, INTERPRETER, include=[OUTPUTS], previous_response_id=first["id"])

    assert first["output"][1]["outputs"] == [{"type": "logs", "logs": "42\n"}]
    assert second["output"][0]["outputs"] == [{"type": "logs", "logs": "7\n"}]


def test_files_of_the_input_are_worked_on(client: OpenAI, upstream: Upstream) -> None:
    content = [
        {"type": "input_file", "filename": "ducks.csv", "file_data": "YSxiCjEsMgo="},
        {"type": "input_text", "text": "Sum it up."},
    ]
    upstream.script(run("import pandas as pd\nint(pd.read_csv('ducks.csv').sum().sum())"), Answer("3"))

    (call, _) = ask(client, INTERPRETER, given=[{"role": "user", "content": content}], include=[OUTPUTS])[
        "output"
    ]

    assert call["outputs"] == [{"type": "logs", "logs": "3\n"}]


def test_code_that_runs_too_long_is_stopped_and_the_model_reads_so(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(run("print('begun')\nwhile True: pass"), run("print('well')"), Answer("ok"))

    first, second, _ = ask(client, INTERPRETER, include=[OUTPUTS])["output"]

    assert (first["status"], first["outputs"]) == ("completed", [{"type": "logs", "logs": "begun\n"}])
    assert "5 seconds" in json.dumps(upstream.requests[1].body["messages"])
    assert second["outputs"] == [{"type": "logs", "logs": "well\n"}]


def test_a_kernel_that_kills_itself_fails_its_call_and_the_next_one_works(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(run("import os\nos.kill(-1, 9)"), run("print('well')"), Answer("ok"))

    first, second, _ = ask(client, INTERPRETER, include=[OUTPUTS])["output"]

    assert first["outputs"] in ([], None)
    assert (second["status"], second["outputs"]) == ("completed", [{"type": "logs", "logs": "well\n"}])


def test_commands_run_with_their_codes_and_limits(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(shell("echo a > b; cat b; exit 3", "sleep 30", timeout_ms=500), Answer("ok"))

    _, output, _ = ask(client, SHELL)["output"]

    assert output["output"][0] == {
        "stdout": "a\n",
        "stderr": "",
        "outcome": {"type": "exit", "exit_code": 3},
    }
    assert output["output"][1]["outcome"] == {"type": "timeout"}


def test_code_and_commands_that_are_called_at_once_both_run(client: OpenAI, upstream: Upstream) -> None:
    both = [Called("python", '{"code": "print(1)"}'), Called("shell", '{"commands": ["echo 2"]}')]
    upstream.script(Answer(calls=both), Answer("ok"))

    code, _, output, _ = ask(client, INTERPRETER, SHELL, include=[OUTPUTS])["output"]

    assert code["outputs"] == [{"type": "logs", "logs": "1\n"}]
    assert output["output"][0]["stdout"] == "2\n"


@pytest.mark.parametrize("tool", [INTERPRETER, SHELL], ids=["python", "shell"])
def test_a_container_that_is_deleted_while_code_runs_is_gone_and_the_next_call_has_another(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    calls = [shell("true"), shell("sleep 60"), shell("echo anew")]
    if tool is INTERPRETER:
        calls = [run("1"), run("import time; time.sleep(60)"), run("print('anew')")]
    upstream.script(*calls, Answer("ok"))
    begun: list[Any] = []

    with client.responses.create(model="m", input="Hi", tools=[tool], stream=True) as events:  # type: ignore[list-item]
        for event in events:
            if event.type == "response.output_item.added" and event.item.type.endswith("_call"):
                begun.append(event.item)
            if len(begun) == 2 and event.type in (
                "response.code_interpreter_call.interpreting",
                "response.output_item.done",
            ):
                break
        place = begun[1] if tool is INTERPRETER else begun[1].environment
        client.containers.delete(place.container_id)
        last = list(events)[-1]

    assert last.type == "response.completed"
    assert "The next call has a new container" in result(upstream, -2)
    assert "anew" in result(upstream)


@pytest.mark.chaos
def test_a_server_that_is_killed_goes_on_with_the_files_of_the_container(
    upstream: Upstream, python: Path, tmp_path: Path
) -> None:
    write = "import pathlib, time\npathlib.Path('/mnt/data/a.txt').write_text('kept')"
    upstream.script(
        run(write), run("time.sleep(60)"), run("print(open('/mnt/data/a.txt').read())"), Answer("ok")
    )
    (tmp_path / "antiphon.toml").write_text(f'[sandbox]\nenvironment = "{python}"\n')
    options = ("--config", str(tmp_path / "antiphon.toml"))
    with Killed(tmp_path, upstream, options=options) as killed, checked_client(killed.url) as client:
        response_id, interpreting = "", 0
        with client.responses.create(
            model="m",
            input="Hi",
            tools=[INTERPRETER],  # type: ignore[list-item]
            include=[OUTPUTS],  # type: ignore[list-item]
            background=True,
            stream=True,
        ) as events:
            for event in events:
                response_id = response_id or event.response.id  # type: ignore[union-attr]
                interpreting += event.type == "response.code_interpreter_call.interpreting"
                if interpreting == 2:
                    break
        killed.kill()
        killed.start()

        *made, _ = whole(ended(client, response_id))["output"]

    assert [call["status"] for call in made] == ["completed", "incomplete", "completed"]
    assert len({call["container_id"] for call in made}) == 1
    assert "kept" in result(upstream)
