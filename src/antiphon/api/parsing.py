"""From bodies to types, without keeping everybody else waiting.

A body of some size is parsed in a thread, and not at all when it holds more values than any request needs:
that is found out by counting, before one of them is made.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.requests import Request

from antiphon.api.body import read_body
from antiphon.api.services import services
from antiphon.guard.json_depth import is_deeper
from antiphon.guard.json_size import has_more_values
from antiphon.protocol.error_messages import not_json
from antiphon.protocol.errors import TooLarge
from antiphon.protocol.parse import parse

T = TypeVar("T")

_SMALL = 64 * 1024
"""Bytes of a body that is parsed at once: some milliseconds of work at most."""


async def read(request: Request, make: Callable[[bytes], T], empty: bytes = b"") -> T:
    """What `make` makes of the body of a request; `empty` stands for none."""
    config = services(request).config
    body = await read_body(request, config.server.max_body_bytes) or empty
    if len(body) <= _SMALL:
        return _made(body, make)
    return await parsed(body, make, config.limits.request_values)


async def read_as(request: Request, kind: type[T]) -> T:
    """The body of a request as a `kind`. Raises InvalidRequest."""
    return await read(request, partial(parse, kind=kind, lenient=services(request).config.server.lenient))


async def parsed(body: bytes, make: Callable[[bytes], T], most_values: int) -> T:
    """What `make` makes of a body. Raises what it raises; TooLarge for a body of more values; InvalidRequest
    for one that is nested too deeply."""
    if len(body) <= _SMALL:
        return _made(body, make)
    return await asyncio.to_thread(_parsed, body, make, most_values)


def _parsed(body: bytes, make: Callable[[bytes], T], most_values: int) -> T:
    if has_more_values(body, most_values):
        raise TooLarge(
            f"The request holds more than {most_values} JSON values (limits.request_values of this server).",
            code="request_too_large",
        )
    return _made(body, make)


def _made(body: bytes, make: Callable[[bytes], T]) -> T:
    if is_deeper(body):
        raise not_json()
    return make(body)
