"""What this server does not do yet: a request that asks for it is refused, never trimmed."""

from collections.abc import Callable
from typing import NamedTuple, get_args

from antiphon.model import Capabilities, Turn
from antiphon.model.backend import beyond
from antiphon.protocol.error_messages import unsupported, wrong_for_model
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.frames import CreateFrame
from antiphon.protocol.request import CompletionWindow, CreateResponse, Effort, prewarms
from antiphon.protocol.tools import ProgrammaticToolCallingTool

_PREWARM = "prompt_cache_options.prewarm"


class Refusal(NamedTuple):
    param: str
    asked: Callable[[CreateResponse], object]
    reason: str


_ALONE = (
    Refusal("multi_agent", lambda r: r.background, "several agents are not carried in the background"),
    Refusal(
        "multi_agent",
        lambda r: any(isinstance(tool, ProgrammaticToolCallingTool) for tool in r.tools or ()),
        "programs that call tools run for one agent alone",
    ),
    Refusal(
        "reasoning.summary",
        lambda r: r.reasoning and (r.reasoning.summary or r.reasoning.generate_summary),
        "nothing is summarised of what several agents think",
    ),
    Refusal(
        "max_tool_calls",
        lambda r: r.max_tool_calls,
        "the calls of several agents are not counted together",
    ),
)
"""What one agent alone does."""


def check_supported(request: CreateResponse) -> None:
    """Raises InvalidRequest for a parameter that we cannot honour."""
    if request.background and isinstance(request, CreateFrame):
        raise unsupported("background", "a WebSocket has no background: what it asks for is sent over it")
    if request.multi_agent is not None and request.multi_agent.enabled:
        _check_agents(request)
    if request.background and request.store is False:
        raise InvalidRequest(
            "A background response must be stored: 'background' requires 'store' to be true.",
            param="background",
        )
    if request.background_options is not None:
        _check_window(request, request.background_options.completion_window or "soonest")


def _check_agents(request: CreateResponse) -> None:
    for param, asked, reason in _ALONE:
        if asked(request):
            raise unsupported(param, reason)


def _check_window(request: CreateResponse, window: CompletionWindow) -> None:
    """Raises InvalidRequest for a completion window that cannot be (the SDK's words for it)."""
    if window == "soonest":
        return
    needs = (
        (request.background, "'background' to be true"),
        (not request.stream, "'stream' to be false: nobody waits for it"),
        (request.service_tier in (None, "auto", "default"), "the default 'service_tier'"),
    )
    for fits, words in needs:
        if not fits:
            raise InvalidRequest(
                f"A completion window of '{window}' requires {words}.",
                param="background_options.completion_window",
                code="invalid_value",
            )


def check_capable(request: CreateResponse, turn: Turn, can: Capabilities) -> None:
    """What the model cannot do is reported last. Raises InvalidRequest."""
    if request.reasoning is not None:
        _check_effort(request, request.reasoning.effort, can)
    if prewarms(request) and not can.caches_prompts:
        raise unsupported(
            _PREWARM,
            "the model's server is not known to keep prompts that it has read (where it does, "
            "`caches_prompts = true` of [models.NAME] in the configuration says so)",
        )
    lacking = beyond(turn, can)
    if lacking == "logprobs":
        raise _incapable(request, "include", "cannot give logprobs", "unsupported_parameter")
    if lacking is not None:
        raise _incapable(request, "input", f"cannot read {lacking}", "unsupported_value")


def check_makes_calls(request: CreateResponse) -> None:
    """Raises InvalidRequest where calls wait that may be made, and nothing is to be made."""
    if prewarms(request):
        raise unsupported(
            _PREWARM, "calls would be made: those that the input approves, or those of a program that waits"
        )


def _check_effort(request: CreateResponse, effort: Effort | None, can: Capabilities) -> None:
    if effort and can.efforts is not None and effort not in can.efforts:
        taken = tuple(each for each in get_args(Effort) if each in can.efforts)
        raise wrong_for_model("reasoning.effort", effort, request.model, taken)


def _incapable(request: CreateResponse, param: str, what: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"The model '{request.model}' {what}.", param=param, code=code)


def wants_logprobs(request: CreateResponse) -> bool:
    """Logprobs are only visible with the include (surface.md section 1)."""
    return "message.output_text.logprobs" in (request.include or ())
