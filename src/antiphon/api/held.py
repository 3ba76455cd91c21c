"""What requests hold until they are answered: memory of the server, for their bodies, and places of their
keys."""

from contextlib import suppress
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from traceback import walk_tb

from starlette.types import Scope

from antiphon.api import admission
from antiphon.guard.budget import OverBudget
from antiphon.protocol.errors import Unavailable

BUDGET = "budget"
"""The member of a request's scope that is the budget of all requests."""
_HELD = "held"
_RETRY_SECONDS = 2.0
_LONGEST_CHAIN = 20
_COROUTINE = CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR


def hold(scope: Scope, size: int) -> None:
    """The request holds so many bytes more. Raises Unavailable."""
    try:
        scope[BUDGET].take(size)
    except OverBudget:
        raise Unavailable(
            "The requests that are being answered fill the memory that they may have (held_bytes of "
            "[limits]). Please try again.",
            code="server_overloaded",
            retry_after=_RETRY_SECONDS,
        ) from None
    scope[_HELD] = scope.get(_HELD, 0) + size


def let_go(scope: Scope, size: int) -> None:
    """Of what the request holds, so many bytes are not needed after all."""
    scope[BUDGET].give_back(size)
    scope[_HELD] -= size


def release(scope: Scope) -> None:
    """The request is over, and holds nothing any more."""
    if _HELD in scope:
        scope[BUDGET].give_back(scope.pop(_HELD))
    admission.end(scope)


def forget(error: BaseException) -> None:
    """Lets go of what the functions held that an exception has gone through. One that keeps an exception in a
    variable and is left by another makes a cycle, with the whole body in it, until garbage is collected."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            return
        for frame, _ in walk_tb(link.__traceback__):
            # A coroutine may have caught it and go on: to clear it would end it.
            if not frame.f_code.co_flags & _COROUTINE:
                with suppress(RuntimeError):  # it runs still
                    frame.clear()
        link = link.__cause__ or link.__context__
