"""Steering over one connection: which of its responses can be steered, and what waits for its client."""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import Scope

from antiphon.api import parsing
from antiphon.api.held import hold, let_go
from antiphon.config import Limits
from antiphon.engine.run import Run
from antiphon.engine.steering import Steer, Steering, required, unsteerable
from antiphon.protocol.errors import ApiError, InvalidRequest
from antiphon.protocol.events import SteerEvent
from antiphon.protocol.injection import InjectCreated, Injected, InjectError, InjectFailed, parse_inject
from antiphon.protocol.parse import Parsed
from antiphon.protocol.response import Response
from antiphon.protocol.steering import (
    SteerCode,
    Steered,
    SteerError,
    SteerFailed,
    SteerPending,
    SteerRef,
    SteerRefused,
    echoed,
    parse_steer,
)

ENDED = 64
"""Responses that are known to have ended."""
WAITING = 16
"""Responses whose clients owe something that steering waits for."""

Lane = str | None
Tell = Callable[[SteerEvent, Lane], Awaitable[None]]
"""Sends an event that is not among those of a response."""


class _Target(Struct, frozen=True):
    """A response that is made."""

    run: Run
    steering: Steering
    lane: Lane
    unsteerable: str | None


class _Waiting(Struct, frozen=True):
    """What was said to a response that waits for its client."""

    steering: Steering
    lane: Lane


