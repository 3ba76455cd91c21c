"""`code_interpreter` over the wire: code that really runs, and what becomes of it."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import CLOCK, Json, refused, some_id, whole
from tests.api.test_background import begin, ended
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.coding.serving import Coding, served
from tests.tools.coding.workbench import PNG
from tests.tools.using import ask, calls, emitted, offered, result, stream

OUTPUTS = "code_interpreter_call.outputs"
TOOL: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
RAN = [
    "output_item.added",
    "code_interpreter_call.in_progress",
    "code_interpreter_call_code.done",
    "code_interpreter_call.interpreting",
    "code_interpreter_call.completed",
    "output_item.done",
]


def python(code: str, size: int = 0) -> Answer:
    return calls("python", json.dumps({"code": code}), size)


# ---- what it does --------------------------------------------------------------------------------------


@covers(
    "tool.code_interpreter",
    "tool.code_interpreter.container",
    "tool.code_interpreter.container.auto",
    "item.output.code_interpreter_call",
    "event.response.code_interpreter_call.in_progress",
    "event.response.code_interpreter_call_code.delta",
    "event.response.code_interpreter_call_code.done",
    "event.response.code_interpreter_call.interpreting",
    "event.response.code_interpreter_call.completed",
)
@pytest.mark.parametrize("size", [0, 1, 4])
def test_code_is_emitted_as_it_is_written_and_runs_on_the_server(
    client: OpenAI, upstream: Upstream, coding: Coding, size: int
) -> None:
    code = "x = 6\nprint('é \U0001f600')\nx * 7"
    upstream.script(python(code, size), Answer("It is 42."))

    events = stream(client, TOOL, include=[OUTPUTS])

    kinds = [kind for kind in emitted(events) if kind != "code_interpreter_call_code.delta"]
    assert kinds[:6] == RAN
    added, done = (event["item"] for event in events if event.get("output_index") == 0 and "item" in event)
    bare = {"type": "code_interpreter_call", "id": some_id("ci"), "container_id": coding.made[-1]}
    assert added == bare | {"status": "in_progress", "code": "", "outputs": []}
    output = {"type": "logs", "logs": "é \U0001f600\n42\n"}
    assert done == bare | {"status": "completed", "code": code, "outputs": [output]}
    deltas = [event["delta"] for event in events if event["type"].endswith("_code.delta")]
    assert "".join(deltas) == code
    assert (len(deltas) > 5) is (size > 0)
    assert result(upstream) == "é \U0001f600\n42\n"
    assert events[-1]["response"]["tools"] == [TOOL]


def test_the_model_is_shown_one_small_function(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    ask(client, TOOL)

    (function,) = offered(upstream).values()
    assert function["name"] == "python"
    assert list(function["parameters"]["properties"]) == ["code"]
    assert "no network" in function["description"]


def test_code_is_emitted_before_the_call_is_whole(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("python", '{"code": "print(1)')], finish="length"))

    answer = ask(client, TOOL)

    (item,) = answer["output"]
    assert (answer["status"], item["status"], item["code"]) == ("incomplete", "incomplete", "print(1)")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("print(6 * 7)", "print(6 * 7)"),
        ("\n print(6 * 7)", "print(6 * 7)"),
        ('"print(6 * 7)"', "print(6 * 7)"),
        ('"""Answers."""\nprint(6 * 7)', '"""Answers."""\nprint(6 * 7)'),
        ("```python\nprint(6 * 7)\n```", "```python\nprint(6 * 7)\n```"),
        ('{"code": "```\\nprint(6 * 7)\\n```"}', "```\nprint(6 * 7)\n```"),
        ('{"python": "print(6 * 7)"}', "print(6 * 7)"),
        ('{"code": ["x = 6", "print(x * 7)"]}', "x = 6\nprint(x * 7)"),
        ('{"code": "print(6 * 7)", "timeout": 5}', "print(6 * 7)"),
        ('{"code": "print(6\n* 7)"}', "print(6\n* 7)"),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_what_small_models_write_for_code_is_run(
    client: OpenAI, upstream: Upstream, arguments: str, code: str, size: int
) -> None:
    upstream.script(calls("python", arguments, size), Answer("ok"))

    (call, _) = ask(client, TOOL, include=[OUTPUTS])["output"]

    assert (call["status"], call["code"]) == ("completed", code)
    assert call["outputs"] == [{"type": "logs", "logs": "42\n"}]


@pytest.mark.parametrize(
    "arguments",
    ["", "{}", '{"code": ""}', '{"code": "print(1)', '{"code": 7}', '{"a": "1", "b": "2"}'],
)
def test_what_is_no_whole_code_is_not_run(
    client: OpenAI, upstream: Upstream, coding: Coding, arguments: str
) -> None:
    before = coding.log
    upstream.script(calls("python", arguments), Answer("I stop."))

    (call, message) = ask(client, TOOL)["output"]

    assert (call["status"], message["content"][0]["text"]) == ("failed", "I stop.")
    assert coding.log == before
    assert "was not run" in result(upstream)


def test_an_error_is_a_call_that_completed_and_the_model_reads_the_traceback(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(python("print('before')\n1 / 0"), python("2 / 0"), Answer("It fails."))

    first, second, _ = ask(client, TOOL, include=[OUTPUTS])["output"]

    assert [first["status"], second["status"]] == ["completed", "completed"]
    assert first["outputs"] == [{"type": "logs", "logs": "before\n"}]
    assert second["outputs"] == []
    assert "before\n" in result(upstream, 1)
    assert "ZeroDivisionError" in result(upstream, 1)
    assert "ZeroDivisionError" in result(upstream)


def test_the_model_reads_which_files_there_are(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        python("import pathlib\npathlib.Path('/mnt/data/new.txt').write_text('Hi')"), Answer("ok")
    )

    ask(client, TOOL)

    assert result(upstream) == "2\nFiles: /mnt/data/new.txt"


def test_what_the_model_reads_of_code_begins_lines_of_its_own(client: OpenAI, upstream: Upstream) -> None:
    code = (
        "import pathlib\nprint('no end', end='')\npathlib.Path('/mnt/data/new.txt').write_text('Hi')\n1 / 0"
    )
    upstream.script(python(code), Answer("ok"))

    ask(client, TOOL)

    said = result(upstream)
    assert said.startswith("no end\n")
    assert said.endswith("ZeroDivisionError: division by zero\nFiles: /mnt/data/new.txt")


def test_code_that_prints_nothing_says_so(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(python("x = 1"), Answer("ok"))

    ask(client, TOOL)

    assert result(upstream) == "[No output.]"


def test_of_very_long_outputs_the_model_reads_the_beginning_and_the_end(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(python("print('a' * 50_000 + 'b' * 50_000)"), Answer("ok"))

    (call, _) = ask(client, TOOL, include=[OUTPUTS])["output"]

    assert len(call["outputs"][0]["logs"]) == 100_001
    assert len(result(upstream)) < 31_000
    assert result(upstream).startswith("aaa")
    assert "70001 characters are left out" in result(upstream)


def test_a_picture_is_an_output_that_the_model_sees(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(python("display(PNG)\nprint('done')"), Answer("A pixel."))

    (call, _) = ask(client, TOOL, include=[OUTPUTS])["output"]

    picture, logs = call["outputs"]
    assert picture["type"] == "image"
    assert picture["url"].startswith("data:image/png;base64,")
    assert logs == {"type": "logs", "logs": "done\n"}
    assert picture["url"] in json.dumps(upstream.last.body["messages"])


def test_calls_of_one_turn_run_one_after_another_in_one_container(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    both = [Called("python", json.dumps({"code": code})) for code in ("y = 20", "print(y + 22)")]
    upstream.script(Answer(calls=both), Answer("ok"))
    before = len(coding.made)

    first, second, _ = ask(client, TOOL, include=[OUTPUTS])["output"]

    assert first["container_id"] == second["container_id"] == coding.made[-1]
    assert len(coding.made) == before + 1
    assert second["outputs"] == [{"type": "logs", "logs": "42\n"}]


# ---- what is shown of it -------------------------------------------------------------------------------


@covers("include.code_interpreter_call.outputs")
def test_outputs_are_kept_and_shown_to_who_includes_them(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(*[python("print(1)"), Answer("One.")] * 3)

    made = client.responses.create(model="m", input="Hi", tools=[TOOL])  # type: ignore[list-item]
    events = stream(client, TOOL)
    polled = ended(client, begin(client, tools=[TOOL]).id)

    for answer in (whole(made), events[-1]["response"], whole(polled)):
        assert answer["output"][0]["outputs"] is None
        shown = whole(client.responses.retrieve(answer["id"], include=[OUTPUTS]))["output"][0]["outputs"]
        assert shown == [{"type": "logs", "logs": "1\n"}]
    assert all(
        event["item"]["outputs"] is None
        for event in events
        if event.get("output_index") == 0 and "item" in event
    )


@covers("item.input.code_interpreter_call")
@pytest.mark.parametrize("tools", [[TOOL], []])
def test_a_later_turn_reads_what_was_printed(client: OpenAI, upstream: Upstream, tools: list[Json]) -> None:
    upstream.script(python("print('floats')"), Answer("ok"), Answer("ok"), Answer("ok"))
    first = ask(client, TOOL)

    ask(client, *tools, previous_response_id=first["id"])
    assert result(upstream) == "floats\n"
    ask(client, *tools, given=[*first["output"], {"role": "user", "content": "And?"}])
    assert result(upstream) == "floats\n", "what is sent back without outputs is looked up"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"outputs": None}, "not known any more"),
        ({"outputs": []}, "No output"),
        ({"outputs": None, "status": "failed"}, "could not be run"),
        ({"outputs": None, "status": "incomplete"}, "may have taken effect"),
        ({"outputs": [{"type": "logs", "logs": "theirs"}]}, "theirs"),
    ],
)
def test_what_clients_kept_of_a_call_is_read_as_it_came(
    client: OpenAI, upstream: Upstream, members: Json, words: str
) -> None:
    upstream.script(Answer("ok"))
    call = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "x"}
    given = [call | {"status": "completed"} | members, {"role": "user", "content": "And?"}]

    ask(client, TOOL, given=given, store=False)

    assert words in result(upstream)


def test_a_url_that_a_client_puts_in_the_place_of_a_picture_is_not_passed_on(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("ok"))
    call = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "x"}
    outputs = [{"type": "image", "url": "http://169.254.169.254/x"}]
    given = [
        call | {"status": "completed", "outputs": outputs},
        {"role": "user", "content": "And?"},
    ]

    ask(client, TOOL, given=given, store=False)

    assert "169.254" not in json.dumps(upstream.last.body)
    assert "A picture" in result(upstream)


# ---- which container -----------------------------------------------------------------------------------


def numbered(answer: Json) -> str:
    """The container of the first call."""
    return next(item["container_id"] for item in answer["output"] if "container_id" in item)


def test_no_container_is_made_before_there_is_a_call(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(Answer("Hi"))
    before = coding.made

    ask(client, TOOL)

    assert coding.made == before


@pytest.mark.parametrize("way", ["previous_response_id", "conversation", "input", "reference"])
def test_the_container_of_an_earlier_call_is_used_again(
    client: OpenAI, upstream: Upstream, coding: Coding, way: str
) -> None:
    upstream.script(python("z = 42"), Answer("ok"), python("z"), Answer("ok"))
    members: Json = {"conversation": client.conversations.create().id} if way == "conversation" else {}
    first = ask(client, TOOL, **members)
    before = coding.made
    given: Any = "Hi"
    if way == "previous_response_id":
        members = {"previous_response_id": first["id"]}
    elif way == "input":
        given = [*first["output"], {"role": "user", "content": "And?"}]
    elif way == "reference":
        item = {"type": "item_reference", "id": first["output"][0]["id"]}
        given = [item, {"role": "user", "content": "And?"}]

    second = ask(client, TOOL, given=given, include=[OUTPUTS], **members)

    assert numbered(second) == numbered(first)
    assert second["output"][0]["outputs"] == [{"type": "logs", "logs": "42\n"}]
    assert coding.made == before


@pytest.mark.parametrize("how", ["expired", "deleted"])
def test_an_earlier_container_that_is_gone_is_replaced_in_silence(
    client: OpenAI, upstream: Upstream, coding: Coding, how: str
) -> None:
    upstream.script(python("1"), Answer("ok"), python("2"), Answer("ok"))
    first = ask(client, TOOL)
    coding.end(numbered(first), how)

    second = ask(client, TOOL, previous_response_id=first["id"])

    assert numbered(second) == coding.made[-1] != numbered(first)
    assert second["output"][0]["status"] == "completed"


@covers("tool.code_interpreter.container.auto.memory_limit")
def test_one_that_is_not_as_the_request_wants_it_is_not_used_again(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(python("1"), Answer("ok"), python("2"), Answer("ok"))
    first = ask(client, TOOL)
    larger = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}

    second = ask(client, larger, previous_response_id=first["id"])

    assert numbered(second) == coding.made[-1] != numbered(first)
    assert coding.container(numbered(second)).memory_limit == "4g"
    assert second["tools"] == [larger]


def test_one_that_goes_in_the_middle_of_a_response_fails_the_call_and_the_next_has_another(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    gate = Gate(after=0)
    third = Answer(calls=[Called("python", '{"code": "2"}')], gate=gate)
    upstream.script(python("1"), third, python("3"), Answer("ok"))
    response = begin(client, tools=[TOOL])
    gate.wait_reached()
    coding.end(coding.made[-1], "deleted")
    gate.open()

    first, second, third_call, _ = whole(ended(client, response.id))["output"]

    assert [first["status"], second["status"], third_call["status"]] == ["completed", "failed", "completed"]
    assert first["container_id"] == second["container_id"] != third_call["container_id"]
    assert "none of its files" in result(upstream, 2)


def test_calls_of_one_turn_whose_container_is_gone_all_fail_and_none_runs_elsewhere(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    gate = Gate(after=0)
    both = [Called("python", json.dumps({"code": code})) for code in ("'one'", "'two'")]
    upstream.script(python("1"), Answer(calls=both, gate=gate), python("3"), Answer("ok"))
    response = begin(client, tools=[TOOL])
    gate.wait_reached()
    coding.end(coding.made[-1], "deleted")
    gate.open()

    _, *failed, last, _ = whole(ended(client, response.id))["output"]

    assert [call["status"] for call in failed] == ["failed", "failed"]
    assert last["status"] == "completed"
    assert last["container_id"] == coding.made[-1] not in {call["container_id"] for call in failed}
    assert not {"'one'", "'two'"} & set(coding.log)


def named(container_id: str) -> Json:
    return {"type": "code_interpreter", "container": container_id}


def test_the_container_that_the_request_names_is_used(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    upstream.script(python("1"), Answer("ok"), python("2"), Answer("ok"), python("3"), Answer("ok"))
    first, other = ask(client, TOOL), ask(client, TOOL)

    second = ask(client, named(numbered(first)), previous_response_id=other["id"])

    assert numbered(second) == numbered(first)
    assert second["tools"] == [named(numbered(first))]


@pytest.mark.parametrize("members", [{}, {"stream": True}, {"background": True}])
@pytest.mark.parametrize(
    ("how", "status", "words"), [("expired", 400, "Container is expired."), ("deleted", 404, "not found")]
)
def test_a_container_that_the_request_names_and_that_is_gone_refuses_it(
    client: OpenAI, upstream: Upstream, coding: Coding, members: Json, how: str, status: int, words: str
) -> None:
    upstream.script(python("1"), Answer("ok"))
    first = ask(client, TOOL)
    coding.end(numbered(first), how)

    with refused(status) as refusal:
        ask(client, named(numbered(first)), **members)

    assert words in refusal.message
    assert len(upstream.requests) == 2


# ---- files of the input --------------------------------------------------------------------------------


def test_files_of_the_input_are_there(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    stored = client.files.create(file=("ducks.csv", b"a,b\n1,2\n"), purpose="user_data")
    picture = f"data:image/png;base64,{b64encode(PNG).decode()}"
    content = [
        {"type": "input_file", "file_id": stored.id},
        {"type": "input_file", "filename": "../boats.txt", "file_data": "Qm9hdHM="},
        {"type": "input_image", "image_url": picture},
        {"type": "input_text", "text": "Look."},
    ]
    upstream.script(python("import os\nsorted(os.listdir('/mnt/data'))"), Answer("ok"), Answer("ok"))

    answer = ask(client, TOOL, given=[{"role": "user", "content": content}], include=[OUTPUTS])

    paths = "/mnt/data/ducks.csv, /mnt/data/_boats.txt, /mnt/data/image.png"
    assert f"Files that are there: {paths}" in offered(upstream, 0)["python"]["description"]
    logs = answer["output"][0]["outputs"][0]["logs"]
    assert logs == "['_boats.txt', 'ducks.csv', 'image.png']\n"
    assert coding.content(numbered(answer), "/mnt/data/ducks.csv") == b"a,b\n1,2\n"
    assert coding.content(numbered(answer), "/mnt/data/image.png") == PNG


def test_a_file_that_is_there_already_is_not_put_in_again(
    client: OpenAI, upstream: Upstream, coding: Coding
) -> None:
    content = [{"type": "input_file", "filename": "a.txt", "file_data": "Qm9hdHM="}]
    change = "import pathlib\npathlib.Path('/mnt/data/a.txt').write_text('changed')"
    upstream.script(python(change), Answer("ok"), python("1"), Answer("ok"))
    first = ask(client, TOOL, given=[{"role": "user", "content": content}])

    ask(client, TOOL, previous_response_id=first["id"])

    assert coding.content(numbered(first), "/mnt/data/a.txt") == b"changed"
    assert "/mnt/data/a.txt" in offered(upstream)["python"]["description"]


# ---- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_a_function_that_is_called_as_the_tool_is_reads_whose_name_it_has(
    client: OpenAI, turned: bool
) -> None:
    function = {"type": "function", "name": "python", "parameters": {"type": "object"}}
    tools = [function, TOOL] if turned else [TOOL, function]

    with refused(400, param="tools[1]") as refusal:
        client.responses.create(model="m", input="Hi", tools=tools)  # type: ignore[arg-type]

    assert "'python': the model knows the tool of the type 'code_interpreter' by it" in refusal.message


def test_a_container_that_ends_fails_the_call_and_the_model_goes_on(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(python("'out of memory'"), Answer("I stop."))

    events = stream(client, TOOL)

    kinds = [kind for kind in emitted(events) if kind != "code_interpreter_call_code.delta"]
    assert kinds[:5] == [*RAN[:4], "output_item.done"]
    assert events[-1]["response"]["output"][0]["status"] == "failed"
    assert "The sandbox has ended: " in result(upstream)
    assert "ran out of memory" in result(upstream)
    assert "The next call starts with the files of before." in result(upstream)


def test_where_all_containers_are_busy_the_model_reads_so(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(python("gate.wait(10)"), python("1"), Answer("I stop."), Answer("ok"))
    with served(upstream, tmp_path, sandboxes=1, queue_seconds=0.05) as coding:
        busy = begin(coding.client, tools=[TOOL])
        while not coding.log:
            assert coding.client.responses.retrieve(busy.id).status in ("queued", "in_progress")

        call, message = ask(coding.client, TOOL)["output"]
        coding.driver.gate.set()
        done = whole(ended(coding.client, busy.id))

    assert (call["status"], message["status"]) == ("failed", "completed")
    assert "busy" in result(upstream, 2)
    assert done["output"][0]["status"] == "completed"


@covers("tool.code_interpreter.allowed_callers")
def test_a_tool_for_programs_alone_is_refused(client: OpenAI) -> None:
    with refused(400, "unsupported_value", "tools[0].allowed_callers"):
        ask(client, TOOL | {"allowed_callers": ["programmatic"]})


@covers("param.max_tool_calls")
def test_calls_past_the_limit_are_not_made(client: OpenAI, upstream: Upstream, coding: Coding) -> None:
    upstream.script(python("1"), python("2"), Answer("I stop."))

    answer = ask(client, TOOL, max_tool_calls=1)

    assert [item["type"] for item in answer["output"]] == ["code_interpreter_call", "message"]
    assert coding.log[-1] == "1"
    assert "no more tool calls" in result(upstream)


@covers("tool_choice.code_interpreter", "tool_choice.allowed_tools")
@pytest.mark.parametrize(
    "choice",
    [
        {"type": "code_interpreter"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "code_interpreter"}]},
    ],
)
def test_a_call_that_was_forced_is_made_once(client: OpenAI, upstream: Upstream, choice: Json) -> None:
    upstream.script(python("1"), Answer("One."))

    answer = ask(client, CLOCK, TOOL, tool_choice=choice)

    forced, free = (request.body.get("tool_choice") for request in upstream.requests)
    assert forced in ("required", {"type": "function", "function": {"name": "python"}})
    assert free in (None, "auto")
    assert answer["tool_choice"] == choice
    assert [item["type"] for item in answer["output"]] == ["code_interpreter_call", "message"]


def test_a_file_that_is_gone_when_it_is_wanted_is_missing_and_no_more(
    client: OpenAI, upstream: Upstream
) -> None:
    stored = client.files.create(file=("ducks.csv", b"a,b\n1,2\n"), purpose="user_data")
    content = [
        {"type": "input_file", "file_id": stored.id},
        {"type": "input_file", "filename": "a.txt", "file_data": "Qm9hdHM="},
    ]
    gate = Gate(after=0)
    look = Called("python", json.dumps({"code": "import os\nos.listdir('/mnt/data')"}))
    upstream.script(Answer(calls=[look], gate=gate), Answer("ok"))
    response = client.responses.create(
        model="m",
        input=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
        tools=[TOOL],  # type: ignore[list-item]
        background=True,
    )
    gate.wait_reached()
    client.files.delete(stored.id)
    gate.open()

    call, _ = whole(ended(client, response.id))["output"]

    assert call["status"] == "completed"
    assert result(upstream) == "['a.txt']\n"
