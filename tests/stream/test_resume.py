"""A log whose writer died, cut anywhere: the next one goes on with it, and the whole still folds."""

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.stream.test_machine import LOGPROB, USAGE, call, custom, machine, message, patch, reasoning, shell

from antiphon.protocol import events
from antiphon.protocol.hosted_items import ListedTool, McpCall, McpListTools
from antiphon.protocol.items import Compaction
from antiphon.protocol.response import ResponseError
from antiphon.protocol.wire import encode
from antiphon.stream.fold import fold
from antiphon.stream.items import OpenCompaction, OpenText
from antiphon.stream.machine import Machine
from antiphon.stream.mcp import OpenMcpListing
from antiphon.stream.resume import resume

Json = dict[str, Any]


def new_ids() -> Callable[[str], str]:
    numbers = count()
    return lambda kind: f"{kind}_new_{next(numbers)}"


def say(writer: Machine) -> None:
    thought = reasoning(writer)
    thought.text("Hm")
    thought.summary("He ")
    thought.summary("thinks")
    thought.close()
    spoken = message(writer)
    spoken.text("Hel", [LOGPROB])
    spoken.text("lo")
    spoken.refusal("No.")
    spoken.close()


def call_all(writer: Machine) -> None:
    function = call(writer)
    function.write("{")
    function.write("}")
    function.close()
    free = custom(writer)
    free.write("ab")
    free.write("c")
    free.close()
    diff = patch(writer)
    diff.write("+a")
    diff.close()
    commands = shell(writer)
    commands.command("ls")
    commands.end()
    commands.command("pwd")
    commands.close()


def ask_servers(writer: Machine) -> None:
    listing = writer.open(
        OpenMcpListing, McpListTools(id=writer.new_id("mcpl"), server_label="things", tools=[])
    )
    listing.asking()
    listing.listed([ListedTool(name="add", input_schema={})])
    asked = [mcp_call(writer), mcp_call(writer)]
    answer(asked[0], "3")
    answer(asked[1], "4")
    compacted = writer.open(OpenCompaction, Compaction(id=writer.new_id("cmp"), encrypted_content=""))
    compacted.compacting()
    compacted.encrypted_content = "sealed"
    compacted.close()


def mcp_call(writer: Machine) -> OpenText:
    item = McpCall(
        id=writer.new_id("mcp"), server_label="things", name="add", arguments="", status="in_progress"
    )
    handle = writer.open(OpenText, item)
    handle.emit(events.McpCallInProgress(**handle.place))
    handle.write('{"a"')
    handle.write(":1}")
    handle.end()
    return handle


def answer(call: OpenText, output: str) -> None:
    call.emit(events.McpCallCompleted(**call.place))
    call.finish(replace(call.built(), output=output, status="completed"))


def whole_log() -> list[Json]:
    writer = machine(background=True)
    writer.create()
    writer.start()
    say(writer)
    call_all(writer)
    ask_servers(writer)
    writer.complete(USAGE, 2)
    return drained(writer)


def drained(writer: Machine) -> list[Json]:
    return [msgspec.json.decode(encode(event)) for event in writer.drain()]


LOG = whole_log()


@pytest.mark.parametrize("cut", range(2, len(LOG)))
def test_a_log_that_was_cut_anywhere_goes_on_and_folds(cut: int) -> None:
    before = LOG[:cut]
    writer = resume(before, new_ids()).machine
    writer.start()
    say(writer)
    writer.complete(USAGE, 3)
    log = before + drained(writer)
    output = fold(log)["output"]
    assert msgspec.json.encode(output) == encode(writer.snapshot().output)
    assert [item.get("status", "completed") for item in output].count("incomplete") <= 2


@pytest.mark.parametrize("cut", range(2, len(LOG)))
def test_what_was_finished_stays_and_what_was_open_is_incomplete(cut: int) -> None:
    before = LOG[:cut]
    done = {e["output_index"]: e["item"] for e in before if e["type"] == "response.output_item.done"}
    added = [e["item"] for e in before if e["type"] == "response.output_item.added"]
    output = [
        msgspec.json.decode(encode(item)) for item in resume(before, new_ids()).machine.snapshot().output
    ]
    assert len(output) == len(added)
    for index, item in enumerate(output):
        if index in done:
            assert item == done[index]
        elif "status" in added[index]:
            assert item["status"] == ("in_progress" if item["type"] == "apply_patch_call" else "incomplete")


ENDS: dict[str, Callable[[Machine], None]] = {
    "completed": lambda writer: writer.complete(USAGE, 2),
    "incomplete": lambda writer: writer.incomplete("max_output_tokens", USAGE),
    "cancelled": lambda writer: writer.cancel(USAGE),
    "failed": lambda writer: writer.fail(ResponseError(code="server_error", message="No.")),
}


@pytest.mark.parametrize("status", ENDS)
def test_a_log_that_has_its_end_gives_the_response_that_ended(status: str) -> None:
    writer = machine(background=True)
    writer.create()
    writer.start()
    say(writer)
    call_all(writer)
    ask_servers(writer)
    ENDS[status](writer)
    found = resume(drained(writer), new_ids()).machine
    assert found.ended
    assert not found.drain()
    assert found.snapshot() == writer.snapshot()
    assert found.snapshot().status == status
    assert list(found.snapshot().output) == list(found.items)


def test_a_cut_listing_says_why_it_has_no_tools() -> None:
    until = next(i for i, e in enumerate(LOG) if e["type"] == "response.mcp_list_tools.in_progress")
    listing = resume(LOG[: until + 1], new_ids()).machine.snapshot().output[-1]
    assert listing.error == "The server stopped before the answer."


def test_a_resumed_log_can_be_cut_and_resumed_again() -> None:
    log = LOG[:6]
    for _ in range(3):
        writer = resume(log, new_ids()).machine
        writer.start()
        message(writer).text("again")
        log += drained(writer)
    writer = resume(log, new_ids()).machine
    writer.cancel()
    log += drained(writer)
    assert fold(log)["status"] == "cancelled"
    assert {item.get("status") for item in fold(log)["output"]} == {None, "incomplete"}
