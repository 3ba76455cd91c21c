"""The life of one response: turns of the model, told to the stream machine, then kept.

`events` is the log as it grows, in batches. Nobody else produces events: SSE, the plain JSON answer and
what is stored are readers of this one iterator. The terminal event is handed over only when the
response is durable.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import cast

import msgspec
import structlog
from msgspec.structs import replace

from antiphon.backends.base import Delta, UsageDelta
from antiphon.context.seal import Seal
from antiphon.context.transcript import REASONING
from antiphon.engine.prepare import Plan
from antiphon.engine.telling import Telling
from antiphon.protocol.errors import ApiError, RateLimited, UpstreamTimeout
from antiphon.protocol.events import Event
from antiphon.protocol.item import Item
from antiphon.protocol.response import (
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseError,
    Usage,
)
from antiphon.protocol.wire import encode
from antiphon.store.base import ItemRow, ResponseRow, Store
from antiphon.stream.fold import BrokenLog, Fold
from antiphon.stream.machine import Machine

log = structlog.get_logger()

TIER = "default"
"""The service tier that every response ends with: there is only one."""


class Run:
    """A planned response. `verify` folds its log while it grows, and raises BrokenLog at the first event
    that does not hold."""

    def __init__(
        self, plan: Plan, store: Store, seal: Seal, verify: bool = False, deadline: float | None = None
    ) -> None:
        self.plan = plan
        self.machine = Machine(plan.response, plan.new_id)
        self.fault: ApiError | None = None
        """Why the response failed, if it did."""
        self._store = store
        self._telling = Telling(
            self.machine,
            plan.toolbox,
            seal=partial(seal.seal, plan.project, REASONING) if _wants_sealed(plan) else None,
            summarize=_wants_summary(plan),
        )
        self._fold = Fold() if verify else None
        self._deadline = deadline

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """The log, in batches. Closing the iterator stops the upstream's work."""
        self.machine.create()
        self.machine.start()
        yield self._drain()
        try:
            # Closed here and now when we are: that is what ends the upstream's work.
            deltas = cast(AsyncGenerator[Sequence[Delta], None], self.plan.backend.stream(self.plan.turn))
            async with aclosing(deltas):
                async for batch in deltas if self._deadline is None else _within(deltas, self._deadline):
                    self._telling.tell(batch)
                    if told := self._drain():
                        yield told
        except ApiError as fault:
            self._fail(fault)
        else:
            self._finish()
        if self.plan.request.stream or not self.silent:
            await self._keep()
        yield self._drain()

    async def result(self) -> Response:
        """The response when it has ended: the log, folded. Raises the ApiError that ended it when the
        model had not said anything yet."""
        async for _ in self.events():
            pass
        if self.silent and self.fault is not None:
            raise self.fault
        return self.machine.snapshot()

    @property
    def silent(self) -> bool:
        """Whether it failed before the model said anything."""
        return self.fault is not None and not self.machine.snapshot().output

    def _finish(self) -> None:
        usage = _usage(self._telling.usage)
        self.machine.set_tier(TIER)
        if self._telling.finished == "length":
            self.machine.incomplete("max_output_tokens", usage)
        elif self._telling.finished == "content_filter":
            self.machine.incomplete("content_filter", usage)
        else:
            self._telling.close()
            self.machine.complete(usage, int(time.time()))

    def _fail(self, fault: ApiError) -> None:
        self.fault = fault
        self.machine.set_tier(TIER)
        log.warning("response failed", response_id=self.machine.id, reason=fault.message)
        code = "rate_limit_exceeded" if isinstance(fault, RateLimited) else "server_error"
        if fault.code == "context_length_exceeded":
            code = fault.code
        self.machine.fail(ResponseError(code=code, message=fault.message), _usage(self._telling.usage))

    async def _keep(self) -> None:
        """Store what is to be stored; durable when this returns."""
        request, response = self.plan.request, self.machine.snapshot()
        if request.store is False:
            return
        failed = response.status == "failed"
        row = ResponseRow(
            id=response.id,
            created_at=response.created_at,
            json=encode(replace(response, output=[])),
            input=_rows(self.plan.input),
            output=_rows(response.output),
            previous_response_id=request.previous_response_id,
            conversation_id=None if failed else request.conversation_id,
        )
        await self._store.save_response(self.plan.project, row)

    def _drain(self) -> Sequence[Event]:
        told = self.machine.drain()
        if self._fold is not None:
            self._check(self._fold, told)
        return told

    def _check(self, fold: Fold, told: Sequence[Event]) -> None:
        for event in told:
            fold.add(msgspec.json.decode(encode(event)))
        if self.machine.ended and encode(fold.result()) != encode(self.machine.snapshot()):
            raise BrokenLog("The log does not fold to the response.")


async def _within(deltas: AsyncIterator[Sequence[Delta]], seconds: float) -> AsyncIterator[Sequence[Delta]]:
    """The deltas, if they end in time. Raises UpstreamTimeout."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(end):
                batch = await anext(deltas)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UpstreamTimeout(f"The response took longer than {seconds:g} seconds.") from None
        yield batch


def _rows(items: Sequence[Item]) -> Sequence[ItemRow]:
    return [ItemRow(item.id or "", encode(item)) for item in items]


def _usage(told: UsageDelta | None) -> Usage | None:
    if told is None:
        return None
    return Usage(
        input_tokens=told.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=told.cached_tokens),
        output_tokens=told.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=told.reasoning_tokens),
        total_tokens=told.input_tokens + told.output_tokens,
    )


def _wants_sealed(plan: Plan) -> bool:
    return "reasoning.encrypted_content" in (plan.request.include or ())


def _wants_summary(plan: Plan) -> bool:
    reasoning = plan.response.reasoning
    return reasoning.summary is not None
