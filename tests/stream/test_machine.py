"""The machine and the fold, against each other: whatever the one may tell, the other must give back."""

from collections.abc import Callable
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocol import events
from antiphon.protocol.client_items import (
    ApplyPatchCall,
    CreateFile,
    CustomToolCall,
    DeleteFile,
    FunctionCall,
    PatchOperation,
    ShellAction,
    ShellCall,
)
from antiphon.protocol.content import Logprob, UrlCitation
from antiphon.protocol.items import AssistantMessage, Reasoning
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import InputTokensDetails, OutputTokensDetails, ResponseError, Usage, opening
from antiphon.protocol.wire import encode
from antiphon.stream.fold import BrokenLog, fold
from antiphon.stream.items import OpenCommands, OpenMessage, OpenReasoning, OpenText
from antiphon.stream.machine import Machine, OpenItem
from antiphon.stream.table import IllegalTransition

USAGE = Usage(
    input_tokens=3,
    input_tokens_details=InputTokensDetails(),
    output_tokens=2,
    output_tokens_details=OutputTokensDetails(),
    total_tokens=5,
)
LOGPROB = Logprob(token="a", bytes=[97], logprob=-0.5, top_logprobs=[])
CITATION = UrlCitation(url="http://a.example", title="A", start_index=0, end_index=1)


def machine(**members: object) -> Machine:
    numbers = count()
    request = CreateResponse(model="m", input="hi", **members)  # type: ignore[arg-type]
    return Machine(opening(request, "resp_1", 1), lambda kind: f"{kind}_{next(numbers)}")


def running() -> Machine:
    writer = machine()
    writer.create()
    writer.start()
    return writer


def message(writer: Machine) -> OpenMessage:
    return writer.open(
        OpenMessage, AssistantMessage(id=writer.new_id("msg"), status="in_progress", content=[])
    )


def call(writer: Machine) -> OpenText:
    item = FunctionCall(
        id=writer.new_id("fc"), call_id="call_1", name="f", arguments="", status="in_progress"
    )
    return writer.open(OpenText, item)


def custom(writer: Machine) -> OpenText:
    item = CustomToolCall(id=writer.new_id("ctc"), call_id="call_1", name="c", input="", status="in_progress")
    return writer.open(OpenText, item)


def patch(writer: Machine, operation: PatchOperation | None = None) -> OpenText:
    operation = operation or CreateFile(path="a", diff="")
    item = ApplyPatchCall(
        id=writer.new_id("apc"), call_id="call_1", operation=operation, status="in_progress"
    )
    return writer.open(OpenText, item)


def shell(writer: Machine) -> OpenCommands:
    item = ShellCall(
        id=writer.new_id("sh"), call_id="call_1", action=ShellAction(commands=[]), status="in_progress"
    )
    return writer.open(OpenCommands, item)


def reasoning(writer: Machine) -> OpenReasoning:
    return writer.open(OpenReasoning, Reasoning(id=writer.new_id("rs"), summary=[]))


def log(writer: Machine) -> list[dict[str, object]]:
    return [msgspec.json.decode(encode(event)) for event in writer.drain()]


def types(writer: Machine) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in log(writer)]


def test_text_is_emitted_in_the_order_of_the_real_api() -> None:
    writer = running()
    item = message(writer)
    item.text("Hel")
    item.text("lo")
    item.close()
    writer.complete(USAGE, 2)
    assert types(writer) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_a_function_call_has_no_parts() -> None:
    writer = running()
    item = call(writer)
    item.write("{}")
    item.close()
    assert types(writer)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]


def test_a_file_that_is_deleted_has_no_diff() -> None:
    writer = running()
    patch(writer, DeleteFile(path="a")).close()
    assert types(writer)[2:] == ["output_item.added", "output_item.done"]


def test_commands_are_emitted_one_after_another() -> None:
    writer = running()
    item = shell(writer)
    item.command("ls")
    item.end()
    item.command("p")
    item.command("wd")
    item.close()
    kinds = types(writer)[3:-1]
    assert [kind.removeprefix("shell_call_command.") for kind in kinds] == [
        "added",
        "delta",
        "done",
        "added",
        "delta",
        "delta",
        "done",
    ]


def test_a_reasoning_item_without_a_word_is_added_and_done() -> None:
    writer = running()
    reasoning(writer).close()
    assert types(writer)[2:] == ["output_item.added", "output_item.done"]


