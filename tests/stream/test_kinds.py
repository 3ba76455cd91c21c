"""Every item type by its row: whatever order of events a row allows is written, read, cut, gone on with."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.test_items import EXAMPLES
from tests.stream.test_machine import USAGE, machine

from antiphon.protocol import events, items
from antiphon.protocol.client_items import CommandOutput, ExitOutcome
from antiphon.protocol.content import Logprob, OutputText, ReasoningText, Refusal, SummaryText, UrlCitation
from antiphon.protocol.events import Event, PrintedText, event_type
from antiphon.protocol.items import decode_stored
from antiphon.protocol.wire import encode
from antiphon.stream.built_item import BrokenLog, BuiltItem
from antiphon.stream.fold import Fold, fold
from antiphon.stream.items import open_item
from antiphon.stream.kinds import CALL_OF, EFFECTS, KINDS, ItemKind, kind_named, was_cut
from antiphon.stream.machine import Machine, OpenItem
from antiphon.stream.resume import resume, way_out
from antiphon.stream.steps import Step
from antiphon.stream.table import CLOSED, IllegalTransition

Json = dict[str, Any]
IN_OUTPUT = [kind for kind in KINDS if kind.item not in (items.InputMessage, items.AdditionalTools)]
by_type = pytest.mark.parametrize("kind", IN_OUTPUT, ids=lambda kind: kind.type)

# ---- a walk through the rows of an item --------------------------------------------------------------


class Walk:
    """An item whose events are drawn from the rows of its kind; what they say is drawn too."""

    def __init__(self, machine: Machine, kind: ItemKind, draw: st.DrawFn) -> None:
        self.kind = kind
        self._draw = draw
        self.handle = open_item(machine, added(kind, machine.new_id))
        self.built = BuiltItem(msgspec.json.decode(encode(self.handle.item)))

    def step(self) -> bool:
        """One event more, if there is one that may come."""
        steps = [step for step in self.kind.steps if step.before == self.built.state]
        if not steps:
            return False
        step = self._draw(st.sampled_from(steps))
        event = self._event(step)
        self.handle.emit(event)
        self.built.state = step.after
        step.build(self.built, msgspec.json.decode(encode(event)))
        return True

    def finish(self) -> None:
        """By the shortest way."""
        for step in way_out(self.kind.type, self.built.state):
            self.handle.emit(self._event(step))
        status = {"status": "completed"} if self.kind.has_status else {}
        self.handle.finish(decode_stored(encode(self.built.json | status)))

    def _event(self, step: Step) -> Event:
        if step.make is not None:
            return step.make(self.built.json, self.handle.place)
        members = SAYS.get(step.event, lambda walk, step: {})(self, step)
        known = step.event.__struct_fields__
        place = {name: value for name, value in self.handle.place.items() if name in known}
        return step.event(**place, **members)

    def text(self) -> str:
        return self._draw(st.text(max_size=4))

    def parts(self, members: str) -> int:
        return len(self.built.listed(members))


def added(kind: ItemKind, new_id: Callable[[str], str]) -> Any:
    """The least item of the type, as it is before anything happened to it."""
    example = {**EXAMPLES[kind.type][0], **EMPTY.get(kind.type, {}), "type": kind.type}
    example["id"] = new_id(kind.type)
    if kind.has_status:
        example["status"] = "completed" if kind.nature == "output" else "in_progress"
    item: Any = decode_stored(msgspec.json.encode(example))
    return item


EMPTY: dict[str, Json] = {
    "message": {"role": "assistant", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "apply_patch_call": {"operation": {"type": "create_file", "path": "a", "diff": ""}},
    "shell_call": {"action": {"commands": []}},
    "shell_call_output": {"output": []},
    "mcp_call": {"arguments": ""},
    "code_interpreter_call": {"code": ""},
}
"""What events build is empty in the beginning."""
PARTS = {
    "output_text": OutputText(text=""),
    "refusal": Refusal(refusal=""),
    "reasoning_text": ReasoningText(text=""),
}
CITATION = UrlCitation(url="http://a.example", title="A", start_index=0, end_index=1)
LOGPROB = Logprob(token="a", bytes=[97], logprob=-0.5, top_logprobs=[])
Says = Callable[[Walk, Step], Json]


def _delta(walk: Walk, step: Step) -> Json:
    return {"delta": walk.text()}


def _in_content(walk: Walk, step: Step) -> Json:
    return {"content_index": walk.parts("content") - 1, "delta": walk.text()}


def _printed(walk: Walk) -> Json:
    return {name: walk.built.text_in(walk.built.printed, name) for name in walk.built.printed}


SAYS: dict[type[Event], Says] = {
    events.PartAdded: lambda walk, step: {"content_index": walk.parts("content"), "part": PARTS[step.part]},
    events.TextDelta: lambda walk, step: {**_in_content(walk, step), "logprobs": [LOGPROB]},
    events.RefusalDelta: _in_content,
    events.ReasoningTextDelta: _in_content,
    events.AnnotationAdded: lambda walk, step: {
        "content_index": walk.parts("content") - 1,
        "annotation_index": len(walk.built.listed("content")[-1]["annotations"]),
        "annotation": CITATION,
    },
    events.SummaryPartAdded: lambda walk, step: {
        "summary_index": walk.parts("summary"),
        "part": SummaryText(text=""),
    },
    events.SummaryTextDelta: lambda walk, step: {
        "summary_index": walk.parts("summary") - 1,
        "delta": walk.text(),
    },
    events.ArgumentsDelta: _delta,
    events.CustomInputDelta: _delta,
    events.PatchDiffDelta: _delta,
    events.McpArgumentsDelta: _delta,
    events.CodeDelta: _delta,
    events.PartialImage: lambda walk, step: {"partial_image_index": 0, "partial_image_b64": "AAAA"},
    events.CommandAdded: lambda walk, step: {
        "command_index": len(walk.built.listed("action", "commands")),
        "command": "",
    },
    events.CommandDelta: lambda walk, step: {
        "command_index": len(walk.built.listed("action", "commands")) - 1,
        "delta": walk.text(),
    },
    events.ShellOutputDelta: lambda walk, step: {
        "command_index": walk.parts("output"),
        "delta": PrintedText(stdout=walk.text(), stderr=walk.text()),
    },
    events.ShellOutputDone: lambda walk, step: {
        "command_index": walk.parts("output"),
        "output": [
            CommandOutput(outcome=ExitOutcome(exit_code=0), **{"stdout": "", "stderr": "", **_printed(walk)})
        ],
    },
}


@st.composite
def logs(draw: st.DrawFn) -> Sequence[Json]:
    """The log of a response whose items have their events in any order that their rows allow."""
    writer = machine()
    writer.create()
    writer.start()
    walks: list[Walk] = []
    for kind in draw(st.lists(st.sampled_from(IN_OUTPUT), min_size=1, max_size=4)):
        walks.append(Walk(writer, kind, draw))
        for _ in range(draw(st.integers(0, 8))):
            draw(st.sampled_from(walks)).step()
    if draw(st.booleans()):
        for walk in walks:
            walk.finish()
        writer.complete(USAGE, 2)
    return [msgspec.json.decode(encode(event)) for event in writer.drain()]


def new_ids() -> Callable[[str], str]:
    numbers = count()
    return lambda kind: f"{kind}_new_{next(numbers)}"


# ---- tests -------------------------------------------------------------------------------------------


@given(logs())
def test_whatever_the_rows_allow_folds_at_every_length(log: Sequence[Json]) -> None:
    folded = Fold()
    for event in log:
        folded.add(event)


@given(logs(), st.data())
def test_whatever_the_rows_allow_is_gone_on_with_from_every_cut(
    log: Sequence[Json], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(2, len(log)))
    before = list(log[:cut])
    writer = resume(before, new_ids()).machine
    if not writer.ended:
        writer.start()
        writer.complete(USAGE, 3)
    after = [msgspec.json.decode(encode(event)) for event in writer.drain()]
    assert encode(fold([*before, *after])) == encode(writer.snapshot())
    for item in writer.snapshot().output:
        assert getattr(item, "status", None) not in ("searching", "generating", "interpreting", "calling")
        assert getattr(item, "status", None) != "in_progress" or was_cut(item)


@by_type
@given(data=st.data())
def test_an_item_that_is_open_at_an_early_end_is_closed_as_its_row_says(
    kind: ItemKind, data: st.DataObject
) -> None:
    writer = machine()
    writer.create()
    writer.start()
    handle = open_item(writer, added(kind, writer.new_id))
    stages = [step for step in kind.steps if step.event in STAGES]
    for step in stages[: data.draw(st.integers(kind.type in OPENED_BY_A_STAGE, len(stages)))]:
        handle.emit(step.event(**handle.place))

    writer.cancel()

    (item,) = writer.snapshot().output
    closed = kind.cut("The response ended")
    assert {name: getattr(item, name) for name in closed} == dict(closed)
    log = [msgspec.json.decode(encode(event)) for event in writer.drain()]
    assert encode(fold(log)) == encode(writer.snapshot())


# Events of a call that say how far it is.
OPENED_BY_A_STAGE = {"mcp_call", "mcp_list_tools"}
STAGES = {
    events.FileSearchInProgress,
    events.FileSearchSearching,
    events.FileSearchCompleted,
    events.WebSearchInProgress,
    events.WebSearchSearching,
    events.WebSearchCompleted,
    events.ImageInProgress,
    events.ImageGenerating,
    events.CodeInProgress,
    events.McpCallInProgress,
    events.McpListingInProgress,
    events.Compacting,
}


@given(data=st.data())
@pytest.mark.parametrize("name", ["code_interpreter_call", "shell_call_output", "mcp_call", "function_call"])
def test_what_was_built_of_an_item_stays_when_it_is_cut(name: str, data: st.DataObject) -> None:
    """Whoever runs a call emits events and no verbs: the handle gathers what they build."""
    writer = machine()
    writer.create()
    writer.start()
    walk = Walk(writer, kind_named(name), data.draw)
    for _ in range(data.draw(st.integers(0, 8))):
        walk.step()
    if name == "mcp_call" and walk.built.state == "open":
        walk.step()
    writer.cancel()
    log = [msgspec.json.decode(encode(event)) for event in writer.drain()]
    assert encode(fold(log)) == encode(writer.snapshot())


@by_type
def test_a_cut_item_has_members_and_values_that_its_type_knows(kind: ItemKind) -> None:
    hints = get_type_hints(kind.item)
    for name, value in kind.cut("The server stopped").items():
        msgspec.convert(value, hints[name])
        assert name in ("error", "result") or value in get_args(get_args(hints[name])[0])


@by_type
def test_every_state_of_an_item_has_a_way_to_its_end(kind: ItemKind) -> None:
    for state in {state for step in kind.steps for state in (step.before, step.after)} | {"open"}:
        way = way_out(kind.type, state)
        assert all(step.make is not None for step in way)
        assert (way[-1].after if way else state) in kind.closes


def test_every_item_type_has_a_row() -> None:
    assert {kind.type for kind in KINDS} == set(items.INPUT_ITEMS) - {"item_reference", "compaction_trigger"}


def test_every_output_answers_a_call_that_has_a_row() -> None:
    assert all(kind_named(output).nature == "output" for output in CALL_OF)
    assert all(kind_named(call).nature == "call" for call in CALL_OF.values())


def test_every_event_of_an_item_has_a_row() -> None:
    known = {event_type(step.event) for kind in KINDS for step in kind.steps}
    of_items = {
        event_type(each)
        for each in vars(events).values()
        if isinstance(each, type)
        and issubclass(each, events.ItemEvent | events.CommandEvent)
        and each.__struct_config__.tag is not None
        and str(each.__struct_config__.tag).startswith("response.")
    }
    assert of_items == known
    assert {step.event for kind in KINDS for step in kind.steps} >= EFFECTS


def misplaced_event(kind: type[Event]) -> Event:
    """An event of the class, whatever it says."""
    part = OutputText(text="") if kind is events.PartAdded else None
    members = {field.name: part for field in msgspec.structs.fields(kind) if field.required}
    return kind(**members)


EVENTS = st.sampled_from(sorted({step.event for kind in KINDS for step in kind.steps}, key=event_type))


@given(st.sampled_from(IN_OUTPUT), EVENTS, st.data())
def test_an_event_that_no_row_allows_leaves_no_trace(
    kind: ItemKind, event: type[Event], data: st.DataObject
) -> None:
    writer = machine()
    writer.create()
    writer.start()
    walk = Walk(writer, kind, data.draw)
    for _ in range(data.draw(st.integers(0, 4))):
        walk.step()
    if data.draw(st.booleans()):
        walk.finish()
        walk.built.state = CLOSED
    writer.drain()
    if any(step.before == walk.built.state and step.event is event for step in kind.steps):
        return
    misplaced = misplaced_event(event)
    with pytest.raises(IllegalTransition):
        walk.handle.emit(misplaced)
    assert writer.drain() == []


def test_nothing_but_the_verbs_can_add_an_event() -> None:
    doors = {name for name in vars(Machine) if not name.startswith("_")}
    assert doors.isdisjoint({"emit", "append", "close_at", "step"})
    assert {name for name in vars(OpenItem) if not name.startswith("_")}.isdisjoint({"step"})


def test_an_item_of_a_type_that_nobody_knows_does_not_fold() -> None:
    writer = machine()
    writer.create()
    writer.start()
    log = [msgspec.json.decode(encode(event)) for event in writer.drain()]
    place = {"output_index": 0, "item": {"type": "dream", "id": "d_1"}}
    with pytest.raises(BrokenLog):
        fold([*log, {"type": "response.output_item.added", "sequence_number": 2, **place}])
