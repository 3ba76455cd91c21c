"""From a request to its plan. Whatever can be refused is refused here, before anything is sent, emitted or
written."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from msgspec.structs import replace

from antiphon.backends.gate import WAIT_SECONDS, Place
from antiphon.backends.router import Route, Router
from antiphon.context.attachments import Attach, Attached, Attachments
from antiphon.context.seal import Seal
from antiphon.context.thought import unseal
from antiphon.context.transcript import Transcript
from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.engine.compaction import since_compaction
from antiphon.engine.histories import Histories
from antiphon.engine.memory import Memory
from antiphon.engine.moderating.moderator import Moderator
from antiphon.engine.prepare.approvals import Certificates, approved_in
from antiphon.engine.prepare.cache_diagnostics import diagnosed
from antiphon.engine.prepare.call_outputs import check_namespaces
from antiphon.engine.prepare.compaction_point import exceeds_threshold
from antiphon.engine.prepare.configuration import configured
from antiphon.engine.prepare.context_tools import load_tools
from antiphon.engine.prepare.fingerprints import Fingerprints, open_programs
from antiphon.engine.prepare.hidden_results import with_results
from antiphon.engine.prepare.model_defaults import with_defaults
from antiphon.engine.prepare.moderated import check_moderation, moderation_of
from antiphon.engine.prepare.plan import Plan, generates, is_followed
from antiphon.engine.prepare.recollection import Recollecting, Recollection
from antiphon.engine.prepare.referenced_pictures import with_pictures
from antiphon.engine.prepare.request_context import RequestContext, load_context
from antiphon.engine.prepare.response_format import check_format
from antiphon.engine.prepare.resumed_context import in_containers, resumed_context
from antiphon.engine.prepare.run_request import opened
from antiphon.engine.prepare.tool_choice import check_choice
from antiphon.engine.prepare.turn_builder import TurnBuilder, empty_turn
from antiphon.engine.prepare.unsupported import check_capable, check_makes_calls, check_supported
from antiphon.guard.offload import offload
from antiphon.model import Turn
from antiphon.protocol.content import InputText
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import Program
from antiphon.protocol.ids import item_ids, new_response_id
from antiphon.protocol.item import Item
from antiphon.protocol.parse import Parsed
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import InputTransformation, Response, compression, opening
from antiphon.protocol.tiers import tier_of
from antiphon.store.runs import Context as Stored
from antiphon.store.store import Store
from antiphon.tools.context import Hosting, ToolContext, ToolResources
from antiphon.tools.program import NO_V8
from antiphon.tools.provider import ApprovedCall
from antiphon.tools.schema import Schema, SchemaMaker
from antiphon.tools.toolbox import Toolbox
from antiphon.tools.upstream import SIGNED_AS

_NO_TOOLS = {images: Toolbox((), ToolContext(images=images)) for images in (True, False)}
"""What requests without tools share, by whether their model reads images: nothing is ever added to it."""
_UNSEEN = InputText(text="[A picture, which you cannot see. The tools that change pictures can.]")


class Preparation:
    """Makes plans. Reads the store; writes nothing but what tools make. `seconds`: how long a response may
    take that does not run in the background; None: as long as it needs."""

    def __init__(
        self,
        router: Router,
        store: Store,
        seal: Seal,
        attachments: Attachments,
        histories: Histories,
        resources: ToolResources | None = None,
        seconds: float | None = None,
        moderator: Moderator | None = None,
    ) -> None:
        self._router = router
        self._store = store
        self._seal = seal
        self._attachments = attachments
        self._histories = histories
        self._resources = resources or ToolResources()
        self._seconds = seconds
        self._moderator = moderator

    async def plan(
        self,
        project: str,
        parsed: Parsed,
        memory: Memory | None = None,
        tools_begin: Callable[[Toolbox], Awaitable[None]] = Toolbox.make,
    ) -> Plan:
        """`memory` knows responses that are stored nowhere. `tools_begin`: `Toolbox.ready` for a plan that is
        not carried out, so that nothing is made for it. Raises InvalidRequest or NotFound."""
        request = parsed.request
        route = self._router.resolve(request.model)
        if route.settings is not None:
            request = with_defaults(request, route.settings)
        check_supported(request)
        if request.moderation is not None:
            check_moderation(request.moderation, self._moderator)
        toolbox = await self._toolbox(project, request, route) if _has_tools(request) else None
        response_id = parsed.response_id or new_response_id()
        new_id = item_ids(response_id)
        context = await load_context(self._store, project, parsed, new_id, memory, self._histories)
        if not context.words:
            context = await with_results(self._store, project, context)
            context = await with_pictures(self._store, project, context, parsed.items)
            request = await offload(context.size, configured, request, context.items)
        if request.text is not None:
            await check_format(request.text, self._schemas(project))
        if toolbox is None and context.words:
            toolbox = _NO_TOOLS[route.capabilities.images]
        else:
            toolbox = toolbox or await self._toolbox(project, request, route)
            await self._begin(toolbox, context, parsed, tools_begin)
        response = _opened(request, route, response_id, context, toolbox)
        plan = await self._plan(project, request, route, toolbox, context, response)
        if plan.moderation is not None:
            await plan.moderation.admit()
        may_compact = request.context_management and context.trigger is None and not plan.programs
        if may_compact and await exceeds_threshold(request, plan.caller, plan.turn):
            plan = replace(plan, compacts=len(context.items))
        response.input_transformations = _withheld(plan)
        if request.prompt_cache_options is not None:
            response.prompt_cache_diagnostics = await diagnosed(self._store, plan, memory)
        return plan

    async def _begin(
        self,
        toolbox: Toolbox,
        context: RequestContext,
        parsed: Parsed,
        begin: Callable[[Toolbox], Awaitable[None]],
    ) -> None:
        """The tools that the context brings are there too, and all of them may be used. Raises ApiError."""
        await offload(context.size, load_tools, toolbox, context)
        await toolbox.compile()
        check_namespaces(parsed.items, toolbox)
        await toolbox.check()
        await begin(toolbox)

    async def resume(self, project: str, kept: bytes, stored: Stored, response: Response) -> Plan:
        """The plan of a response that goes on: `kept` is its request, which was checked when it was accepted,
        and `response` has the output that there is. Raises ApiError for what is no longer as it was."""
        accepted = in_containers(opened(self._seal, project, kept), response)
        if accepted.request.moderation is not None:
            check_moderation(accepted.request.moderation, self._moderator)
        route = self._router.resolve(accepted.request.model)
        toolbox = await self._toolbox(project, accepted.request, route)
        size = len(stored.history) + len(stored.input)
        context = await offload(size, resumed_context, accepted, stored, response)
        request = accepted.request
        if route.settings is not None:
            request = with_defaults(request, route.settings)
        request = await offload(size, configured, request, context.items)
        await offload(size, load_tools, toolbox, context)
        await toolbox.compile()
        await toolbox.ready()
        plan = await self._plan(project, request, route, toolbox, context, response)
        return replace(plan, use=accepted.use)

    async def _plan(
        self,
        project: str,
        request: CreateResponse,
        route: Route,
        toolbox: Toolbox,
        context: RequestContext,
        response: Response,
    ) -> Plan:
        approved: Sequence[ApprovedCall] = ()
        programs: Sequence[Program] = ()
        if not context.words:
            approved = await self._approved(project, toolbox, context)
            programs = await self._programs(project, context)
            if approved or programs:
                check_makes_calls(request)
        attach = partial(self._attach, project, request, route, toolbox)
        transcript = await self._transcript(project, route, toolbox, context, attach)
        if toolbox.takes_files:
            toolbox.take_files(await self._attachments.originals(project, context.items, route.capabilities))
        if request.tool_choice is not None:
            check_choice(request.tool_choice, toolbox)
        followed = is_followed(request)
        empty = empty_turn(request, route, toolbox, transcript, context.prompt, whole=not followed)
        turns = TurnBuilder(empty=empty, request=request, transcript=transcript, toolbox=toolbox)
        turn = await offload(context.unread, _first, turns, context, route)
        return Plan(
            project=project,
            request=request,
            response=response,
            context=context,
            caller=self._caller(project, request, route, response, turns.pinned),
            toolbox=toolbox,
            turns=turns,
            turn=turn,
            followed=followed,
            generates=generates(request),
            approved=approved,
            player=self._resources.player,
            programs=programs,
            attach=attach,
            compacts=context.to_compact,
            moderation=moderation_of(self._moderator, turns, context) if request.moderation else None,
        )

    async def _approved(
        self, project: str, toolbox: Toolbox, context: RequestContext
    ) -> Sequence[ApprovedCall]:
        """The calls that the input approves. Raises InvalidRequest."""
        certificates = Certificates(self._seal, project)
        said = (*context.history, *context.output_so_far)
        return await offload(context.size, approved_in, toolbox, certificates, said, context.input)

    async def _programs(self, project: str, context: RequestContext) -> Sequence[Program]:
        """The programs that go on. Raises InvalidRequest."""
        fingerprints = Fingerprints(self._seal, project)
        waiting = await offload(context.size, open_programs, fingerprints, context.whole)
        if waiting and self._resources.player is None:
            raise InvalidRequest(
                f"The program {waiting[0].call_id} cannot go on: {NO_V8}.",
                param="input",
                code="unsupported_value",
            )
        if waiting and context.trigger is not None:
            raise InvalidRequest(
                f"The context cannot be compacted while the program {waiting[0].call_id} waits: answer its "
                "calls first.",
                param="input",
            )
        return waiting

    def _caller(
        self, project: str, request: CreateResponse, route: Route, response: Response, pinned: int
    ) -> ModelCaller:
        routes = self._router.candidates(route, request.model or "")
        place = Place(project, tier_of(request.service_tier), None if request.background else WAIT_SECONDS)
        end, schemas = self._end(request), self._schemas(project)
        return ModelCaller(routes, response, schemas, place, pinned=pinned, end=end)

    def _schemas(self, project: str) -> SchemaMaker:
        return partial(Schema, pool=self._resources.children, owner=project)

    async def _toolbox(self, project: str, request: CreateResponse, route: Route) -> Toolbox:
        """The tools of the request. Raises InvalidRequest."""
        can = route.capabilities
        context = ToolContext(
            checks_strict=not can.strict_tools,
            resources=self._resources,
            project=project,
            images=can.images,
            window=can.context_window,
            hosting=Hosting(
                kinds=can.hosted,
                backend=route.name or "",
                sign=partial(self._seal.sign, project, SIGNED_AS),
            ),
            certify=Certificates(self._seal, project).certified,
            fingerprint=Fingerprints(self._seal, project).made,
        )
        toolbox = Toolbox(request.tools or (), context)
        if request.has_agents:
            toolbox.add_agents()
        await toolbox.compile()
        return toolbox

    async def _attach(
        self,
        project: str,
        request: CreateResponse,
        route: Route,
        toolbox: Toolbox,
        read: Sequence[Item],
        given: Sequence[Item],
    ) -> Attached:
        """What the items that are read have attached. Raises InvalidRequest."""
        unseen = _UNSEEN if toolbox.takes_pictures else None
        return await self._attachments.resolve(
            project, read, given, route.capabilities, unseen, compression(request)
        )

    async def _transcript(
        self, project: str, route: Route, toolbox: Toolbox, context: RequestContext, attach: Attach
    ) -> Transcript:
        """What reads the items of the context, with all that they have attached."""
        recollect = partial(unseal, self._seal, project)
        unsealed = partial(self._seal.open, project)
        source = (route.name or "", route.model)
        if context.words and context.prompt is None:
            return Transcript(toolbox.to_messages, unsealed, recollect, source=source)
        whole = () if context.words else await offload(context.size, since_compaction, context.whole)
        attached = await attach((*(context.prompt or ()), *whole), context.input)
        found = Recollection()
        if route.capabilities.opaque:
            found = await Recollecting(self._store, project, recollect, source).of(context.input)
        return Transcript(
            toolbox.to_messages,
            unsealed,
            recollect,
            (lambda item: found.attached(attached(item))) if found.sealed else attached,
            source,
            found.calls,
        )

    def _end(self, request: CreateResponse) -> float | None:
        """Until when the model is waited for, in the loop's time."""
        if self._seconds is None or request.background:
            return None
        return asyncio.get_running_loop().time() + self._seconds


def _opened(
    request: CreateResponse, route: Route, response_id: str, context: RequestContext, toolbox: Toolbox
) -> Response:
    response = opening(request, response_id, int(time.time()))
    response.model = route.model
    if context.prompt is not None:
        response.instructions = list(context.prompt)
    if toolbox.runs_any:
        response.tools = toolbox.shown(response.tools)
    return response


def _first(turns: TurnBuilder, context: RequestContext, route: Route) -> Turn:
    """The first turn, which the model is capable of. Raises InvalidRequest."""
    turn = turns.begin(context)
    check_capable(turns.request, turn, route.capabilities)
    return turn


def _has_tools(request: CreateResponse) -> bool:
    """Whether it brings any, or chooses among them."""
    choice = request.tool_choice
    return bool(request.tools) or request.has_agents or not (choice is None or isinstance(choice, str))


def _withheld(plan: Plan) -> list[InputTransformation] | None:
    """The reasoning that the model is not given as it was sealed. What was not sealed is read as words."""
    ids = plan.turns.transcript.withheld
    return [InputTransformation(id=each, reason="model_mismatch") for each in ids] or None
