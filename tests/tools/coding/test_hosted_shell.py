"""`shell` in a container: commands that really run, and what becomes of them."""

import io
import json
import re
import zipfile
from base64 import b64encode
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused, some_id, whole
from tests.api.test_background import begin, ended
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.coding.serving import Coding
from tests.tools.using import ask, calls, emitted, offered, result, stream

AUTO: Json = {"type": "shell", "environment": {"type": "container_auto"}}
RAN = [
    "output_item.added",
    "shell_call_command.added",
    "shell_call_command.done",
    "output_item.done",
    "output_item.added",
    "shell_call_output_content.delta",
    "shell_call_output_content.done",
    "output_item.done",
]


def shell(*commands: str, size: int = 0, **limits: Any) -> Answer:
    return calls("shell", json.dumps({"commands": commands, **limits}), size)


def reference(container_id: str) -> Json:
    return {"type": "shell", "environment": {"type": "container_reference", "container_id": container_id}}


# ---- what it does --------------------------------------------------------------------------------------


@covers(
    "tool.shell",
    "tool.shell.environment",
    "tool.shell.environment.container_auto",
    "item.output.shell_call",
    "item.output.shell_call_output",
    "event.response.shell_call_command.added",
    "event.response.shell_call_command.delta",
    "event.response.shell_call_command.done",
    "event.response.shell_call_output_content.delta",
    "event.response.shell_call_output_content.done",
)
@pytest.mark.parametrize("size", [0, 1, 4])
def test_commands_are_emitted_as_they_are_written_and_run_on_the_server(
    client: OpenAI, upstream: Upstream, coding: Coding, size: int
) -> None:
    upstream.script(shell("echo 'é \U0001f600'", size=size), Answer("Done."))

    events = stream(client, AUTO)

    kinds = [kind for kind in emitted(events) if kind != "shell_call_command.delta"]
    assert kinds[:8] == RAN
    place = {"type": "container_reference", "container_id": coding.made[-1]}
    call = {
        "type": "shell_call",
        "id": some_id("sh"),
        "call_id": "call_0",
        "environment": place,
        "status": "completed",
        "action": {"commands": ["echo 'é \U0001f600'"], "max_output_length": None, "timeout_ms": None},
    }
    printed = {"stdout": "é \U0001f600\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    output = {
        "type": "shell_call_output",
        "id": some_id("sho"),
        "call_id": "call_0",
        "status": "completed",
        "max_output_length": None,
        "output": [printed],
    }
    assert events[-1]["response"]["output"][:2] == [call, output]
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert added[0] == call | {"status": "in_progress", "action": call["action"] | {"commands": []}}
    assert added[1] == output | {"output": []}
    assert result(upstream) == "é \U0001f600\n\n[exit code 0]"


@covers("tool.shell.environment.container_auto")
@pytest.mark.parametrize("members", [{}, {"stream": True}, {"background": True, "stream": True}])
def test_the_response_names_the_container_from_its_first_event_on(
    client: OpenAI, upstream: Upstream, coding: Coding, members: Json
) -> None:
    upstream.script(Answer("Hi"))

    if members:
        events = stream(client, AUTO, **{name: value for name, value in members.items() if name != "stream"})
        answers = [event["response"] for event in events if "response" in event]
    else:
        answers = [ask(client, AUTO)]

    for answer in (*answers, whole(client.responses.retrieve(answers[0]["id"]))):
        assert answer["tools"] == [reference(coding.made[-1])]


