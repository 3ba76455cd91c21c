"""Code and commands as the real API emits them: each recorded event is ours too, in its form."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.test_file_citations import form, of_response, recorded
from tests.tools.using import calls, stream

INTERPRETER: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
SHELL: Json = {"type": "shell", "environment": {"type": "container_auto"}}
OUTPUTS = "code_interpreter_call.outputs"
FILE = "import pathlib\npathlib.Path('/mnt/data/out.csv').write_text('a')\nprint('LOG')"


def python(code: str) -> Answer:
    return calls("python", json.dumps({"code": code}), 5)


def merged(events: Sequence[Json]) -> Iterator[Json]:
    """The events, in which what was cut into deltas is whole."""

    def run(event: Json) -> Any:
        part = ("type", "output_index", "content_index", "command_index")
        whole = isinstance(event.get("delta"), str)
        return tuple(event.get(name) for name in part) if whole else event["sequence_number"]

    for _, group in groupby(events, run):
        first, *more = group
        yield first | {"delta": first["delta"] + "".join(each["delta"] for each in more)} if more else first


def compare(events: Sequence[Json], name: str) -> None:
    ours, theirs = list(merged(events)), list(merged(recorded(name)))
    assert [event["type"] for event in ours] == [event["type"] for event in theirs]
    for mine, real in zip(ours, theirs, strict=True):
        assert form(of_response(mine, real)) == form(real)
        for place in ("start_index", "end_index", "filename"):
            if place in real.get("annotation", {}) and not real["annotation"]["filename"].startswith("cfile"):
                assert mine["annotation"][place] == real["annotation"][place]


@covers("event.response.code_interpreter_call_code.delta", "annotation.container_file_citation")
def test_code_that_makes_a_file_is_emitted_as_it_was_recorded(client: OpenAI, upstream: Upstream) -> None:
    said = "[link](sandbox:/mnt/data/out.csv) ipsum "
    upstream.script(python(FILE), python("print(1)"), python("print(2)"), Answer(said, size=7))

    events = stream(client, INTERPRETER, include=[OUTPUTS])

    compare(events, "code_interpreter_file")


def test_code_that_displays_a_picture_is_emitted_as_it_was_recorded(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(python(f"display(PNG)\n{FILE}"), Answer("[link](sandbox:/mnt/data/out.csv)"))

    events = stream(client, INTERPRETER, include=[OUTPUTS], tool_choice="required")

    compare(events, "code_interpreter_image")
    picture = next(event["annotation"] for event in events if "annotation" in event)
    assert picture["filename"] == f"{picture['file_id']}.png"
    assert (picture["start_index"], picture["end_index"]) == (0, 0)


def test_commands_in_a_container_are_emitted_as_they_were_recorded(
    client: OpenAI, upstream: Upstream
) -> None:
    ls = calls("shell", '{"commands": ["echo OUT"]}', 6)
    upstream.script(ls, ls, Answer("Lorem "))

    events = stream(client, SHELL)

    compare(events, "shell_container")


def test_commands_of_the_clients_are_emitted_as_they_were_recorded(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(calls("shell", '{"commands": ["ls"], "max_output_length": 8912}', 6), Answer("Lorem "))
    tool = {"type": "shell"}

    first = stream(client, tool)
    printed = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    output = {"type": "shell_call_output", "call_id": "call_0", "output": [printed]}
    second = stream(client, tool, given=[output], previous_response_id=first[0]["response"]["id"])

    theirs = recorded("shell_local")
    begin = next(index for index, event in enumerate(theirs) if index and event["type"] == "response.created")
    for ours, real in ((first, theirs[:begin]), (second, theirs[begin:])):
        assert [event["type"] for event in merged(ours)] == [event["type"] for event in merged(real)]
        for mine, one in zip(merged(ours), merged(real), strict=True):
            assert form(_without_environment(of_response(mine, one))) == form(one)


@pytest.mark.parametrize("tool", [INTERPRETER, SHELL], ids=["code_interpreter", "shell"])
def test_the_helper_of_the_sdk_follows_the_stream(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    called = python(FILE) if tool is INTERPRETER else calls("shell", '{"commands": ["ls", "pwd"]}', 6)
    upstream.script(called, Answer("[link](sandbox:/mnt/data/out.csv)", size=5))

    with client.responses.stream(model="m", input="Hi", tools=[tool]) as events:  # type: ignore[list-item]
        kinds = [event.type for event in events]
        final = events.get_final_response()

    assert kinds[-1] == "response.completed"
    kept = whole(client.responses.retrieve(final.id))["output"]
    assert [item.to_dict() for item in final.output[:-1]] == kept[:-1]
    assert final.output_text == kept[-1]["content"][0]["text"]


def _without_environment(event: Json) -> Json:
    """Ours has the member always: null."""
    items = [event.get("item", {}), *event.get("response", {}).get("output", ())]
    for item in items:
        if item.get("environment", "") is None:
            del item["environment"]
    return event
