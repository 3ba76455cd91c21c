"""/v1/models (endpoints.md section 7)."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api.body import json
from antiphon.api.services import services
from antiphon.model import Model
from antiphon.protocol.errors import NotFound


async def list_models(request: Request) -> HttpResponse:
    """GET /models. Codex, which sends its version, looks for a catalogue in `models`; an empty one leaves it
    with what it knows itself."""
    models = await services(request).engine.router.models()
    page: dict[str, object] = {"object": "list", "data": [_show(model) for model in models]}
    return json({**page, "models": []} if "client_version" in request.query_params else page)


async def retrieve(request: Request) -> HttpResponse:
    """GET /models/{model}"""
    asked = request.path_params["model"]
    for model in await services(request).engine.router.models():
        if model.id == asked:
            return json(_show(model))
    raise NotFound(f"The model '{asked}' does not exist.", param="model", code="model_not_found")


def _show(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


routes = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", retrieve, methods=["GET"]),
]
