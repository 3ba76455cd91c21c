"""/v1/models (endpoints.md section 7)."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import codex
from antiphon.api.body import json
from antiphon.api.callers import caller
from antiphon.api.services import services
from antiphon.keys.limiter import allows
from antiphon.model import Model
from antiphon.protocol.errors import NotFound


async def list_models(request: Request) -> HttpResponse:
    """GET /models. Codex, which sends its version, finds its catalogue in `models`: it is long, and nobody
    else looks for it."""
    router = services(request).engine.router
    models = await _models(request)
    page: dict[str, object] = {"object": "list", "data": [_show(model) for model in models]}
    if "client_version" not in request.query_params:
        return json(page)
    known = [(model, router.resolve(model.id).capabilities) for model in models]
    listed = json({**page, "models": codex.catalogue(known)})
    listed.headers["etag"] = codex.etag(bytes(listed.body))
    return listed


async def retrieve(request: Request) -> HttpResponse:
    """GET /models/{model}"""
    asked = request.path_params["model"]
    for model in await _models(request):
        if model.id == asked:
            return json(_show(model))
    raise NotFound(f"The model '{asked}' does not exist.", param="model", code="model_not_found")


async def _models(request: Request) -> Sequence[Model]:
    """Those that who asks may use."""
    models, use = await services(request).engine.router.models(), caller(request).use
    return models if use is None else [model for model in models if allows(use.limits, model.id)]


def _show(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


routes = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", retrieve, methods=["GET"]),
]
