"""Requests of keys that have limits: let in before a model answers, and settled afterwards."""

import re
from typing import cast

from starlette.requests import Request
from starlette.types import Scope

from antiphon.api.callers import Caller, caller
from antiphon.backends.router import Router
from antiphon.keys.limiter import check_model
from antiphon.keys.meter import Admission
from antiphon.protocol.parse import Parsed
from antiphon.protocol.request import CreateResponse, ServiceTier
from antiphon.protocol.tiers import granted
from antiphon.store.keys import KeyUse

_ADMISSION = "admission"
_TAIL = 2048
"""Bytes of the end of an answer in which its usage stands."""
_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d{1,12})')


async def admit(request: Request, model: str | None, size: int, output: int | None = None) -> KeyUse | None:
    """What the request counts to; None: it has no key. `size`: its bytes; `output`: tokens that its answer
    may have. Raises PermissionDenied, or RateLimited."""
    asking = caller(request)
    admission = await admitted(asking, model, size, output) if asking.use is not None else None
    if admission is None:
        return asking.use
    request.scope[_ADMISSION] = admission
    return admission.use


async def admit_response(request: Request, parsed: Parsed, router: Router) -> KeyUse | None:
    """The same for one that a response answers."""
    asking, asked = caller(request), parsed.request
    if asking.use is None:
        return None
    serve_as_granted(asking, asked)
    return await admit(request, asked.model or router.default_model, parsed.length, asked.max_output_tokens)


def serve_as_granted(asking: Caller, request: CreateResponse) -> None:
    """The request is served in a tier that the key may have."""
    if asking.use is not None:
        allowed = asking.use.limits.service_tiers
        request.service_tier = cast(ServiceTier | None, granted(request.service_tier, allowed))


async def admitted(
    asking: Caller, model: str | None, size: int, output: int | None = None
) -> Admission | None:
    """None: whoever asks has no limits that are counted."""
    if asking.use is not None and model is not None:
        check_model(asking.use, model)
    return None if asking.meter is None else await asking.meter.admit(size, output)


def settle(scope: Scope, tokens: int) -> None:
    """The request took so many tokens."""
    if _ADMISSION in scope:
        scope[_ADMISSION].settle(tokens)


def hand_over(scope: Scope) -> None:
    """Who goes on with it in the background settles it."""
    if _ADMISSION in scope:
        scope[_ADMISSION].hand_over()


def end(scope: Scope) -> None:
    """The request is answered."""
    if _ADMISSION in scope:
        scope.pop(_ADMISSION).end()


class Watch:
    """Finds out what an answer took that is handed on as it comes: by the usage at its end. A stream has none
    unless it was asked for: then each of its events is a token. Another answer took what was reserved."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._tail = b""
        self._events = 0

    def see(self, piece: bytes) -> None:
        self._events += piece.count(b"\n\n")
        self._tail = (self._tail + piece[-_TAIL:])[-_TAIL:]

    def settle(self, status: int) -> None:
        """The answer is over. A refusal took nothing."""
        use, found = self._admission.use, _TOTAL.findall(self._tail)
        if found:
            self._admission.settle(int(found[-1]))
        elif status < 400:
            self._admission.settle(use.seen + self._events if self._events else use.reserved)


def watch(scope: Scope) -> Watch | None:
    """None: nothing is counted."""
    return Watch(scope[_ADMISSION]) if _ADMISSION in scope else None
