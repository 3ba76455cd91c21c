"""Every event, status and reason: what a stream tells, and what is told of a response that failed."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.conftest import Running
from tests.ledger import case, covers, ids_of, rows
from tests.scripted import Answer, Called, Upstream

from antiphon.stream import table
from antiphon.stream.kinds import KINDS

Json = dict[str, Any]
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
START = ["response.created", "response.in_progress"]


@pytest.fixture
def bare(server: Running) -> Iterator[httpx2.Client]:
    """HTTP without the harness's checks: the SDK does not list every code that we tell."""
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        yield http


def stream(http: httpx2.Client, **members: Any) -> list[Json]:
    answer = http.post("/v1/responses", json={"model": "m", "input": "hi", "stream": True, **members})
    assert answer.status_code == 200, answer.text
    return [json.loads(data) for data in re.findall("^data: (.*)", answer.text, re.M)]


def item(*told: str) -> list[str]:
    """The events of an item, in short: `output_text.delta`."""
    return [f"response.{name}" for name in ("output_item.added", *told, "output_item.done")]


def broken(message: str, code: object = None) -> Answer:
    """An upstream that takes the request up, and then fails. (What it refuses at once is an HTTP status.)"""
    event = json.dumps({"error": {"message": message, "code": code}})
    return Answer(raw=[f"data: {event}\n\n".encode()])


def part(stem: str) -> list[str]:
    return ["content_part.added", f"{stem}.delta", f"{stem}.done", "content_part.done"]


SUMMARY = [
    "reasoning_summary_part.added",
    "reasoning_summary_text.delta",
    "reasoning_summary_text.done",
    "reasoning_summary_part.done",
]
ARGUMENTS = ["function_call_arguments.delta", "function_call_arguments.done"]
TEXT = item(*part("output_text"))

STREAMS = [
    case(
        "event.response.output_text.delta",
        Answer("Hello"),
        {},
        [*TEXT, "response.completed"],
        also=(
            "event.response.created",
            "event.response.in_progress",
            "event.response.output_item.added",
            "event.response.output_item.done",
            "event.response.content_part.added",
            "event.response.content_part.done",
            "event.response.output_text.done",
            "event.response.completed",
            "status.in_progress",
            "status.completed",
        ),
    ),
    case(
        "event.response.refusal.delta",
        Answer(refusal="No."),
        {},
        [*item(*part("refusal")), "response.completed"],
        also=("event.response.refusal.done",),
    ),
    case(
        "event.response.reasoning_text.delta",
        Answer("Hello", reasoning="Hm."),
        {},
        [*item(*part("reasoning_text")), *TEXT, "response.completed"],
        also=("event.response.reasoning_text.done",),
    ),
    case(
        "event.response.reasoning_summary_text.delta",
        Answer("Hello", reasoning="Hm."),
        {"reasoning": {"summary": "auto"}},
        [*item(*SUMMARY), *TEXT, "response.completed"],
        also=(
            "event.response.reasoning_summary_part.added",
            "event.response.reasoning_summary_part.done",
            "event.response.reasoning_summary_text.done",
        ),
    ),
    case(
        "event.response.function_call_arguments.delta",
        Answer(calls=[Called("look"), Called("look")]),
        {"tools": [LOOK]},
        [*item(*ARGUMENTS), *item(*ARGUMENTS), "response.completed"],
        also=("event.response.function_call_arguments.done",),
    ),
    case(
        "event.response.compaction.compacting",
        Answer("A summary."),
        {"input": [{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}]},
        [*item("compaction.compacting"), "response.completed"],
    ),
    case(
        "event.response.incomplete",
        Answer("Hel", finish="length"),
        {"max_output_tokens": 16},
        [*TEXT, "response.incomplete"],
        also=("status.incomplete", "incomplete.max_output_tokens"),
    ),
    case(
        "incomplete.content_filter",
        Answer("Hel", finish="content_filter"),
        {},
        [*TEXT, "response.incomplete"],
    ),
    case(
        "event.response.failed",
        broken("down"),
        {},
        ["error", "response.failed"],
        also=("event.error", "status.failed", "failure.server_error"),
    ),
]
STATUS = {"completed": None, "incomplete": "incomplete_details", "failed": "error"}


@pytest.mark.parametrize(("answer", "members", "told"), STREAMS)
def test_a_stream_emits_these_events_in_this_order(
    http: httpx2.Client, upstream: Upstream, answer: Answer, members: Json, told: list[str]
) -> None:
    upstream.script(answer)
    events = stream(http, **members)
    assert [event["type"] for event in events] == [*START, *told]
    assert {event["response"]["status"] for event in events[:2]} == {"in_progress"}
    last = events[-1]["response"]
    assert last["status"] == events[-1]["type"].removeprefix("response.")
    for status, reason in STATUS.items():
        if reason:
            assert (last[reason] is not None) is (last["status"] == status)


