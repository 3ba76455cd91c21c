"""Whether what clients were told is right. Pure functions: evidence in, sentences out; none means all is
well."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import msgspec
from tests.chaos.case import TERMINAL_STATUS, Case, Frame, Json, NotAFrame, Told
from tests.chaos.upstream import key_of

from antiphon.stream.fold import BrokenLog, fold


def judge(case: Case, recorded: Mapping[str, int]) -> list[str]:
    """Everything that is wrong with one response."""
    if case.final is None:
        return list(_absent(case, recorded))
    try:
        return [*_ends(case), *_items(case), *_calls(case, recorded), *_logs(case)]
    except NotAFrame as error:
        return [str(error)]


def _absent(case: Case, recorded: Mapping[str, int]) -> Iterator[str]:
    """A foreground response may die with its server, if nobody was told that it is complete."""
    if not case.excused:
        yield "was acknowledged and is not there"
    if any(told.ended for told in case.readers):
        yield "was told to its end and is not there"
    yield from (f"{key} was recorded twice" for key in case.plan.keys if recorded[key] > 1)


# ---- the response -----------------------------------------------------------------------------------


def _ends(case: Case) -> Iterator[str]:
    status = case.response["status"]
    if case.final != case.again:
        yield "a second GET returns something else"
    cancelled = [_status(body) for body in case.cancels]
    if status not in TERMINAL_STATUS:
        yield f"never ended: its status is {status}"
    elif not case.excused and status != "completed" and status not in cancelled:
        yield f"ended as {status}: {case.response.get('error') or case.response.get('incomplete_details')}"
    for body in case.cancels:
        if body != case.final:
            yield f"a cancellation returned {body.decode()!r}, GET another object"
    if case.polls and _status(case.polls[0]) != "queued":
        yield f"was acknowledged as {_status(case.polls[0])}"
    if not any(case.plan.prompt() in str(item.get("content")) for item in case.input_items):
        yield "its input is not among its input items"


def _status(body: bytes) -> str:
    return str(msgspec.json.decode(body)["status"])


def _items(case: Case) -> Iterator[str]:
    output: list[Json] = case.response["output"]
    for item in output:
        if item.get("status", "completed") not in ("completed", "incomplete", "failed"):
            yield f"item {item['id']} is still {item['status']}"
    ids = Counter(item["id"] for item in output)
    yield from (f"two items have the id {each}" for each, times in ids.items() if times > 1)
    for poll in case.polls:
        before = [item for item in msgspec.json.decode(poll)["output"] if item.get("status") != "in_progress"]
        if not _begins(output, before):
            yield f"a poll was told items that are not those of the end: {before}"
    if case.response["status"] == "completed":
        yield from _text(case, output)


def _begins(output: Sequence[Json], before: Sequence[Json]) -> bool:
    return msgspec.json.encode(output[: len(before)]) == msgspec.json.encode(before)


def _text(case: Case, output: Sequence[Json]) -> Iterator[str]:
    """The last message is what the model said, of a conversation that it was given whole."""
    texts = [item["content"][0]["text"] for item in output if item["type"] == "message" and item["content"]]
    expected = case.plan.text(case.turn)
    if texts[-1:] != [expected]:
        yield f"its text is {texts[-1:]!r}, the model said {expected!r}"


# ---- the calls --------------------------------------------------------------------------------------


def _calls(case: Case, recorded: Mapping[str, int]) -> Iterator[str]:
    """What the log tells of the calls, against what the tool has seen."""
    made = [item for item in case.response["output"] if item["type"] == "mcp_call"]
    for item in made:
        if item["status"] == "failed":
            yield f"call {item['id']} failed, of a tool that always works: {item['error']}"
    for key in case.plan.keys:
        told = Counter(item["status"] for item in made if key_of(item["arguments"]) == key)
        times = recorded[key]
        if told["completed"] > 1:
            yield f"{key}: a completed call was made again"
        if times < told["completed"]:
            yield f"{key}: told as completed, and never recorded"
        if times > told.total():
            yield f"{key}: recorded {times} times, and the log tells of {told.total()} calls"
        if case.response["status"] == "completed" and not told:
            yield f"{key}: was never called"


# ---- the log ----------------------------------------------------------------------------------------


def _logs(case: Case) -> Iterator[str]:
    if case.streamed:
        yield from log_faults(case.log)
        if not Told(frames=case.log).ended:
            yield f"the log ends with {case.log[-1].kind if case.log else 'nothing'}"
        yield from _fold_faults(case.log, case.response)
        yield from _beginning(case.log)
        yield from _cut(case)
        for told in case.readers:
            yield from reader_faults(told, case.log)
        yield from _parsed(case)
    else:  # in the foreground there is no log but what was told
        for told in case.readers:
            yield from log_faults(told.frames)
            if told.ended:
                yield from _fold_faults(told.frames, case.response)


def log_faults(log: Sequence[Frame]) -> Iterator[str]:
    """Numbers rise by one, from 0."""
    for expected, frame in enumerate(log):
        if frame.number != expected:
            yield f"event {expected} of the log has the number {frame.number}"
            return


def _fold_faults(log: Sequence[Frame], response: Json) -> Iterator[str]:
    try:
        folded = fold(frame.event for frame in log)
    except (BrokenLog, LookupError, TypeError) as error:
        yield f"the log does not fold: {error!r}"
        return
    if msgspec.json.encode(folded) != msgspec.json.encode(response):
        yield f"the log folds to {folded}"


def _beginning(log: Sequence[Frame]) -> Iterator[str]:
    """A response that was cancelled early may never have been in progress."""
    begin = [frame.kind.removeprefix("response.") for frame in log[:3]]
    if begin[:2] != ["created", "queued"] or begin[2:] not in (["in_progress"], ["cancelled"]):
        yield f"the log begins with {begin}"
    elif log[0].event["response"]["status"] != "queued":
        yield "the first snapshot is not queued"


def _cut(case: Case) -> Iterator[str]:
    """Only a crash (or a cancellation) cuts an item."""
    cut = [item["id"] for item in case.response["output"] if item.get("status") == "incomplete"]
    if cut and not case.takeovers and case.response["status"] == "completed":
        yield f"{cut} are incomplete, though nobody took over"


def reader_faults(told: Told, log: Sequence[Frame]) -> Iterator[str]:
    """What a reader collected is that stretch of the log, byte for byte."""
    stretch = log[told.first : told.first + len(told.frames)]
    for at, (had, has) in enumerate(zip_longest(told.frames, stretch), told.first):
        if had == has:
            continue
        if had is None or has is None:
            yield f"a reader from {told.first} was told of event {at}, which the log does not have"
        elif had.number == has.number:
            yield f"event {at} was rewritten: told as {had.data!r}, kept as {has.data!r}"
        else:
            wrong = "a gap" if had.number > at else "a repeat"
            yield f"{wrong}: a reader from {told.first} was told {had.number} where {at} was due"
        return


def _parsed(case: Case) -> Iterator[str]:
    """The official client saw the same."""
    expected = [(frame.number, frame.kind) for frame in case.log]
    for had, has in zip_longest(case.parsed, expected[: len(case.parsed)]):
        if had != has:
            yield f"the official client was given {had} where {has} was due"
            return
