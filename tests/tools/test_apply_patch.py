"""`apply_patch`: changes to files, told as they are written."""

import json
from typing import Any

import pytest
from openai import APIError, OpenAI
from tests.api.asking import Json, Like, refused, some_id
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

PATCH: Json = {"type": "apply_patch"}
DIFF = '+## "List" é 😀\n+\n+- [ ] Milk\n'


def arguments(**members: Any) -> str:
    return json.dumps(members)


CREATE = arguments(type="create_file", path="a.md", diff=DIFF)
DIFFS = ["apply_patch_call_operation_diff.delta", "apply_patch_call_operation_diff.done"]


@covers("tool.apply_patch", "item.output.apply_patch_call")
@pytest.mark.parametrize("kind", ["create_file", "update_file"])
def test_a_change_is_an_item_of_its_own(client: OpenAI, upstream: Upstream, kind: str) -> None:
    upstream.script(calls("apply_patch", arguments(type=kind, path="a.md", diff=DIFF)))

    assert only(ask(client, PATCH)) == {
        "type": "apply_patch_call",
        "id": some_id("apc"),
        "call_id": "call_0",
        "operation": {"type": kind, "path": "a.md", "diff": DIFF},
        "status": "completed",
    }


@covers(
    "event.response.apply_patch_call_operation_diff.delta",
    "event.response.apply_patch_call_operation_diff.done",
)
@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_diff_is_emitted_as_it_is_written(client: OpenAI, upstream: Upstream, size: int) -> None:
    upstream.script(calls("apply_patch", CREATE, size))

    events = stream(client, PATCH)

    kinds = emitted(events)
    assert (kinds[0], kinds[-2:]) == ("output_item.added", [DIFFS[1], "output_item.done"])
    assert set(kinds[1:-2]) == {DIFFS[0]}
    assert len(kinds) > 5
    assert events[2]["item"]["operation"] == {"type": "create_file", "path": "a.md", "diff": ""}
    assert "".join(event.get("delta", "") for event in events) == DIFF == events[-3]["diff"]


def test_deleting_a_file_has_no_diff(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", arguments(type="delete_file", path="a.md", diff=""), 4))

    events = stream(client, PATCH)

    assert emitted(events) == ["output_item.added", "output_item.done"]
    assert [e["item"]["operation"] for e in events[2:4]] == [{"type": "delete_file", "path": "a.md"}] * 2


def test_a_model_may_write_the_diff_first(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", arguments(diff=DIFF, path="a.md", type="create_file"), 5))

    events = stream(client, PATCH)

    assert emitted(events) == ["output_item.added", *DIFFS, "output_item.done"]
    assert events[-2]["item"]["operation"] == {"type": "create_file", "path": "a.md", "diff": DIFF}


@pytest.mark.parametrize(
    "wrong",
    [
        arguments(type="rename_file", path="a.md", diff=DIFF),
        arguments(path="a.md", diff=DIFF),
        arguments(type="create_file", diff=DIFF),
        arguments(type="create_file", path="", diff=DIFF)[:-1],
        arguments(type="update_file", path="a.md"),
        arguments(type="update_file", path="a.md", diff=None),
        "nonsense",
    ],
)
def test_a_call_that_is_no_change_is_asked_for_again(client: OpenAI, upstream: Upstream, wrong: str) -> None:
    if wrong.startswith('{"type": "create_file", "path": ""'):
        wrong = arguments(type=1, path="a.md", diff=DIFF)
    upstream.script(calls("apply_patch", wrong, 4), calls("apply_patch", CREATE, 4))

    events = stream(client, PATCH)

    assert [event["item"]["operation"]["diff"] for event in events if "item" in event] == ["", DIFF]
    assert read(upstream)[-1] == {"role": "tool", "tool_call_id": "call_0", "content": Like(".+")}


def test_a_change_of_no_file_is_asked_for_again(client: OpenAI, upstream: Upstream) -> None:
    """However the model writes it: no item without a path is ever begun, or it could not be read again."""
    nameless = arguments(type="create_file", path="", diff=DIFF)
    upstream.script(calls("apply_patch", nameless, 4), calls("apply_patch", CREATE, 4))

    item = only(ask(client, PATCH))

    assert item["operation"]["path"] == "a.md"
    assert "`path` must name the file" in read(upstream)[-1]["content"]


def test_a_change_that_breaks_off_is_never_completed(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", CREATE[:-5], 4))

    with pytest.raises(APIError, match="not valid"):
        stream(client, PATCH)


def test_a_change_that_is_cut_off_stays_in_progress(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("apply_patch", CREATE[:-5])], finish="length"))

    answer = ask(client, PATCH)

    assert answer["status"] == "incomplete"
    assert only(answer)["status"] == "in_progress"


def test_what_became_of_a_change_reads_in_the_next_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", CREATE), Answer("Done."))
    first = client.responses.create(model="m", input="Hi", tools=[PATCH])  # type: ignore[list-item]
    output: Any = {
        "type": "apply_patch_call_output",
        "call_id": "call_0",
        "status": "failed",
        "output": "no such line",
    }

    client.responses.create(model="m", input=[output], previous_response_id=first.id)

    call, result = read(upstream)[1:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == json.loads(CREATE)
    assert result["content"] == "no such line"


def test_the_model_reads_how_a_diff_is_written(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    ask(client, PATCH)

    function = offered(upstream)["apply_patch"]
    assert list(function["parameters"]["properties"]) == ["type", "path", "diff"]
    assert "@@" in function["description"]


@covers("tool_choice.apply_patch")
def test_a_change_can_be_forced(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("apply_patch", CREATE))

    ask(client, PATCH, tool_choice={"type": "apply_patch"})

    assert upstream.last.body["tool_choice"]["function"] == {"name": "apply_patch"}


def test_two_tools_of_the_type_are_refused(client: OpenAI) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, PATCH, PATCH)
