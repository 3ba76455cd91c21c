"""Steering: what a user says to a response while it is made (surface.md section 8).

What is said waits. Where the response can stop it ends as `incomplete`, and a successor with the same
settings goes on from there, with what was said as its input. It can stop wherever the model speaks or
thinks, and between its turns, but not within a turn in which it has begun to call something: what was called
is called, and its result is kept. A response that ends of itself is succeeded in the same way, unless it
waits for something of its client's: then what was said waits too.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from antiphon.engine.calling.ask import Ask
from antiphon.engine.emission import Emission
from antiphon.engine.prepare.plan import Plan
from antiphon.model import CallStarted, Delta, Deltas, Turn
from antiphon.protocol.events import SteerEvent
from antiphon.protocol.ids import item_ids, new_response_id, new_steer_id
from antiphon.protocol.item import Item
from antiphon.protocol.parse import Parsed
from antiphon.protocol.response import Response, ResponseError
from antiphon.protocol.steering import RequiredInput, SteerAccepted, Steered, SteerRef, SteerRefused
from antiphon.protocol.wire import encode
from antiphon.store.items import ItemRow
from antiphon.store.responses import ResponseRow
from antiphon.stream.kinds import kind_of, was_cut
from antiphon.stream.machine import Machine

MOST = 16
"""Submissions that may wait for the end of one response."""

_UNFINISHED = ResponseError(
    code="server_error", message="The server or the connection ended before the response was finished."
)
"""What a successor shows whose end was never written."""
_UNOWED = frozenset({"program_output", "multi_agent_call_output"})
"""Answers to calls that no client gives."""


class Steer(Struct, frozen=True):
    """A submission that was taken."""

    id: str
    items: Sequence[Item]
    given: Steered
    """As it came, to be given back."""
    size: int
    """Bytes of its frame."""


class Successor(Struct, frozen=True):
    """What follows a response."""

    parsed: Parsed
    steers: Sequence[Steer]
    row: ResponseRow
    """As it begins: what is kept of it until it ends."""


class Steering:
    """What is said to the response of a request."""

    def __init__(self, parsed: Parsed) -> None:
        self.steers: list[Steer] = []
        """What waits, in its order."""
        self.successor: Successor | None = None
        """What follows the response, once it has ended."""
        self.parsed = parsed
        self._machine: Machine | None = None
        self._emission: Emission | None = None
        self._behind = 0
        """How many events came behind the last of the response."""
        self._reader: asyncio.Task[object] | None = None
        """The run, while it waits for the model and may stop."""
        self._interrupted = False

    @property
    def asked(self) -> bool:
        """Whether the response is to make room for its successor."""
        return bool(self.steers)

    @property
    def begun(self) -> bool:
        """Whether the response succeeds another one, so that its beginning is kept."""
        return self.parsed.response_id is not None

    @property
    def opened(self) -> bool:
        """Whether anybody has heard of the response."""
        return self._emission is not None and self._emission.opened

    def attach(self, machine: Machine, emission: Emission) -> None:
        """The response begins."""
        self._machine, self._emission = machine, emission

    def submit(self, items: Sequence[Item], given: Steered, size: int) -> None:
        """Take what was said. Raises SteerRefused."""
        machine = self._machine
        if machine is None or machine.ended:
            raise SteerRefused("response_already_completed", "The response has ended already.")
        if len(self.steers) >= MOST:
            message = f"At most {MOST} submissions wait for the end of a response."
            raise SteerRefused("too_many_pending_steers", message)
        steer = Steer(new_steer_id(), items, given, size)
        self.emit(SteerAccepted(steer=SteerRef(steer.id, machine.id)))
        self.steers.append(steer)
        if self._reader is not None:
            self._interrupted = True
            self._reader.cancel()
            self._reader = None

    def emit(self, event: SteerEvent) -> bool:
        """Emit an event among those of the response. Behind the last of them it is only given its number.
        Gives whether it goes with them."""
        machine, emission = self._machine, self._emission
        if machine is None or emission is None or machine.ended:
            event.sequence_number = self._behind + (machine.next_number if machine is not None else 0)
            self._behind += 1
            return False
        machine.steer(event)
        emission.nudge()
        return True

    async def delivered(self) -> None:
        """Until what was emitted is with the reader, or never will be. So what is refused takes no more room
        than the client reads."""
        if self._emission is not None:
            await self._emission.taken()

    # ---- while the response is made ----

    def steerable(self, ask: Ask) -> Ask:
        """`ask`, whose answers end where they are when something is said, unless a call has begun."""

        async def stream(turn: Turn) -> Deltas:
            called = False
            async with aclosing(ask(turn)) as deltas:
                while called or not self.asked:
                    batch = await (anext(deltas, None) if called else self._next(deltas))
                    if batch is None:
                        return
                    called = called or any(isinstance(delta, CallStarted) for delta in batch)
                    yield batch

        return stream

    async def _next(self, deltas: Deltas) -> Sequence[Delta] | None:
        """The next batch; None when there is none, or something was said."""
        task = self._reader = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            return await anext(deltas, None)
        except asyncio.CancelledError:
            if not self._interrupted or task is None or task.uncancel() > before:
                raise
            return None
        finally:
            self._reader = None

    # ---- when it has ended ----

    def settle(self, plan: Plan, response: Response) -> None:
        """The response has ended, as it stands."""
        if self.steers and response.status != "failed" and not required(response.output):
            self.successor = _successor(self.parsed, plan, response, tuple(self.steers))


def unsteerable(plan: Plan) -> str | None:
    """Why a response cannot be steered (the SDK's notes on `response.steer`)."""
    if plan.request.conversation_id is not None:
        return "A response of a conversation cannot be steered."
    if plan.compacts is not None or plan.request.context_management:
        return "A response that compacts its context cannot be steered."
    if plan.request.has_agents:
        return "A response with several agents cannot be steered."
    return None if plan.generates else "A response without output cannot be steered."


def required(output: Sequence[Item]) -> Sequence[RequiredInput]:
    """What a client owes before a response can be continued: answers to its calls."""
    answered = {getattr(item, "call_id", None) for item in output if kind_of(item).nature == "output"}
    return [
        owed
        for item in output
        if (owed := _owed(item)) is not None and (owed.call_id is None or owed.call_id not in answered)
    ]


def _owed(item: Item) -> RequiredInput | None:
    kind = kind_of(item)
    if kind.type == "mcp_approval_request":
        return RequiredInput(type="mcp_approval_response", approval_request_id=item.id)
    call_id: str | None = getattr(item, "call_id", None)
    if kind.answered_by is None or kind.answered_by in _UNOWED or call_id is None or was_cut(item):
        return None
    return RequiredInput(
        type=kind.answered_by,
        call_id=call_id,
        name=getattr(item, "name", None) if kind.type == "function_call" else None,
        execution="client" if kind.type == "tool_search_call" else None,
    )


def _successor(parsed: Parsed, plan: Plan, response: Response, steers: Sequence[Steer]) -> Successor:
    """The request that continues `response` with the same settings, and how its response begins."""
    response_id = new_response_id()
    new_id = item_ids(response_id)
    items = [item.stored(new_id) for steer in steers for item in steer.items]
    following = Parsed(
        request=replace(parsed.request, previous_response_id=response.id, input=""),
        items=list(items),
        length=parsed.length + sum(steer.size for steer in steers),
        response_id=response_id,
    )
    now = int(time.time())
    beginning = replace(
        plan.response,
        id=response_id,
        created_at=now,
        previous_response_id=response.id,
        status="failed",
        error=_UNFINISHED,
    )
    row = ResponseRow(
        id=response_id,
        created_at=now,
        json=encode(beginning),
        input=[ItemRow(item.id or "", encode(item)) for item in items],
        output=(),
        previous_response_id=response.id,
    )
    return Successor(following, steers, row)
