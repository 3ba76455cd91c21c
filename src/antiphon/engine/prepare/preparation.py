"""From a request to everything that its run needs. Whatever can be refused is refused here, before
anything is sent, told or written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import msgspec
from msgspec.structs import replace

from antiphon.backends.router import Route, Router
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.context.transcript import Transcript
from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.engine.calling.structured import check_format
from antiphon.engine.calling.truncation import count
from antiphon.engine.compaction import since_compaction
from antiphon.engine.memory import Memory
from antiphon.engine.prepare.approvals import Consent, approved_in, check_approvals, decided
from antiphon.engine.prepare.call_outputs import check_namespaces, check_pairs, with_call_ids
from antiphon.engine.prepare.configuration import configured
from antiphon.engine.prepare.interrupted import finished, without_abandoned
from antiphon.engine.prepare.prompts import said_by_prompt
from antiphon.engine.prepare.system_messages import system_messages
from antiphon.engine.prepare.tool_choice import check_choice, resolve_choice
from antiphon.engine.prepare.unsupported import check_capable, check_supported, wants_logprobs
from antiphon.model import Backend, Format, JsonSchema, Sampling, Turn
from antiphon.protocol.error_messages import duplicate_id
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.frames import CreateFrame
from antiphon.protocol.hosted_items import McpListTools
from antiphon.protocol.ids import new_item_id, new_response_id
from antiphon.protocol.item import InputItem, Item, NewId
from antiphon.protocol.items import (
    AdditionalTools,
    Compaction,
    CompactionTrigger,
    ItemReference,
    LocalShellCallOutput,
    ToolSearchOutput,
    decode_stored,
)
from antiphon.protocol.parse import Parsed
from antiphon.protocol.request import CreateResponse, JsonObjectFormat, JsonSchemaFormat
from antiphon.protocol.response import Response, opening
from antiphon.protocol.tools import McpTool, Tool
from antiphon.protocol.wire import Wire, encode
from antiphon.store.base import Store
from antiphon.store.runs import Context as Stored
from antiphon.tools.base import ToolContext, ToolResources
from antiphon.tools.registry import to_messages, to_messages_without_images
from antiphon.tools.toolbox import Toolbox

DEFAULT_WINDOW = 128_000
"""Tokens of context that a model is taken to have when nobody says."""


@dataclass
class Plan:
    """A request, resolved."""

    project: str
    request: CreateResponse
    response: Response
    new_id: NewId
    backend: Backend
    caller: ModelCaller
    """How the backend is asked for the answer."""
    toolbox: Toolbox
    turn: Turn
    read: Callable[[Sequence[Item]], Turn]
    """The turn that other items would make."""
    offer: Callable[[Turn], Turn]
    """A turn with the tools that are known when all were asked for."""
    approved: Sequence[Consent]
    """Calls that may be made now, before the model goes on."""
    history: Sequence[Item]
    """What came before."""
    input: Sequence[Item]
    """The request's own input, in the form in which it is stored."""
    trigger: int | None = None
    """How many of the items are compacted first: those before a `compaction_trigger`, or all of them when
    they have grown past a threshold."""
    only_compacts: bool = False
    """Whether the compaction is all that was asked for."""
    history_unsaved: bool = False
    """Whether the history is stored nowhere: then it is kept as part of the input."""
    output_so_far: Sequence[Item] = ()
    """The response's own output so far, when it goes on after a crash."""
    inline_tools: Sequence[AdditionalTools] = ()
    """Those of the input that bring tools, with the secrets that are stored nowhere in clear."""

    @property
    def items(self) -> Sequence[Item]:
        """All that the model reads."""
        return (*self.history, *self.input)

    @property
    def tells(self) -> bool:
        """Whether the client knows of the response before it ends."""
        return _is_followed(self.request)

    @property
    def generates(self) -> bool:
        """A warm-up prepares the state and answers nothing."""
        return not (isinstance(self.request, CreateFrame) and self.request.generate is False)


def _is_followed(request: CreateResponse) -> bool:
    """Whether somebody may read the response while it is written."""
    return bool(request.stream or request.background) or isinstance(request, CreateFrame)


