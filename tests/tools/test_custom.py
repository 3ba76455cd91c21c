"""`custom`: tools that take text, on a model that knows functions alone."""

import json
from typing import Any

import pytest
from openai import APIError, OpenAI
from tests.api.asking import Json, Like, refused, some_id
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.grammars import CASES, PATCH, Case
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

NOTE: Json = {"type": "custom", "name": "note", "description": "Takes a note."}
APPLY: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": PATCH},
}
GOOD = '*** Begin Patch\n*** Add File: a.txt\n+"hi" \\ é 😀\n*** End Patch\n'
BAD = "*** Begin Patch\n*** Add File: a.txt\nhi\n*** End Patch\n"


def arguments(text: str, **options: Any) -> str:
    return json.dumps({"input": text}, **options)


@covers("tool.custom.name", "tool.custom.description", "tool.custom.format.text")
@covers("tool.custom", "item.output.custom_tool_call")
def test_a_call_comes_back_as_text(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", arguments("two\nlines")))

    assert only(ask(client, NOTE)) == {
        "type": "custom_tool_call",
        "id": some_id("ctc"),
        "call_id": "call_0",
        "name": "note",
        "input": "two\nlines",
        "status": "completed",
    }
    assert offered(upstream)["note"]["description"] == "Takes a note."
    assert list(offered(upstream)["note"]["parameters"]["properties"]) == ["input"]


@covers("event.response.custom_tool_call_input.delta", "event.response.custom_tool_call_input.done")
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_input_is_emitted_as_it_is_written(
    client: OpenAI, upstream: Upstream, size: int, ascii_only: bool
) -> None:
    text = 'say "hé 😀"\n\t\\ done'
    upstream.script(calls("note", arguments(text, ensure_ascii=ascii_only), size))

    events = stream(client, NOTE)

    kinds = emitted(events)
    deltas = [event["delta"] for event in events if event["type"].endswith("input.delta")]
    assert kinds[0] == "output_item.added"
    assert kinds[-2:] == ["custom_tool_call_input.done", "output_item.done"]
    assert set(kinds[1:-2]) == {"custom_tool_call_input.delta"}
    assert len(deltas) > 2
    assert "".join(deltas) == events[-3]["input"] == events[-2]["item"]["input"] == text
    assert events[2]["item"]["input"] == ""


def test_a_call_and_its_output_read_as_the_model_wrote_them(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", arguments("x")), Answer("Noted."))
    first = client.responses.create(model="m", input="Hi", tools=[NOTE])  # type: ignore[list-item]

    output: Any = {"type": "custom_tool_call_output", "call_id": "call_0", "output": "ok"}
    client.responses.create(model="m", input=[output], previous_response_id=first.id)

    call = {"id": "call_0", "type": "function", "function": {"name": "note", "arguments": '{"input":"x"}'}}
    assert read(upstream)[1:] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "ok"},
    ]


def test_a_call_without_its_text_is_asked_for_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", '{"text": "x"}'), calls("note", arguments("x")))

    assert only(ask(client, NOTE))["input"] == "x"
    assert read(upstream)[-1] == {"role": "tool", "tool_call_id": "call_0", "content": Like(".*input.*")}


def test_a_call_that_breaks_in_the_middle_is_no_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", '{"input": "half', 3))

    with pytest.raises(APIError, match="not valid"):
        stream(client, NOTE)


@covers("incomplete.max_output_tokens")
def test_a_call_that_is_cut_off_is_incomplete(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("note", '{"input": "half')], finish="length"))

    answer = ask(client, NOTE)

    assert (answer["status"], only(answer)["status"], only(answer)["input"]) == ("incomplete",) * 2 + (
        "half",
    )


# ---- grammars ---------------------------------------------------------------------------------------


@covers(
    "tool.custom.format",
    "tool.custom.format.grammar",
    "tool.custom.format.grammar.definition",
    "tool.custom.format.grammar.syntax",
)
@pytest.mark.parametrize("case", [case for case in CASES if case.bad], ids=lambda case: case.name)
def test_nothing_outside_of_the_grammar_reaches_the_client(
    client: OpenAI, upstream: Upstream, case: Case
) -> None:
    form = {"type": "grammar", "syntax": case.syntax, "definition": case.definition}
    upstream.script(calls("note", arguments(case.bad[0]), 2), calls("note", arguments(case.good[-1]), 2))

    events = stream(client, NOTE | {"format": form})

    inputs = [event["item"]["input"] for event in events if event["type"] == "response.output_item.done"]
    assert inputs == [case.good[-1]]
    assert emitted(events) == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]


def test_the_model_reads_the_grammar_and_what_was_wrong(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", arguments(BAD)), calls("apply_patch", arguments(GOOD)))

    assert only(ask(client, APPLY))["input"] == GOOD

    assert PATCH.strip() in offered(upstream)["apply_patch"]["description"]
    said = read(upstream)[-2:]
    assert said[0]["tool_calls"][0]["function"]["arguments"] == arguments(BAD)
    assert said[1]["content"] == Like("The input of apply_patch is not valid. .* line 3, column 1.*")


def test_a_model_that_never_gets_it_right_fails_the_response(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = calls("apply_patch", arguments(BAD))

    failed = ask(client, APPLY)

    assert (failed["status"], failed["output"]) == ("failed", [])
    assert failed["error"] == {"code": "server_error", "message": Like(".*not valid, 4 times.*")}
    assert len(upstream.requests) == 4


@pytest.mark.parametrize("syntax", ["lark", "regex"])
def test_a_grammar_that_makes_no_sense_is_refused(client: OpenAI, upstream: Upstream, syntax: str) -> None:
    form = {"type": "grammar", "syntax": syntax, "definition": "start: ("}

    with refused(400, "invalid_value", "tools[0].format.definition"):
        ask(client, NOTE | {"format": form})
    assert upstream.requests == []


# ---- choice and callers -----------------------------------------------------------------------------


@covers("tool_choice.custom")
def test_a_custom_tool_can_be_forced(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", arguments("x")))

    ask(client, NOTE, tool_choice={"type": "custom", "name": "note"})

    assert upstream.last.body["tool_choice"] == {"type": "function", "function": {"name": "note"}}


@covers("tool.custom.allowed_callers")
def test_a_tool_that_programs_alone_may_call_is_refused(client: OpenAI) -> None:
    with refused(400, "unsupported_value", "tools[0].allowed_callers"):
        ask(client, NOTE | {"allowed_callers": ["programmatic"]})


@covers("tool.custom.async")
def test_a_tool_that_may_take_its_time_says_so_in_its_calls(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("note", arguments("x")))

    assert only(ask(client, NOTE | {"async": True}))["async"] is True