class Steers:
    """What is said to the responses of a connection."""

    def __init__(self, scope: Scope, limits: Limits, tell: Tell) -> None:
        self._scope = scope
        self._limits = limits
        self._tell = tell
        self._active: dict[str, _Target] = {}
        self._ended: OrderedDict[str, Lane] = OrderedDict()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._injected: Counter[str] = Counter()
        """Bytes of the frames that brought outputs to responses that are made."""

    @contextmanager
    def active(self, run: Run, steering: Steering, lane: Lane) -> Iterator[None]:
        """While the block lasts the run can be steered."""
        response_id = run.machine.id
        self._active[response_id] = _Target(run, steering, lane, unsteerable(run.plan))
        try:
            yield
        finally:
            del self._active[response_id]
            let_go(self._scope, self._injected.pop(response_id, 0))
            self._ended[response_id] = lane
            if len(self._ended) > ENDED:
                self._ended.popitem(last=False)

    async def submit(self, frame: bytes) -> None:
        """Take a frame to the response that it names, or tell why not. Raises InvalidRequest or TooLarge for
        one that cannot be given back."""
        given = await parsing.parsed(frame, echoed, self._limits.request_values)
        try:
            make = partial(parse_steer, most_items=self._limits.request_items)
            said = await parsing.parsed(frame, make, self._limits.request_values)
            hold(self._scope, len(frame))
            try:
                target = self._target(said.previous_response_id)
                target.steering.submit(said.items, given, len(frame))
            except SteerRefused:
                let_go(self._scope, len(frame))
                raise
        except SteerRefused as refusal:
            await self._refuse(given, refusal.code, refusal.message)
        except ApiError as fault:
            await self._refuse(given, "invalid_input", fault.message)

    async def inject(self, frame: bytes) -> None:
        """Give outputs to the agents of a response. Raises InvalidRequest for such as nobody waits for, and
        Unavailable."""
        make = partial(parse_inject, most_items=self._limits.request_items)
        brought = await parsing.parsed(frame, make, self._limits.request_values)
        target = self._active.get(brought.response_id)
        if target is None or target.run.machine.ended:
            await self._refuse_injection(brought)
            return
        if not await self._give(target.run, brought, len(frame)):
            await self._refuse_injection(brought)
            return
        event = InjectCreated(response_id=brought.response_id)
        await self._behind(target.steering, target.lane, event)

    async def _give(self, run: Run, brought: Injected, size: int) -> bool:
        """The outputs are part of the response from here on, and held as long as it is made. Whether it has
        not ended before."""
        hold(self._scope, size)
        given = False
        try:
            given = run.crew is not None and await run.crew.inject(brought.items)
        finally:
            if not given:
                let_go(self._scope, size)
        if given:
            self._injected[run.machine.id] += size
        elif not run.machine.ended:
            raise InvalidRequest("The response waits for no such outputs just now.", param="input")
        return given

    async def _refuse_injection(self, brought: Injected) -> None:
        ended = brought.response_id in (*self._active, *self._ended)
        error = InjectError(
            code="response_already_completed" if ended else "response_not_found",
            message="The response has ended already." if ended else "There is no such response here.",
        )
        response_id = brought.response_id
        event = InjectFailed(error=error, input=brought.raw, response_id=response_id)
        event.sequence_number = 0
        await self._tell(event, self._ended.get(response_id))

    def joined(self, parsed: Parsed) -> Parsed:
        """A request, and before its input what waits for it."""
        waiting = self._waiting.get(parsed.request.previous_response_id or "")
        if waiting is None:
            return parsed
        steers = waiting.steering.steers
        items = [*(item for steer in steers for item in steer.items), *parsed.items]
        length = parsed.length + sum(steer.size for steer in steers)
        return Parsed(parsed.request, items, length)

    def used(self, response_id: str | None) -> None:
        """What waited for a request that continues the response is part of it now."""
        waiting = self._waiting.pop(response_id or "", None)
        if waiting is not None:
            self.release(waiting.steering.steers)

    def release(self, steers: Sequence[Steer]) -> None:
        """Nobody needs these any more."""
        let_go(self._scope, sum(steer.size for steer in steers))

    async def after(self, steering: Steering, lane: Lane, response: Response) -> None:
        """A response has ended. What nothing follows of itself waits for the client, or is given back."""
        if not steering.steers or steering.successor is not None:
            return
        if response.status == "failed":
            await self.give_back(steering, lane, "response_not_active", "The response failed.")
            return
        self._waiting[response.id] = _Waiting(steering, lane)
        owed = required(response.output)
        for steer in steering.steers:
            ref = SteerRef(steer.id, response.id)
            await self._behind(steering, lane, SteerPending(required_input=owed, steer=ref))
        if len(self._waiting) > WAITING:
            _, oldest = self._waiting.popitem(last=False)
            message = f"At most {WAITING} responses of a connection wait for input."
            await self.give_back(oldest.steering, oldest.lane, "response_not_active", message)

    async def give_back(self, steering: Steering, lane: Lane, code: SteerCode, message: str) -> None:
        """Tell that what was said to a response will not be used."""
        steers, steering.steers = steering.steers, []
        self.release(steers)
        for steer in steers:
            given = replace(steer.given, id=steer.id)
            error = SteerError(code=code, message=message)
            await self._behind(steering, lane, SteerFailed(error=error, steer=given))

    def _target(self, response_id: str) -> _Target:
        """Raises SteerRefused."""
        target = self._active.get(response_id)
        if target is not None and target.unsteerable is not None:
            raise SteerRefused("steering_not_supported", target.unsteerable)
        if target is not None:
            return target
        if response_id in self._ended:
            raise SteerRefused("response_already_completed", "The response has ended already.")
        raise SteerRefused("response_not_found", "This connection makes no response with this id.")

    async def _refuse(self, given: Steered, code: SteerCode, message: str) -> None:
        event = SteerFailed(error=SteerError(code=code, message=message), steer=given)
        target = self._active.get(given.previous_response_id)
        if target is None:
            event.sequence_number = 0
            await self._tell(event, self._ended.get(given.previous_response_id))
        else:
            await self._behind(target.steering, target.lane, event)

    async def _behind(self, steering: Steering, lane: Lane, event: SteerEvent) -> None:
        """Tell it with the response's own events, or behind them. Returns when it is handed over."""
        if steering.emit(event):
            await steering.delivered()
        else:
            await self._tell(event, lane)
