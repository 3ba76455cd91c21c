"""Requests of keys that have limits: let in before a model answers, and settled afterwards."""

import re

from starlette.requests import Request
from starlette.types import Scope

from antiphon.api.callers import Caller, caller
from antiphon.keys.limiter import check_model
from antiphon.keys.meter import Admission
from antiphon.protocol.parse import Parsed
from antiphon.store.keys import KeyUse

_ADMISSION = "admission"
TAIL = 2048
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


async def admit_response(request: Request, parsed: Parsed, default_model: str | None) -> KeyUse | None:
    """The same for one that a response answers."""
    asked = parsed.request
    return await admit(request, asked.model or default_model, parsed.length, asked.max_output_tokens)


async def admitted(
    asking: Caller, model: str | None, size: int, output: int | None = None
) -> Admission | None:
    """None: whoever asks has no limits that are counted."""
    if asking.use is not None and model is not None:
        check_model(asking.use, model)
    return None if asking.meter is None else await asking.meter.admit(size, output)


def is_admitted(scope: Scope) -> bool:
    """Whether what the answer takes is counted."""
    return _ADMISSION in scope


def settle(scope: Scope, tokens: int) -> None:
    """The request took so many tokens."""
    if _ADMISSION in scope:
        scope[_ADMISSION].settle(tokens)


def settle_by(scope: Scope, status: int, tail: bytes) -> None:
    """By the usage at the end of an answer. One without any took as many as were reserved, or none when it
    was refused."""
    found = _TOTAL.findall(tail)
    if _ADMISSION in scope and (found or status < 400):
        settle(scope, int(found[-1]) if found else scope[_ADMISSION].use.reserved)


def hand_over(scope: Scope) -> None:
    """Who goes on with it in the background settles it."""
    if _ADMISSION in scope:
        scope[_ADMISSION].hand_over()


def end(scope: Scope) -> None:
    """The request is answered."""
    if _ADMISSION in scope:
        scope.pop(_ADMISSION).end()
