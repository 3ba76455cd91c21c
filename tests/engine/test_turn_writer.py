"""What a model says becomes events in order, however its upstream mixes the pieces."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    ReasoningDelta,
    SummaryDelta,
    TextDelta,
    TextRun,
)
from antiphon.protocol.delta_runs import single
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening
from antiphon.protocol.tools import CustomTool, FunctionTool
from antiphon.protocol.wire import encode
from antiphon.stream.filters import TextFilter
from antiphon.stream.fold import fold
from antiphon.stream.machine import Machine
from antiphon.tools.citations import Citations, Sources
from antiphon.tools.toolbox import Toolbox
from antiphon.tools.web_links import Link

Json = dict[str, Any]
TOOLS = (FunctionTool(name="f"), FunctionTool(name="g"), CustomTool(name="free"))


class Turn:
    """A turn that is written."""

    def __init__(self, toolbox: Toolbox | None = None) -> None:
        numbers = count()
        request = CreateResponse(model="m", input="hi")
        self.machine = Machine(opening(request, "resp_1", 1), lambda kind: f"{kind}_{next(numbers)}")
        self.machine.create()
        self.machine.start()
        toolbox = toolbox or Toolbox(TOOLS)
        offered = [function.name for function in toolbox.functions]
        self.writer = TurnWriter(self.machine, toolbox, offered)

    def says(self, *deltas: Delta) -> list[Json]:
        """The output when the turn is over; the log of it folds."""
        self.writer.write(deltas)
        if self.writer.calls:
            asyncio.run(self.writer.run_calls(_nobody))
        else:
            self.writer.conclude()
        self.machine.complete(None, 2)
        log = [msgspec.json.decode(encode(event)) for event in self.machine.drain()]
        output: list[Json] = fold(log)["output"]
        return output


async def _nobody() -> None:
    """Nobody reads along."""


def started(*names: str) -> list[Delta]:
    return [CallStarted(index, name, f"call_{index}") for index, name in enumerate(names)]


def arguments(output: Sequence[Json]) -> list[tuple[str, str]]:
    return [(item["call_id"], item.get("arguments", item.get("input"))) for item in output]


def test_arguments_of_calls_that_are_mixed_reach_the_call_that_they_are_of() -> None:
    mixed = [
        *started("f", "g"),
        CallArguments(0, '{"a":'),
        CallArguments(1, '{"b":'),
        CallArguments(0, "1}"),
        CallArguments(1, "2}"),
        Finished("calls"),
    ]

    assert arguments(Turn().says(*mixed)) == [("call_0", '{"a":1}'), ("call_1", '{"b":2}')]


PIECES = st.lists(st.sampled_from(["x", "yy", '\\"', "é"]), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["f", "g", "free"]), PIECES), min_size=1, max_size=4), st.data())
def test_calls_come_out_whole_in_their_order_however_they_are_mixed(
    calls: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    waiting = [['{"input":"', *pieces, '"}'] for _, pieces in calls]
    whole = ["".join(pieces) for pieces in waiting]
    said: list[Delta] = []
    begun = 0
    while begun < len(calls) or any(waiting):
        open_calls = [index for index in range(begun) if waiting[index]]
        if begun < len(calls) and (not open_calls or data.draw(st.booleans())):
            said.append(CallStarted(begun, calls[begun][0], f"call_{begun}"))
            begun += 1
        else:
            index = data.draw(st.sampled_from(open_calls))
            said.append(CallArguments(index, waiting[index].pop(0)))

    output = Turn().says(*said, Finished("calls"))

    expected = [
        msgspec.json.decode(text)["input"] if name == "free" else text
        for (name, _), text in zip(calls, whole, strict=True)
    ]
    assert arguments(output) == [(f"call_{index}", text) for index, text in enumerate(expected)]


def test_a_call_that_is_whole_is_done_before_the_next_one_begins() -> None:
    turn = Turn()
    turn.writer.write([*started("f"), CallArguments(0, "{}"), CallStarted(1, "g", "call_1")])

    assert [item.status for item in turn.machine.snapshot().output] == ["completed"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "deltas",
    [
        [CallArguments(0, "{}")],
        [*started("f"), CallArguments(1, "{}")],
        [*started("f"), CallArguments(0, "{}"), CallStarted(1, "g"), CallArguments(0, "more")],
    ],
    ids=["none has begun", "another has begun", "it is complete"],
)
def test_arguments_of_a_call_that_is_not_open_are_nonsense(deltas: list[Delta]) -> None:
    with pytest.raises(UpstreamError, match="not open"):
        Turn().writer.write(deltas)


def test_the_parts_of_a_summary_are_parts_of_the_item() -> None:
    (thought, _) = Turn().says(
        SummaryDelta("First, ", 0),
        SummaryDelta("this.", 0),
        SummaryDelta("Then that.", 1),
        TextDelta("Done."),
        Finished("stop"),
    )

    assert [part["text"] for part in thought["summary"]] == ["First, this.", "Then that."]


def test_the_parts_of_each_summary_are_counted_anew() -> None:
    output = Turn().says(
        SummaryDelta("One.", 0),
        SummaryDelta("Two.", 1),
        TextDelta("Hm."),
        SummaryDelta("Three.", 0),
        ReasoningDelta("raw"),
        Finished("stop"),
    )

    assert [[part["text"] for part in item["summary"]] for item in output if "summary" in item] == [
        ["One.", "Two."],
        ["Three."],
    ]


class Cited(Toolbox):
    """One with a tool whose results can be cited."""

    def filters(self) -> TextFilter:
        sources = Sources()
        sources.add([Link("https://boats.test", "Boats")])
        return Citations(sources)


@pytest.mark.parametrize("toolbox", [Toolbox, Cited])
@pytest.mark.parametrize(
    "before", [[], [CallStarted(0, "free"), CallArguments(0, "{}")]], ids=["first", "behind a call"]
)
def test_a_run_is_written_as_its_deltas_are(toolbox: type[Toolbox], before: list[Delta]) -> None:
    texts = ["Boats", " float【", "1", "】", " \n", "."]
    run = TextRun("".join(texts), pieces=[encode(text)[1:-1] for text in texts])

    def log(*deltas: Delta) -> list[bytes]:
        turn = Turn(toolbox(TOOLS))
        turn.writer.write([*before, *deltas, Finished("stop")])
        asyncio.run(turn.writer.run_calls(_nobody))
        assert turn.writer.spoken().text == run.text
        return [encode(event) for event in single(turn.machine.drain())]

    assert log(run) == log(*(TextDelta(text) for text in texts))