@covers("incomplete.max_output_tokens", "incomplete.content_filter", "status.incomplete")
@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_response_that_was_cut_off_says_why(
    http: httpx2.Client, upstream: Upstream, finish: str, reason: str
) -> None:
    upstream.script(Answer("Hel", finish=finish))
    response = http.post("/v1/responses", json={"model": "m", "input": "hi"}).json()
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][-1]["status"] == "incomplete"
    assert response["completed_at"] is None


FAILURES = [
    case("failure.server_error", broken("down"), "server_error"),
    case("failure.rate_limit_exceeded", broken("Slow down.", 429), "rate_limit_exceeded"),
    case(
        "failure.context_length_exceeded",
        broken("The prompt is too long.", "context_length_exceeded"),
        "context_length_exceeded",
    ),
    case("failure.invalid_prompt", broken("Not this.", "content_filter"), "invalid_prompt"),
    case(
        "failure.image_content_policy_violation",
        broken("Not this picture.", "image_content_policy_violation"),
        "image_content_policy_violation",
    ),
    case(
        "failure.data_residency_mismatch",
        broken("Not this.", "data_residency_mismatch"),
        "data_residency_mismatch",
    ),
    case("failure.bio_policy", broken("Not this.", "bio_policy"), "bio_policy"),
    case(
        "failure.misalignment_policy_violation",
        broken("Not this.", "misalignment_policy_violation"),
        "misalignment_policy_violation",
    ),
    case("failure.invalid_image", broken("Not this.", "invalid_image"), "invalid_image"),
    case("failure.image_too_small", broken("Not this.", "image_too_small"), "image_too_small"),
    case("failure.image_parse_error", broken("Not this.", "image_parse_error"), "image_parse_error"),
    case("failure.invalid_image_mode", broken("Not this.", "invalid_image_mode"), "invalid_image_mode"),
]


@pytest.mark.parametrize(("answer", "code"), FAILURES)
def test_a_response_that_failed_says_why(
    bare: httpx2.Client, upstream: Upstream, answer: Answer, code: str
) -> None:
    upstream.default = answer  # one that is busy is asked again
    *_, error, failed = stream(bare)
    assert error["error"]["message"] == error["message"]
    assert failed["response"]["error"]["code"] == code
    assert failed["response"]["status"] == "failed"


# ---- what is never told ------------------------------------------------------------------------------

# What an event's name begins with, and the row of what would tell it. That this row does not act is proved
# where it stands; here the two are held together.
TELLERS = {
    "queued": "param.background",
    "cancelled": "param.background",
    "compaction.": "item.output.compaction",
    "output_text.annotation.": "annotation.file_citation",
    "code_interpreter_call": "tool.code_interpreter",
    "file_search_call.": "tool.file_search",
    "web_search_call.": "tool.web_search",
    "image_generation_call.": "tool.image_generation",
    "mcp_": "tool.mcp",
    "shell_call_command": "tool.shell",
    "shell_call_output_content": "item.output.shell_call_output",
    "apply_patch_call_": "tool.apply_patch",
    "custom_tool_call_": "tool.custom",
}
ROWS = (table.RESPONSE, *(kind.rows for kind in KINDS))
EMITTED = {event.partition(":")[0] for each in ROWS for _, event in each}


# A member that an event has no more: the types of the SDK, which every event is held against, do not know it.
GONE = {"event.response.function_call_arguments.done.name"}


def teller(name: str) -> str:
    stem = name.removeprefix("response.")
    return next((row_id for begin, row_id in TELLERS.items() if stem.startswith(begin)), "")


@covers(*ids_of("event", does="refuses"))
@pytest.mark.parametrize("row_id", ids_of("event", does="refuses"))
def test_an_event_is_not_emitted_since_what_would_emit_it_does_not_act(row_id: str) -> None:
    name = row_id.removeprefix("event.")
    assert row_id in GONE or rows()[teller(name)].does != "acts"


@covers(*ids_of("event", does="acts"))
@pytest.mark.parametrize("row_id", ids_of("event", does="acts"))
def test_an_event_that_is_emitted_has_a_row_in_the_transition_table(row_id: str) -> None:
    name = row_id.removeprefix("event.")
    assert name in EMITTED | {"response.output_item.done"}
    assert teller(name) == "" or rows()[teller(name)].does == "acts"


UNTOLD = (*ids_of("failure", does="refuses"), *ids_of("incomplete", does="refuses"))


@covers(*ids_of("failure", does="refuses"), *ids_of("incomplete", does="refuses"))
@pytest.mark.parametrize("row_id", UNTOLD)
def test_a_code_of_an_upstream_is_not_passed_off_as_ours(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    code = row_id.rpartition(".")[2]
    upstream.script(broken("It says so.", code))
    assert stream(http)[-1]["response"]["error"]["code"] == "server_error"
    upstream.script(Answer("Hel", finish=code))
    assert stream(http)[-1]["response"]["incomplete_details"] is None
