"""Turns of a response: its settings and leading messages, and the items that the model reads."""

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.router import Route
from antiphon.context.agents import ROOT, of_agent
from antiphon.context.transcript import ReasoningContext, Transcript
from antiphon.context.words import read_words
from antiphon.engine.compaction import since_compaction
from antiphon.engine.prepare.approvals import decided
from antiphon.engine.prepare.inner_calls import without_inner_calls
from antiphon.engine.prepare.interrupted import without_interrupted
from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.response_format import response_format
from antiphon.engine.prepare.system_messages import system_messages
from antiphon.engine.prepare.tool_choice import resolve_choice
from antiphon.engine.prepare.unsupported import wants_logprobs
from antiphon.model import Message, Sampling, Turn
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item
from antiphon.protocol.request import AccessPrograms, CreateResponse, PromptCacheOptions
from antiphon.protocol.response import cache_retention
from antiphon.tools.toolbox import Toolbox


class TurnBuilder(Struct, frozen=True, kw_only=True):
    """Builds turns. `empty` is the one of no items at all."""

    empty: Turn
    request: CreateResponse
    transcript: Transcript
    toolbox: Toolbox

    def build(self, items: Sequence[Item], agent: str = ROOT) -> Turn:
        """The turn in which the model reads the items, as one of several agents. Raises InvalidRequest for
        one that it cannot read."""
        read = decided(without_interrupted(without_inner_calls(since_compaction(of_agent(items, agent)))))
        messages = self.transcript.read(read, self._reasoning)
        return replace(
            self.empty, messages=(*self.empty.messages, *messages), functions=self.toolbox.functions
        )

    def begin(self, context: RequestContext) -> Turn:
        """The turn in which the model reads all of the context. Raises InvalidRequest."""
        if not context.words:
            return self.build(context.whole)
        said = context.past.said
        before: tuple[Message, ...] = ()
        messages = read_words(context.input)
        if said is not None and messages and messages[0].role == "user":
            before = said.messages
        elif context.history:
            said, messages = None, read_words(context.items)
        return replace(
            self.empty,
            messages=(*self.empty.messages, *before, *messages),
            functions=self.toolbox.functions,
            said=said,
        )

    def with_listed_tools(self, turn: Turn) -> Turn:
        """A turn with the tools that are known when all servers were asked. A tool that must be called, and
        is not there since its server is not, is not called."""
        try:
            choice = resolve_choice(self.request.tool_choice, self.toolbox)
        except InvalidRequest:
            if not self.toolbox.waits:
                raise
            choice = "auto"
        messages = (*turn.messages, *self.toolbox.notes())
        return replace(turn, messages=messages, functions=self.toolbox.functions, choice=choice)

    @property
    def pinned(self) -> int:
        """How many messages lead every turn."""
        return len(self.empty.messages)

    @property
    def _reasoning(self) -> ReasoningContext:
        return (self.request.reasoning and self.request.reasoning.context) or "auto"


def empty_turn(
    request: CreateResponse,
    route: Route,
    toolbox: Toolbox,
    transcript: Transcript,
    prompt: Sequence[Item] | None,
    *,
    whole: bool,
) -> Turn:
    """The settings of a request as a turn, with the messages that lead it. Raises InvalidRequest."""
    turn = Turn(
        model=route.model,
        messages=system_messages(request, prompt, route, transcript.read),
        choice="auto" if toolbox.waits else resolve_choice(request.tool_choice, toolbox),
        parallel=request.parallel_tool_calls is not False,
        max_tokens=request.max_output_tokens,
        whole=whole,
    )
    if (asked := request.reasoning) is not None:
        turn = replace(turn, effort=asked.effort, summary=asked.summary, mode=asked.mode)
    if request.text is not None:
        turn = replace(turn, format=response_format(request.text), verbosity=request.text.verbosity)
    if _of_sampling(request) != _NOTHING_SAMPLED:
        turn = replace(turn, sampling=_sampling(request))
    return turn if _of_service(request) == _NOTHING_SERVED else _served(turn, request)


_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "include")
"""Members that `_sampling` reads. What most requests say nothing of is not looked at one by one."""
_SERVICE = (
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "access_programs",
)
"""Members that `_served` reads."""
_of_sampling, _NOTHING_SAMPLED = attrgetter(*_SAMPLING), (None,) * len(_SAMPLING)
_of_service, _NOTHING_SERVED = attrgetter(*_SERVICE), (None,) * len(_SERVICE)


def _served(turn: Turn, request: CreateResponse) -> Turn:
    """A turn that says who asks, and how it is to be served."""
    return replace(
        turn,
        user=request.user,
        safety_identifier=request.safety_identifier,
        cache_key=request.prompt_cache_key,
        cache_retention=cache_retention(request.prompt_cache_retention),
        cache_options=_cache_options(request.prompt_cache_options),
        service_tier=request.service_tier,
        access_programs=_access_programs(request.access_programs),
    )


def _access_programs(asked: AccessPrograms | None) -> dict[str, str] | None:
    return {"cyber": asked.cyber} if asked is not None and asked.cyber is not None else None


def _cache_options(asked: PromptCacheOptions | None) -> dict[str, str] | None:
    """What was asked for, without what upstreams have no part in."""
    given = {"mode": asked.mode, "ttl": asked.ttl} if asked is not None else {}
    return {name: value for name, value in given.items() if value is not None} or None


def _sampling(request: CreateResponse) -> Sampling:
    return Sampling(
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        top_logprobs=(request.top_logprobs or 0) if wants_logprobs(request) else None,
    )
