"""The engine: takes requests, gives runs. One for each server process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from msgspec.structs import replace

from antiphon.backends.router import Router
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.engine.compaction import compact, kept
from antiphon.engine.memory import Memory
from antiphon.engine.prepare.preparation import Plan, Preparation, RunRequest
from antiphon.engine.run import Keep, Resumption, Run, save, usage_of
from antiphon.protocol.compacted import CompactedResponse
from antiphon.protocol.error_messages import missing
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.ids import new_request_id
from antiphon.protocol.items import Compaction
from antiphon.protocol.parse import Parsed
from antiphon.protocol.response import Response, Usage
from antiphon.store.base import Store
from antiphon.store.runs import Context as Stored
from antiphon.tools.base import ToolResources

LEASE = 30.0
"""Seconds for which a conversation stays locked when its holder dies."""


class Engine:
    def __init__(
        self,
        router: Router,
        store: Store,
        seal: Seal,
        attachments: Attachments,
        verify: bool = False,
        deadline: float | None = None,
        resources: ToolResources | None = None,
    ) -> None:
        """`deadline`: seconds that a response may take; None: as long as it needs."""
        self.router = router
        self.store = store
        self._preparation = Preparation(router, store, seal, attachments, resources)
        self._seal = seal
        self._verify = verify
        self._deadline = deadline

    @asynccontextmanager
    async def run(self, project: str, parsed: Parsed, memory: Memory | None = None) -> AsyncIterator[Run]:
        """A run of the request. Its conversation, if it has one, is its own until the block is left.

        Raises InvalidRequest or NotFound when the request cannot be carried out.
        """
        async with self.planned(project, parsed, memory) as plan:
            yield Run(plan, partial(save, self.store, plan), self._seal, self._verify, self._deadline)

    @asynccontextmanager
    async def planned(
        self, project: str, parsed: Parsed, memory: Memory | None = None
    ) -> AsyncIterator[Plan]:
        """The plan of a request, as for `run`."""
        async with self._locked(project, parsed.request.conversation_id):
            plan = await self._preparation.plan(project, parsed, memory)
            if plan.trigger is None:
                plan.turn = await plan.caller.fit(plan.turn)
            yield plan

    async def planned_again(
        self, project: str, accepted: RunRequest, stored: Stored, response: Response
    ) -> Plan:
        """The plan of a response that goes on with what it has said. Raises ApiError when it cannot."""
        return await self._preparation.resume(project, accepted, stored, response)

    def resumed(self, plan: Plan, from_: Resumption, keep: Keep) -> Run:
        """A run that goes on where another stopped, or where it was accepted."""
        return Run(plan, keep, self._seal, self._verify, from_=from_)

    async def count(self, project: str, parsed: Parsed) -> int:
        """The tokens of the context that the request would give to the model. Raises ApiError."""
        request = parsed.request
        model = request.model or self.router.default_model
        if model is None:
            raise missing("model")
        plan = await self._preparation.plan(project, Parsed(replace(request, model=model), parsed.items))
        fits = plan.response.truncation == "auto"
        return await plan.caller.count(await plan.caller.fit(plan.turn) if fits else plan.turn)

    async def compact(self, project: str, parsed: Parsed) -> CompactedResponse:
        """The request's context, compacted; nothing is stored. Raises ApiError."""
        plan = await self._preparation.plan(project, parsed)
        made = await compact(plan.backend, plan.read(plan.items), self._seal, project)
        item = Compaction(id=plan.new_id("compaction"), encrypted_content=made.encrypted_content)
        return CompactedResponse(
            id=plan.response.id,
            created_at=plan.response.created_at,
            output=[*kept(plan.items), item],
            usage=usage_of(made.usage) or Usage.none(),
        )

    @asynccontextmanager
    async def _locked(self, project: str, conversation_id: str | None) -> AsyncIterator[None]:
        """A conversation takes part in one response at a time (behaviours.md section 7.6)."""
        if conversation_id is None:
            yield
            return
        holder = new_request_id()
        if await self.store.conversation(project, conversation_id) is None:
            yield  # the plan tells that it is not there, in its place in the order of checks
            return
        try:
            if not await self.store.lock_conversation(project, conversation_id, holder, LEASE):
                raise InvalidRequest(
                    "Another process is currently operating on this conversation. "
                    "Please retry in a few seconds.",
                    param="conversation",
                    code="conversation_locked",
                )
            renewal = asyncio.create_task(self._renew(project, conversation_id, holder))
            try:
                yield
            finally:
                renewal.cancel()
        finally:
            # Also when we were cancelled while the lock was on its way; a lock of others stays theirs.
            await self.store.unlock_conversation(project, conversation_id, holder)

    async def _renew(self, project: str, conversation_id: str, holder: str) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            await self.store.lock_conversation(project, conversation_id, holder, LEASE)
