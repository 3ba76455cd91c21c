"""The endpoints beside /v1/responses that programs look for at the same base URL.

Each request goes to the backend that its model is routed to, if that speaks them, and its answer comes back
as it is. Nothing is kept of either.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from antiphon.api import embeddings as own_embeddings
from antiphon.api.admission import admit
from antiphon.api.body import read_body
from antiphon.api.callers import Caller, caller
from antiphon.api.handed import Handed
from antiphon.api.services import services
from antiphon.backends.gate import WAIT_SECONDS, Place
from antiphon.backends.router import Route as Routed
from antiphon.backends.router import Router
from antiphon.guard.offload import in_bytes, offload
from antiphon.model import Endpoint, Members, Passed, Passthrough
from antiphon.model.passthrough import Answer
from antiphon.protocol.error_messages import brief, missing, not_an_object, not_json, wrong_type
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.request import ServiceTier
from antiphon.protocol.tiers import granted, tier_of
from antiphon.protocol.wire import encode

_members = msgspec.json.Decoder(Members).decode


async def chat_completions(request: Request) -> ASGIApp:
    """POST /chat/completions"""
    return await _passed_on(request, "chat/completions")


async def completions(request: Request) -> ASGIApp:
    """POST /completions"""
    return await _passed_on(request, "completions")


async def embeddings(request: Request) -> ASGIApp:
    """POST /embeddings. The embedder of this server comes before the models of the backends."""
    held = services(request)
    body = await read_body(request, held.config.server.max_body_bytes)
    members = await offload(in_bytes(len(body)), read_members, body)
    if model_of(members) == held.embedder.name:
        await admit(request, held.embedder.name, len(body), 0)
        return await own_embeddings.answer(request, body)
    return await _handed(request, "embeddings", members, len(body))


async def _passed_on(request: Request, endpoint: Endpoint) -> ASGIApp:
    body = await read_body(request, services(request).config.server.max_body_bytes)
    members = await offload(in_bytes(len(body)), read_members, body)
    return await _handed(request, endpoint, members, len(body))


async def _handed(request: Request, endpoint: Endpoint, members: Members, size: int) -> ASGIApp:
    router = services(request).engine.router
    model = model_of(members)
    await admit(request, model or router.default_model, size, _output(members))
    tier = _serve_as_granted(members, caller(request))
    route = _routed(router, model)
    members["model"] = msgspec.Raw(encode(route.model))
    _passthrough(route, endpoint)  # refused at once where there is none
    place = Place(caller(request).project, tier_of(_tier(members) or tier), WAIT_SECONDS)
    return Handed(_answered(route, Passed(endpoint, route.model, members, size, tier), place))


@asynccontextmanager
async def _answered(route: Routed, passed: Passed, place: Place) -> AsyncIterator[Answer]:
    """The answer, once the backend may be asked. Raises Unavailable where too many wait."""
    async with AsyncExitStack() as stack:
        if route.gate is not None:
            await stack.enter_async_context(route.gate.entered(place))
        server = _passthrough(route, passed.endpoint)  # of several, one that is well by now
        yield await stack.enter_async_context(server.answered(passed))


# ---- what is asked, and of whom ---------------------------------------------------------------------


def read_members(body: bytes) -> Members:
    """Those of a body, as they came. Raises InvalidRequest."""
    try:
        return _members(body)
    except msgspec.ValidationError:
        raise not_an_object(msgspec.json.decode(body)) from None
    except (ValueError, RecursionError):
        raise not_json() from None


def model_of(members: Members) -> str | None:
    """The model that is named. Raises InvalidRequest."""
    try:
        name = msgspec.json.decode(members.get("model", b"null"))
    except (ValueError, RecursionError):
        raise not_json() from None
    if name is None or isinstance(name, str):
        return name
    raise wrong_type("model", "a string", name)


def _serve_as_granted(members: Members, asking: Caller) -> str | None:
    """The request asks for no service tier that the key may not have, and for none of which we know nothing,
    if the key has limits there. Returns what such a key gets where it asks for none."""
    allowed = asking.use.limits.service_tiers if asking.use is not None else ()
    if not allowed:
        return None
    asked = _tier(members)
    members.pop("service_tier", None)
    if asked is not None:
        members["service_tier"] = msgspec.Raw(encode(granted(asked, allowed)))
    return granted(None, allowed)


def _tier(members: Members) -> str | None:
    """The service tier that is asked for, if we know it."""
    with suppress(ValueError, RecursionError):
        asked: str | None = msgspec.json.decode(members.get("service_tier", b"null"), type=ServiceTier | None)
        return asked
    return None


def _output(members: Members) -> int | None:
    """How many tokens the answer may have, as far as the request says so."""
    for name in ("max_completion_tokens", "max_tokens"):
        with suppress(ValueError, RecursionError):
            value = msgspec.json.decode(members.get(name, b"null"))
            if isinstance(value, int) and value > 0:
                return value
    return None


def _routed(router: Router, model: str | None) -> Routed:
    """Raises NotFound, as the real API does here; InvalidRequest where no model is named."""
    name = model or router.default_model
    if not name:
        raise missing("model")
    try:
        return router.resolve(name)
    except InvalidRequest as unknown:
        raise NotFound(
            f"The model '{brief(name)}' does not exist: no backend of this server answers to that name. GET "
            "/v1/models lists those that are known; models and default of [backends.NAME] add to them.",
            param="model",
            code=unknown.code,
        ) from None


def _passthrough(route: Routed, endpoint: Endpoint) -> Passthrough:
    """Raises NotFound."""
    found = route.backend.passthrough()
    if found is None:
        raise NotFound(
            f"The backend '{route.name}' has no /v1/{endpoint} to pass this on to: its models are served at "
            f'/v1/responses. At /v1/{endpoint} those of backends with type = "chat_completions" are served '
            "too ([backends.NAME]).",
            param="model",
            code="unknown_url",
        )
    return found


routes: list[BaseRoute] = [
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/embeddings", embeddings, methods=["POST"]),
]
