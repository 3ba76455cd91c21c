"""What of a request goes unheeded, for the client to know: what the model's server does not take, and what is
not set up on this server. The request is answered all the same.

What would change the answer is refused instead (`prepare/unsupported`). All words are ours, none the
client's: they become a header.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple

import structlog

from antiphon.engine.prepare.plan import Plan
from antiphon.engine.prepare.unsupported import wants_logprobs
from antiphon.model import Capabilities
from antiphon.protocol.request import CreateResponse

UPSTREAM: Final = "not known to the upstream"
NO_LOGPROBS: Final = "the upstream sends none"
NOT_SET_UP: Final = "not set up on this server"
NO_SUCH_OPTION: Final = "not known to the server of that tool"
NO_EFFECT: Final = "without effect on this server"
REPLACED: Final = "safety_identifier is sent in its place"
NOT_INCLUDED: Final = "only shown with include message.output_text.logprobs"

log = structlog.get_logger()


class Warning(NamedTuple):
    """A parameter, or a type of tool, and why it goes unheeded."""

    name: str
    why: str


class _Row(NamedTuple):
    name: str
    asked: Callable[[CreateResponse], object]
    heeded: Callable[[Capabilities], bool]
    why: str = UPSTREAM


def _never(_: Capabilities) -> bool:
    return False


def _knows(*names: str) -> Callable[[Capabilities], bool]:
    """Whether the model's server knows one of these hints."""
    wanted = frozenset(names)
    return lambda can: not wanted.isdisjoint(can.hints)


def _has_room_for_both(can: Capabilities) -> bool:
    """Whether an older name has a place beside the newer one. Where neither is known both are warned of."""
    return "safety_identifier" in can.hints or "user" not in can.hints


def _cache_options(request: CreateResponse) -> object:
    options = request.prompt_cache_options
    return options and (options.mode or options.ttl)


def _continues_nothing(request: CreateResponse) -> object:
    """Requests that belong together are put together where they wait for quiet times."""
    options = request.background_options
    return options and options.continuation_id and options.completion_window in (None, "soonest")


_ROWS: Final = (
    _Row("reasoning.effort", lambda r: r.reasoning and r.reasoning.effort, lambda can: can.reasoning),
    _Row("top_logprobs", wants_logprobs, lambda can: can.gives_logprobs, NO_LOGPROBS),
    _Row("top_logprobs", lambda r: r.top_logprobs and not wants_logprobs(r), _never, NOT_INCLUDED),
    _Row("user", lambda r: r.user, _knows("user")),
    _Row("user", lambda r: r.user and r.safety_identifier, _has_room_for_both, REPLACED),
    _Row("safety_identifier", lambda r: r.safety_identifier, _knows("safety_identifier", "user")),
    _Row("prompt_cache_key", lambda r: r.prompt_cache_key, _knows("prompt_cache_key")),
    _Row("prompt_cache_retention", lambda r: r.prompt_cache_retention, _knows("prompt_cache_retention")),
    _Row("prompt_cache_options", _cache_options, _knows("prompt_cache_options")),
    _Row("background_options.continuation_id", _continues_nothing, _never, NO_EFFECT),
    _Row("service_tier", lambda r: r.service_tier not in (None, "auto", "default"), _knows("service_tier")),
    _Row("reasoning.mode", lambda r: r.reasoning and r.reasoning.mode == "pro", _knows("reasoning.mode")),
    _Row("access_programs", lambda r: r.access_programs, _knows("access_programs")),
)


_asked = attrgetter(
    "reasoning",
    "include",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "background_options",
    "service_tier",
    "access_programs",
)
"""What the rows look at: most requests have none of it."""


def unheeded(can: Capabilities) -> list[str]:
    """The parameters that a model's server does not take, of those that such servers take."""
    return [row.name for row in _ROWS if row.why in (UPSTREAM, NO_LOGPROBS) and not row.heeded(can)]


class Warnings:
    """The warnings of this process. Each kind is logged once, not for each request."""

    def __init__(self) -> None:
        self._logged: set[tuple[str | None, Warning]] = set()
        """With the backend; there are as many as rows and tools, for each of them."""

    def of(self, plan: Plan) -> list[Warning]:
        """The warnings of a response, as far as is known by now: refusals teach (`backends.lessons`)."""
        found = _found(plan)
        for warning in found:
            kind = (plan.caller.backend_name, warning)
            if kind not in self._logged:
                self._logged.add(kind)
                log.warning("unheeded", backend=kind[0], what=warning.name, why=warning.why)
        return found


def _found(plan: Plan) -> list[Warning]:
    found = _of_parameters(plan.request, plan.caller.capabilities) if any(_asked(plan.request)) else []
    if plan.toolbox.runs_any:
        found += [Warning(kind, NOT_SET_UP) for kind in plan.toolbox.not_set_up]
        found += [Warning(name, NO_SUCH_OPTION) for name in plan.toolbox.unheeded]
    return found


def _of_parameters(request: CreateResponse, can: Capabilities) -> list[Warning]:
    rows = [row for row in _ROWS if row.asked(request) and not row.heeded(can)]
    return [Warning(row.name, row.why) for row in rows]
