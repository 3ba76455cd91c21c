"""The evidence of a run as it should be: crashed twice, in a call and in its text. Tests spoil it."""

from itertools import count

import msgspec
from msgspec.structs import replace
from tests.chaos.case import Case, Frame, Told
from tests.chaos.plan import Plan, result_of

from antiphon.api import sse
from antiphon.protocol import events
from antiphon.protocol.delta_runs import single
from antiphon.protocol.hosted_items import McpCall
from antiphon.protocol.items import AssistantMessage
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening
from antiphon.protocol.wire import encode
from antiphon.stream.items import OpenMessage, OpenText
from antiphon.stream.machine import Machine

PLAN = Plan(calls=2, words=6, pace=10, seed=42)
RECORDED = {PLAN.keys[0]: 2, PLAN.keys[1]: 1}
"""The first call had taken effect when the server died in it, and was made again."""


def log(plan: Plan = PLAN, response_id: str = "resp_1") -> list[Frame]:
    machine = _machine(response_id)
    machine.create()
    machine.start()
    for key in plan.keys[:1]:
        _called(machine, key, cut=True)
    machine.start()
    for key in plan.keys:
        _called(machine, key, cut=False)
    said = plan.text(1)
    _said(machine, said[:9], cut=True)
    machine.start()
    _said(machine, said, cut=False)
    machine.complete(None, 2)
    return [Frame(sse.frame(event)[:-2]) for event in single(machine.drain())]


def cancelled() -> list[Frame]:
    machine = _machine("resp_1")
    machine.create()
    machine.cancel()
    return [Frame(sse.frame(event)[:-2]) for event in single(machine.drain())]


def _machine(response_id: str) -> Machine:
    numbers = count()
    response = opening(CreateResponse(model="chaos", input="", background=True), response_id, 1)
    response.status = "queued"
    return Machine(response, lambda kind: f"{kind}_{next(numbers)}")


def _called(machine: Machine, key: str, cut: bool) -> None:
    item = McpCall(id=machine.new_id("mcp"), server_label="chaos", name="record", arguments="")
    call = machine.open(OpenText, item)
    call.emit(events.McpCallInProgress(**call.place))
    call.write(f'{{"key": "{key}"}}')
    call.end()
    if cut:
        call.cut("The server stopped")
        return
    call.emit(events.McpCallCompleted(**call.place))
    call.finish(replace(call.built(), status="completed", output=result_of(key)))


def _said(machine: Machine, text: str, cut: bool) -> None:
    item = AssistantMessage(id=machine.new_id("msg"), status="in_progress", content=())
    message = machine.open(OpenMessage, item)
    for at in range(0, len(text), 5):
        message.text(text[at : at + 5])
    if cut:
        message.cut("The server stopped")
    else:
        message.close()


def response_of(frames: list[Frame]) -> bytes:
    """What GET returns in the end."""
    return encode(frames[-1].event["response"])


def case(frames: list[Frame] | None = None) -> Case:
    """All that was told of the run, to a reader of everything, a late one, and the official client."""
    frames = frames or log()
    final = response_of(frames)
    begun = msgspec.json.encode(frames[0].event["response"])
    return Case(
        "sample",
        PLAN,
        "resp_1",
        streamed=True,
        readers=[Told(0, list(frames)), Told(5, frames[5:])],
        parsed=[(frame.number, frame.kind) for frame in frames],
        polls=[begun, final],
        final=final,
        again=final,
        log=list(frames),
        input_items=[{"type": "message", "content": [{"type": "input_text", "text": PLAN.prompt()}]}],
    )