def test_the_model_is_shown_one_function(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    ask(client, AUTO)

    (function,) = offered(upstream).values()
    assert function["name"] == "shell"
    assert list(function["parameters"]["properties"]) == ["commands", "timeout_ms", "max_output_length"]
    assert "/mnt/data" in function["description"]


def test_several_commands_have_an_output_each(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(shell("echo one", "echo two >&2; exit 3", "true"), Answer("Done."))

    events = stream(client, AUTO)

    _, output, _ = events[-1]["response"]["output"]
    assert [(each["stdout"], each["stderr"], each["outcome"]) for each in output["output"]] == [
        ("one\n", "", {"type": "exit", "exit_code": 0}),
        ("", "two\n", {"type": "exit", "exit_code": 3}),
        ("", "", {"type": "exit", "exit_code": 0}),
    ]
    told = [event for event in events if "shell_call_output_content" in event["type"]]
    assert [(event["command_index"], event.get("delta")) for event in told] == [
        (0, {"stdout": "one\n"}),
        (0, None),
        (1, {"stderr": "two\n"}),
        (1, None),
        (2, None),
    ]
    assert result(upstream) == "one\n\n[exit code 0]\ntwo\n\n[exit code 3]\n[exit code 0]"


def test_limits_are_those_that_the_model_chose(client: OpenAI, upstream: Upstream) -> None:
    slow = shell("echo begun; sleep 30", "echo 12345678", timeout_ms=200, max_output_length=4)
    upstream.script(slow, Answer("Too slow."))

    call, output, _ = ask(client, AUTO)["output"]

    assert (call["action"]["timeout_ms"], call["action"]["max_output_length"]) == (200, 4)
    assert (output["status"], output["max_output_length"]) == ("completed", 4)
    late, cut = output["output"]
    assert (late["outcome"], late["stdout"]) == ({"type": "timeout"}, "begu")
    assert cut["stdout"] == "1234"
    assert "[timeout]" in result(upstream)


@pytest.mark.parametrize("arguments", ['{"commands": "echo 42"}', '{"command": "echo 42"}'])
@pytest.mark.parametrize("size", [0, 1])
def test_what_small_models_write_for_commands_is_run(
    client: OpenAI, upstream: Upstream, arguments: str, size: int
) -> None:
    upstream.script(calls("shell", arguments, size), Answer("ok"))

    call, output, _ = ask(client, AUTO)["output"]

    assert call["action"]["commands"] == ["echo 42"]
    assert output["output"][0]["stdout"] == "42\n"


@pytest.mark.parametrize("wrong", ["{}", '{"commands": []}', '{"commands": [1]}', "ls"])
def test_a_call_without_commands_is_asked_for_again(client: OpenAI, upstream: Upstream, wrong: str) -> None:
    upstream.script(calls("shell", wrong), shell("echo 42"), Answer("ok"))

    _, output, _ = ask(client, AUTO)["output"]

    assert output["output"][0]["stdout"] == "42\n"


def test_commands_that_break_off_are_not_run_and_the_model_reads_so(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(calls("shell", '{"commands": ["echo 1", "rm -rf /mnt'), Answer("I stop."))
    before = coding.log

    call, message = ask(client, AUTO)["output"]

    assert (call["status"], message["content"][0]["text"]) == ("incomplete", "I stop.")
    assert coding.log == before
    assert "were not run" in result(upstream)


def test_calls_of_one_turn_run_one_after_another_in_one_container(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    both = [Called("shell", json.dumps({"commands": [each]})) for each in ("echo 42 > a", "cat a")]
    upstream.script(Answer(calls=both), Answer("ok"))

    output = ask(client, AUTO)["output"]

    kinds = ["shell_call", "shell_call_output"]
    assert [item["type"] for item in output] == [*kinds, *kinds, "message"]
    assert output[3]["output"][0]["stdout"] == "42\n"


# ---- which container -----------------------------------------------------------------------------------


@covers(
    "tool.shell.environment.container_reference", "tool.shell.environment.container_reference.container_id"
)
def test_the_container_that_a_response_named_is_used_in_the_next(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(shell("echo 42 > a"), Answer("ok"), shell("cat a"), Answer("ok"))
    first = ask(client, AUTO)
    before = coding.made

    second = ask(client, *first["tools"], previous_response_id=first["id"])

    assert second["tools"] == first["tools"]
    assert second["output"][1]["output"][0]["stdout"] == "42\n"
    assert coding.made == before


@pytest.mark.parametrize("way", ["previous_response_id", "input"])
def test_the_container_of_an_earlier_call_is_used_again(
    client: OpenAI, upstream: Upstream, coding: Coding, way: str
) -> None:
    upstream.script(shell("echo 42 > a"), Answer("ok"), shell("cat a"), Answer("ok"))
    first = ask(client, AUTO)
    before = coding.made
    members: Json = {"previous_response_id": first["id"]}
    if way == "input":
        members = {"given": [*first["output"], {"role": "user", "content": "And?"}], "store": False}

    second = ask(client, AUTO, **members)

    assert second["tools"] == first["tools"]
    assert second["output"][1]["output"][0]["stdout"] == "42\n"
    assert coding.made == before


@pytest.mark.parametrize("how", ["expired", "deleted"])
def test_an_earlier_container_that_is_gone_is_replaced_in_silence(
    client: OpenAI, upstream: Upstream, coding: Coding, how: str
) -> None:
    upstream.script(shell("true"), Answer("ok"), shell("true"), Answer("ok"))
    first = ask(client, AUTO)
    coding.end(coding.made[-1], how)

    second = ask(client, AUTO, previous_response_id=first["id"])

    assert second["tools"] == [reference(coding.made[-1])] != first["tools"]
    assert second["output"][1]["status"] == "completed"


@pytest.mark.parametrize(("how", "status"), [("expired", 400), ("deleted", 404)])
def test_a_container_that_the_request_names_and_that_is_gone_refuses_it(
    client: OpenAI, upstream: Upstream, coding: Coding, how: str, status: int
) -> None:
    upstream.script(Answer("Hi"))
    first = ask(client, AUTO)
    coding.end(coding.made[-1], how)

    with refused(status):
        ask(client, *first["tools"])


@covers(
    "tool.shell.environment.container_auto.skills",
    "tool.shell.environment.container_auto.skills.inline",
    "tool.shell.environment.container_auto.skills.inline.name",
    "tool.shell.environment.container_auto.skills.inline.description",
    "tool.shell.environment.container_auto.skills.inline.source",
    "tool.shell.environment.container_auto.skills.inline.source.base64",
    "tool.shell.environment.container_auto.skills.inline.source.base64.data",
    "tool.shell.environment.container_auto.skills.inline.source.base64.media_type",
)
def test_the_model_reads_of_the_skills_in_the_container(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"), Answer("Hi"))
    source = {"type": "base64", "media_type": "application/zip", "data": b64encode(zipped("csv")).decode()}
    skill = {"type": "inline", "name": "csv", "description": "Reads tables.", "source": source}

    first = ask(client, {"type": "shell", "environment": {"type": "container_auto", "skills": [skill]}})
    about = offered(upstream)["shell"]["description"]
    ask(client, *first["tools"])

    assert re.search(r"- csv: Reads tables\. \(/home/oai/skills/csv-[0-9a-f]{32}\)", about)
    assert "read SKILL.md" in about
    assert offered(upstream)["shell"]["description"] == about, "by reference too"


@covers(
    "tool.shell.environment.container_auto.skills.skill_reference",
    "tool.shell.environment.container_auto.skills.skill_reference.skill_id",
    "tool.shell.environment.container_auto.skills.skill_reference.version",
)
def test_skills_of_the_project_are_named(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))
    kept = client.skills.create(files=("csv.zip", zipped("csv"), "application/zip"))
    skills = [{"type": "skill_reference", "skill_id": kept.id, "version": "latest"}]

    ask(client, {"type": "shell", "environment": {"type": "container_auto", "skills": skills}})

    assert "- csv: Reads tables. (/home/oai/skills/csv-" in offered(upstream)["shell"]["description"]


def zipped(name: str) -> bytes:
    """A skill."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(
            f"{name}/SKILL.md", f"---\nname: {name}\ndescription: Reads tables.\n---\nRead them.\n"
        )
    return made.getvalue()


def test_files_of_the_input_are_there(client: OpenAI, upstream: Upstream) -> None:
    content = [{"type": "input_file", "filename": "a.txt", "file_data": "Qm9hdHM="}]
    upstream.script(shell("cat a.txt"), Answer("ok"))

    output = ask(client, AUTO, given=[{"role": "user", "content": content}])["output"]

    assert "Files that are there: /mnt/data/a.txt" in offered(upstream, 0)["shell"]["description"]
    assert output[1]["output"][0]["stdout"] == "Boats"


# ---- past items ----------------------------------------------------------------------------------------


@covers("item.input.shell_call", "item.input.shell_call_output")
@pytest.mark.parametrize("tools", [[AUTO], [{"type": "shell"}], []])
def test_both_items_are_read_in_a_later_turn_and_as_input(
    client: OpenAI, upstream: Upstream, tools: list[Json]
) -> None:
    upstream.script(shell("echo 42"), Answer("ok"), Answer("ok"), Answer("ok"))
    first = ask(client, AUTO)

    ask(client, *tools, previous_response_id=first["id"])
    assert result(upstream) == "42\n\n[exit code 0]"
    ask(client, *tools, given=[*first["output"], {"role": "user", "content": "And?"}], store=False)
    assert result(upstream) == "42\n\n[exit code 0]"


@pytest.mark.parametrize("left", [0, 1])
def test_one_of_the_two_alone_is_refused(client: OpenAI, upstream: Upstream, left: int) -> None:
    upstream.script(shell("echo 42"), Answer("ok"))
    first = ask(client, AUTO, store=False)

    with refused(400, None, "input") as refusal:
        ask(client, AUTO, given=[first["output"][left], {"role": "user", "content": "And?"}], store=False)

    assert "found for shell call" in refusal.message


# ---- what goes wrong -----------------------------------------------------------------------------------


def test_a_container_that_goes_in_the_middle_leaves_an_incomplete_output(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    gate = Gate(after=0)
    again = Answer(calls=[Called("shell", '{"commands": ["true"]}')], gate=gate)
    upstream.script(shell("true"), again, Answer("I stop."), Answer("ok"))
    response = begin(client, tools=[AUTO])
    gate.wait_reached()
    coding.end(coding.made[-1], "deleted")
    gate.open()

    done = whole(ended(client, response.id))

    assert [item["status"] for item in done["output"]] == [*["completed"] * 3, "incomplete", "completed"]
    assert "Container not found" in result(upstream)
    ask(client, AUTO, previous_response_id=done["id"])
    assert "interrupted" in result(upstream)


def test_commands_that_run_when_the_response_is_cancelled_leave_an_incomplete_output(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(shell("sleep 2"), Answer("ok"))
    response = begin(client, tools=[AUTO], stream=False)
    while len(coding.log) == 0 or coding.log[-1] != "sleep 2":
        assert client.responses.retrieve(response.id).status in ("queued", "in_progress")

    client.responses.cancel(response.id)

    cancelled = whole(ended(client, response.id))
    assert [(item["type"], item["status"]) for item in cancelled["output"]] == [
        ("shell_call", "completed"),
        ("shell_call_output", "incomplete"),
    ]
    ask(client, previous_response_id=cancelled["id"])
    assert "interrupted" in result(upstream)


@covers("tool.shell.allowed_callers")
def test_a_tool_for_programs_alone_is_refused(client: OpenAI) -> None:
    with refused(400, "unsupported_value", "tools[0].allowed_callers"):
        ask(client, AUTO | {"allowed_callers": ["programmatic"]})


@covers("param.max_tool_calls")
def test_calls_past_the_limit_are_not_made(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    upstream.script(shell("echo 1"), shell("echo 2"), Answer("I stop."))

    answer = ask(client, AUTO, max_tool_calls=1)

    assert [item["type"] for item in answer["output"]] == ["shell_call", "shell_call_output", "message"]
    assert coding.log[-1] == "echo 1"


@covers("tool_choice.shell")
@pytest.mark.parametrize(
    "choice",
    [{"type": "shell"}, {"type": "allowed_tools", "mode": "required", "tools": [{"type": "shell"}]}],
)
def test_a_call_that_was_forced_is_made_once(client: OpenAI, upstream: Upstream, choice: Json) -> None:
    upstream.script(shell("echo 1"), Answer("One."))

    answer = ask(client, AUTO, tool_choice=choice)

    forced, free = (request.body.get("tool_choice") for request in upstream.requests)
    assert forced in ("required", {"type": "function", "function": {"name": "shell"}})
    assert free in (None, "auto")
    assert [item["type"] for item in answer["output"]] == ["shell_call", "shell_call_output", "message"]