@dataclass(frozen=True)
class _Context:
    """Where a request stands: what came before, and what it brings."""

    history: Sequence[Item]
    input: Sequence[Item]
    prompted: Sequence[Item] | None
    """What its prompt template says."""
    trigger: int | None
    """How many of the items stand before a `compaction_trigger`."""
    only_compacts: bool
    """Whether nothing stands behind it."""
    history_unsaved: bool = False
    """Whether the history is stored nowhere."""
    output_so_far: Sequence[Item] = ()
    """The response's own output so far."""
    inline_tools: Sequence[AdditionalTools] = ()
    """Those of the given items that bring tools, as they came."""

    @property
    def items(self) -> Sequence[Item]:
        return (*self.history, *self.input)

    @property
    def compacted(self) -> int:
        """How much of what was said ends with the compaction that was asked for; 0: it was not made."""
        for end, item in enumerate(self.output_so_far, 1):
            if isinstance(item, Compaction) and item.encrypted_content:
                return end
        return 0

    @property
    def whole(self) -> Sequence[Item]:
        """All that the model reads, in its order: a compaction stands where it was asked for."""
        if self.trigger is None:
            return (*self.items, *self.output_so_far)
        before, after = self.items[: self.trigger], self.items[self.trigger :]
        return (*before, *self.output_so_far[: self.compacted], *after, *self.output_so_far[self.compacted :])


class RunRequest(Wire):
    """What is kept of a request that runs in the background, beside its items."""

    request: CreateResponse
    """Without its input."""
    trigger: int | None = None
    only_compacts: bool = False
    inline_tools: list[AdditionalTools] = msgspec.field(default_factory=list)
    """Items of the input that bring tools: these may have secrets."""