def test_a_summary_is_emitted_in_parts() -> None:
    writer = running()
    item = reasoning(writer)
    item.summary("First.")
    item.end()
    item.summary("Second.")
    item.close()
    part = [
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    assert types(writer)[2:] == ["output_item.added", *part, *part, "output_item.done"]


def test_a_failure_closes_what_is_open_and_emits_an_error_before_failed() -> None:
    writer = running()
    message(writer).text("Hel")
    writer.fail(ResponseError(code="server_error", message="gone"))
    events = log(writer)
    assert [event["type"] for event in events[-3:]] == [
        "response.output_item.done",
        "error",
        "response.failed",
    ]
    assert fold(events)["output"][0]["status"] == "incomplete"


def test_a_background_response_is_queued_before_it_runs() -> None:
    writer = machine(background=True)
    writer.create()
    writer.start()
    assert types(writer) == ["created", "queued", "in_progress"]


def test_an_event_says_of_the_response_what_it_was_then() -> None:
    writer = machine(background=True)
    writer.create()
    writer.start()
    writer.complete(None, 1)
    statuses = [event["response"]["status"] for event in log(writer)]
    assert statuses == ["queued", "queued", "in_progress", "completed"]


@pytest.mark.parametrize(
    "misuse",
    [
        lambda writer: writer.create(),
        lambda writer: (message(writer), writer.complete(None, 1)),
        lambda writer: (writer.complete(None, 1), message(writer)),
        lambda writer: (writer.complete(None, 1), writer.fail(ResponseError(code="c", message="m"))),
        lambda writer: (item := message(writer), item.close(), item.text("late")),
        lambda writer: (item := call(writer), item.close(), item.close()),
        lambda writer: (item := custom(writer), item.close(), item.write("late")),
        lambda writer: (item := patch(writer), item.close(), item.write("late")),
        lambda writer: (item := shell(writer), item.close(), item.command("late")),
        lambda writer: message(writer).emit(events.ArgumentsDelta(item_id="", output_index=0, delta="")),
        lambda writer: message(writer).emit(events.Completed(response=writer.snapshot())),
        lambda writer: (item := message(writer), writer.cancel(), item.text("late")),
        lambda writer: (item := call(writer), writer.cancel(), item.finish(item.item)),
        lambda writer: (writer.cancel(), writer.start()),
        lambda writer: (writer.cancel(), writer.speak("AAAA")),
    ],
)
def test_an_illegal_verb_raises(misuse: Callable[[Machine], object]) -> None:
    with pytest.raises(IllegalTransition):
        misuse(running())


def test_snapshots_before_the_end_show_no_output() -> None:
    writer = running()
    item = message(writer)
    item.text("Hi")
    item.close()
    assert [item.status for item in writer.snapshot().output] == ["completed"]
    assert all(e["response"]["output"] == [] for e in log(writer) if "response" in e)  # type: ignore[index]


# ---- the equation -----------------------------------------------------------------------------------

texts = st.text(max_size=8)
verbs = st.one_of(
    st.tuples(st.just("text"), texts, st.booleans()),
    st.tuples(st.just("annotate")),
    st.tuples(st.just("refusal"), texts),
    st.tuples(st.just("reason"), texts),
    st.tuples(st.just("summary"), texts),
    st.tuples(st.just("next part")),
    st.tuples(st.just("call"), texts),
    st.tuples(st.just("custom"), texts),
    st.tuples(st.just("patch"), texts),
    st.tuples(st.just("command"), texts),
    st.tuples(st.just("next command")),
    st.tuples(st.just("close"), st.integers(0, 3)),
)
VERBS: dict[str, tuple[type[OpenItem], Callable[[Machine], OpenItem], Callable[..., None]]] = {
    "text": (OpenMessage, message, lambda item, text, rated: item.text(text, [LOGPROB] if rated else [])),
    "annotate": (OpenMessage, message, lambda item: item.annotate(CITATION)),
    "refusal": (OpenMessage, message, OpenMessage.refusal),
    "reason": (OpenReasoning, reasoning, OpenReasoning.text),
    "summary": (OpenReasoning, reasoning, OpenReasoning.summary),
    "next part": (OpenReasoning, reasoning, OpenReasoning.end),
    "call": (OpenText, call, OpenText.write),
    "custom": (OpenText, custom, OpenText.write),
    "patch": (OpenText, patch, OpenText.write),
    "command": (OpenCommands, shell, OpenCommands.command),
    "next command": (OpenCommands, shell, OpenCommands.end),
}
ends = st.sampled_from(["complete", "incomplete", "fail", "cancel"])


@st.composite
def logs(draw: st.DrawFn) -> Machine:
    """A machine that was writer something legal, items overlapping, until an end."""
    writer = running()
    handles: list[OpenItem] = []

    def opened(kind: type[OpenItem], make: Callable[[Machine], OpenItem]) -> OpenItem:
        fitting = [handle for handle in handles if isinstance(handle, kind)]
        if fitting and draw(st.booleans()):
            return draw(st.sampled_from(fitting))
        handles.append(make(writer))
        return handles[-1]

    for verb, *arguments in draw(st.lists(verbs, max_size=25)):
        if verb in VERBS:
            kind, make, tell = VERBS[verb]
            tell(opened(kind, make), *arguments)
        elif handles:
            handles.pop(arguments[0] % len(handles)).close()
    end = draw(ends)
    if end == "complete":
        for handle in handles:
            handle.close()
        writer.complete(USAGE, 2)
    elif end == "incomplete":
        writer.incomplete("max_output_tokens", USAGE)
    elif end == "fail":
        writer.fail(ResponseError(code="server_error", message="gone"))
    else:
        writer.cancel()
    return writer


@given(logs())
def test_a_log_folds_to_the_response_byte_for_byte(writer: Machine) -> None:
    assert encode(fold(log(writer))) == encode(writer.snapshot())


@given(logs())
def test_every_prefix_of_a_log_folds(writer: Machine) -> None:
    events = log(writer)
    for length in range(1, len(events) + 1):
        fold(events[:length])


@given(logs(), st.data())
def test_a_log_with_an_event_lost_or_moved_does_not_fold(writer: Machine, data: st.DataObject) -> None:
    events = log(writer)
    at = data.draw(st.integers(0, len(events) - 2))
    lost = events[:at] + events[at + 1 :]
    with pytest.raises(BrokenLog):
        fold(lost)
    moved = [*events[:at], events[at + 1], events[at], *events[at + 2 :]]
    with pytest.raises(BrokenLog):
        fold(moved)


@given(logs(), st.data())
def test_a_log_in_which_a_delta_was_changed_does_not_fold(writer: Machine, data: st.DataObject) -> None:
    events = log(writer)
    deltas = [event for event in events if isinstance(event.get("delta"), str)]
    if deltas:
        data.draw(st.sampled_from(deltas))["delta"] += "!"  # type: ignore[operator]
        with pytest.raises(BrokenLog):
            fold(events)