class Preparation:
    """Makes plans. Reads the store; writes nothing."""

    def __init__(
        self,
        router: Router,
        store: Store,
        seal: Seal,
        attachments: Attachments,
        resources: ToolResources | None = None,
    ) -> None:
        self._router = router
        self._store = store
        self._seal = seal
        self._attachments = attachments
        self._resources = resources or ToolResources()

    async def plan(self, project: str, parsed: Parsed, memory: Memory | None = None) -> Plan:
        """`memory` knows responses that are stored nowhere. Raises InvalidRequest or NotFound."""
        request = parsed.request
        route = self._router.resolve(request.model)
        check_supported(request)
        toolbox = Toolbox(request.tools or (), self._tool_context(project, route))
        response_id = new_response_id()
        new_id = partial(new_item_id, owner=response_id)
        context = await self._context(project, parsed, new_id, memory)
        request = configured(request, context.items)
        check_format(request)
        _load(toolbox, context)
        check_namespaces(parsed.items, toolbox)
        response = opening(request, response_id, int(time.time()))
        response.model = route.model
        if context.prompted is not None:
            response.instructions = list(context.prompted)
        plan = await self._plan(project, request, route, toolbox, context, response)
        plan.trigger = await _compaction_point(request, route, plan.turn, context)
        return plan

    async def resume(self, project: str, accepted: RunRequest, stored: Stored, response: Response) -> Plan:
        """The plan of a response that goes on: it was checked when it was accepted, and `response` has the
        output that there is. Raises ApiError for what is no longer as it was."""
        request = accepted.request
        route = self._router.resolve(request.model)
        toolbox = Toolbox(request.tools or (), self._tool_context(project, route))
        context = _Context(
            history=[decode_stored(row) for row in stored.history],
            input=[decode_stored(row) for row in stored.input],
            prompted=_prompted(request, response),
            trigger=accepted.trigger,
            only_compacts=accepted.only_compacts,
            output_so_far=finished(response.output),
            inline_tools=accepted.inline_tools,
        )
        request = configured(request, context.items)
        _load(toolbox, context)
        plan = await self._plan(project, request, route, toolbox, context, response)
        plan.trigger = None if context.compacted else accepted.trigger
        return plan

    async def _plan(
        self,
        project: str,
        request: CreateResponse,
        route: Route,
        toolbox: Toolbox,
        context: "_Context",
        response: Response,
    ) -> Plan:
        approved = approved_in(toolbox, (*context.history, *context.output_so_far), context.input)
        read = await self._reader(project, request, route, toolbox, context)
        turn = read(context.whole)
        check_capable(request, turn, route.capabilities)
        return Plan(
            project=project,
            request=request,
            response=response,
            new_id=partial(new_item_id, owner=response.id),
            backend=route.backend,
            caller=ModelCaller(route, response, pinned=len(read(()).messages)),
            toolbox=toolbox,
            turn=turn,
            read=read,
            offer=_offer(request, toolbox),
            approved=approved,
            history=context.history,
            input=context.input,
            only_compacts=context.only_compacts,
            history_unsaved=context.history_unsaved,
            output_so_far=context.output_so_far,
            inline_tools=context.inline_tools,
        )

    def _tool_context(self, project: str, route: Route) -> ToolContext:
        can = route.capabilities
        return ToolContext(
            checks_strict=not can.strict_tools, resources=self._resources, project=project, images=can.images
        )

    async def _context(
        self, project: str, parsed: Parsed, new_id: NewId, memory: Memory | None
    ) -> "_Context":
        """Where the request stands. The lookups come in the API's order of checks."""
        request = parsed.request
        remembered = memory.find(request.previous_response_id or "") if memory else None
        history = remembered or await self._conversation(project, request)
        prompted = await said_by_prompt(self._store, project, request)
        if remembered is None:
            history = history or await self._previous(project, request)
        history = with_call_ids((), history, new_id)
        trigger, plain = _split(parsed.items, len(history))
        resolved = [await self._resolve(project, item, new_id) for item in plain]
        given = with_call_ids(history, resolved, new_id)
        _refuse_repeated(history, parsed.items)
        check_pairs(history, given)
        check_approvals(history, given)
        return _Context(
            history,
            given,
            prompted,
            trigger,
            only_compacts=trigger == len(history) + len(given),
            history_unsaved=remembered is not None,
            inline_tools=[item for item in plain if isinstance(item, AdditionalTools)],
        )

    async def _reader(
        self, project: str, request: CreateResponse, route: Route, toolbox: Toolbox, context: "_Context"
    ) -> Callable[[Sequence[Item]], Turn]:
        to_read = (*(context.prompted or ()), *since_compaction(context.whole))
        attached = await self._attachments.resolve(project, to_read, context.input, route.capabilities)
        reads = to_messages if route.capabilities.images else to_messages_without_images
        transcript = Transcript(reads, partial(self._seal.open, project), attached)
        check_choice(request.tool_choice, toolbox)
        choice = "auto" if toolbox.waits else resolve_choice(request.tool_choice, toolbox)
        shown_reasoning = (request.reasoning and request.reasoning.context) or "auto"
        empty = Turn(
            model=route.model,
            messages=system_messages(request, context.prompted, route.capabilities, transcript.read),
            choice=choice,
            parallel=request.parallel_tool_calls is not False,
            format=_format(request),
            sampling=_sampling(request),
            max_tokens=request.max_output_tokens,
            effort=request.reasoning.effort if request.reasoning else None,
            verbosity=request.text.verbosity if request.text else None,
            user=request.safety_identifier or request.user,
            cache_key=request.prompt_cache_key,
            service_tier=request.service_tier,
            whole=not _is_followed(request),
        )

        def read(items: Sequence[Item]) -> Turn:
            seen = decided(without_abandoned(since_compaction(items)))
            messages = transcript.read(seen, shown_reasoning)
            return replace(empty, messages=(*empty.messages, *messages), functions=toolbox.functions)

        return read

    async def _conversation(self, project: str, request: CreateResponse) -> Sequence[Item]:
        """The items of the request's conversation; nothing without one."""
        if request.conversation_id is None:
            return ()
        rows = await self._store.conversation_history(project, request.conversation_id)
        if rows is None:
            raise NotFound(f"Conversation with id '{request.conversation_id}' not found.")
        return [decode_stored(row) for row in rows]

    async def _previous(self, project: str, request: CreateResponse) -> Sequence[Item]:
        """The items of the response that is continued, and of those before it; nothing without one."""
        if request.previous_response_id is None:
            return ()
        previous = request.previous_response_id
        rows = await self._store.history(project, previous)
        if rows is None:
            missing = (
                "is not finished yet" if await self._store.runs.running(project, previous) else "not found"
            )
            raise InvalidRequest(
                f"Previous response with id '{previous}' {missing}.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return [decode_stored(row) for row in rows]

    async def _resolve(self, project: str, item: InputItem, new_id: NewId) -> Item:
        """An input item as it is kept; a reference becomes the item that it stands for."""
        if not isinstance(item, ItemReference):
            return cast(Item, item).stored(new_id)
        row = await self._store.item(project, item.id)
        if row is None:
            raise NotFound(
                f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false."
                " Try again with `store` set to true, or remove this item from your input.",
                param="input",
            )
        return decode_stored(row)


def _prompted(request: CreateResponse, response: Response) -> Sequence[Item] | None:
    """What the request's prompt template said when the response began."""
    if request.prompt is None or not isinstance(response.instructions, list):
        return None
    return [decode_stored(encode(item)) for item in response.instructions]


def _split(items: Sequence[InputItem], before: int) -> tuple[int | None, Sequence[InputItem]]:
    """The items without triggers, and how many items of the context (`before` came before these) stand
    before the last trigger."""
    plain = [item for item in items if not isinstance(item, CompactionTrigger)]
    if len(plain) == len(items):
        return None, plain
    last = max(i for i, item in enumerate(items) if isinstance(item, CompactionTrigger))
    return before + sum(not isinstance(item, CompactionTrigger) for item in items[:last]), plain


async def _compaction_point(
    request: CreateResponse, route: Route, turn: Turn, context: "_Context"
) -> int | None:
    """How many items are to be compacted: those before a trigger, or all when they pass a threshold."""
    if context.trigger is not None or not request.context_management:
        return context.trigger
    window = route.capabilities.context_window
    threshold = request.context_management[0].compact_threshold or int(0.8 * (window or DEFAULT_WINDOW))
    return len(context.items) if await count(route.backend, turn) > threshold else None


def _offer(request: CreateResponse, toolbox: Toolbox) -> Callable[[Turn], Turn]:
    if not toolbox.waits:
        return lambda turn: turn

    def offer(turn: Turn) -> Turn:
        """A tool that must be called, and is not there since its server is not, is not called."""
        try:
            choice = resolve_choice(request.tool_choice, toolbox)
        except InvalidRequest:
            if not toolbox.waits:
                raise
            choice = "auto"
        messages = (*turn.messages, *toolbox.notes())
        return replace(turn, messages=messages, functions=toolbox.functions, choice=choice)

    return offer


def _load(toolbox: Toolbox, context: _Context) -> None:
    """Offer the tools that items of the context bring, and those that were found."""
    places = [
        *("input" for _ in context.history),
        *(f"input[{index}]" for index in range(len(context.input))),
        *("output" for _ in context.output_so_far),
    ]
    brought = iter(context.inline_tools)
    for item, place in zip((*context.items, *context.output_so_far), places, strict=True):
        if isinstance(item, AdditionalTools) and place == "input":
            toolbox.load((tool for tool in item.tools if not _lacks_secrets(tool)), place)
        elif isinstance(item, AdditionalTools):
            toolbox.load(next(brought).tools, place)
        elif isinstance(item, ToolSearchOutput):
            toolbox.load(item.tools, place, "client" if item.call_id else "server")
        elif isinstance(item, McpListTools):
            toolbox.listed(item)


def _lacks_secrets(tool: Tool) -> bool:
    """A server of an earlier turn that asked for secrets can be used when they are sent again."""
    return isinstance(tool, McpTool) and tool.lacks_secrets


def _refuse_repeated(history: Sequence[Item], given: Sequence[InputItem]) -> None:
    """The model must not read an item twice: what came before is not sent again."""
    known = {item.id for item in history}
    for item in given:
        item_id: str | None = getattr(item, "id", None)
        if item_id is not None and item_id in known and type(item) is not LocalShellCallOutput:
            raise duplicate_id(item_id, "input")


def _sampling(request: CreateResponse) -> Sampling:
    return Sampling(
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        top_logprobs=(request.top_logprobs or 0) if wants_logprobs(request) else None,
    )


def _format(request: CreateResponse) -> Format:
    form = request.text.format if request.text else None
    if isinstance(form, JsonSchemaFormat):
        return JsonSchema(form.name, form.schema, form.description or "", bool(form.strict))
    return "json_object" if isinstance(form, JsonObjectFormat) else "text"
