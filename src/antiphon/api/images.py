"""/v1/images/generations and /v1/images/edits, passed on to the image server of `[images]`.

A request goes there as it is, but for the name of the model where it has none, and its answer comes back
as it comes. Nothing is kept of either.
"""

import msgspec
from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from antiphon.api.admission import admit
from antiphon.api.body import read_any_body, read_body
from antiphon.api.callers import caller
from antiphon.api.handed import Handed
from antiphon.api.neighbours import model_of, read_members
from antiphon.api.services import services
from antiphon.backends.image_server import RemoteImageServer
from antiphon.guard.offload import in_bytes, offload
from antiphon.keys.limiter import check_model
from antiphon.protocol.error_messages import brief
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.wire import encode
from antiphon.store.keys import KeyUse

_FORM = b"multipart/form-data"
_JSON = "application/json"
_MODEL = b'name="model"'


async def generations(request: Request) -> ASGIApp:
    """POST /images/generations"""
    return await _passed_on(request, "images/generations")


async def edits(request: Request) -> ASGIApp:
    """POST /images/edits: a form with pictures, or JSON."""
    return await _passed_on(request, "images/edits")


async def _passed_on(request: Request, path: str) -> ASGIApp:
    held = services(request)
    server = held.image_server
    if server is None:
        raise NotFound(
            f"This server has no image server to pass /v1/{path} on to: base_url and model of [images] set "
            "one up.",
            code="unknown_url",
        )
    asking = caller(request)
    await admit(request, None, 0, 0)
    given = request.headers.get("content-type", "")
    kind, parameters = parse_options_header(given)
    most = held.config.server.max_body_bytes
    if kind == _FORM:
        body = await read_any_body(request, most)
        boundary = parameters.get(b"boundary", b"")
        body = await offload(in_bytes(len(body)), _form_with_model, body, boundary, server, asking.use)
        return Handed(server.answered(path, body, given))
    body = await read_body(request, most)
    body = await offload(in_bytes(len(body)), _json_with_model, body, server, asking.use)
    return Handed(server.answered(path, body, _JSON))


def _json_with_model(body: bytes, server: RemoteImageServer, use: KeyUse | None) -> bytes:
    """Raises InvalidRequest, NotFound, or PermissionDenied."""
    members = read_members(body)
    name = model_of(members)
    _check_key(use, name or server.model)
    if name:
        _check(name, server)
        return body
    return encode({**members, "model": msgspec.Raw(encode(server.model))})


def _form_with_model(body: bytes, boundary: bytes, server: RemoteImageServer, use: KeyUse | None) -> bytes:
    """Raises InvalidRequest, NotFound, or PermissionDenied."""
    border = b"--" + boundary
    if not boundary or not body.lstrip(b"\r\n").startswith(border):
        raise InvalidRequest("Could not parse multipart form: it has no boundary.", code="invalid_form")
    name = _field(body, border)
    _check_key(use, name or server.model)
    if name:
        _check(name, server)
        return body
    head = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    return border + head + server.model.encode() + b"\r\n" + body.lstrip(b"\r\n")


def _field(body: bytes, border: bytes) -> str:
    """The model that a form names; empty: it names none."""
    place = 0
    while (place := body.find(border, place)) >= 0:
        place += len(border)
        end = body.find(b"\r\n\r\n", place)
        if end >= 0 and _MODEL in body[place:end] and len(body[place:end]) < 1024:
            stop = body.find(b"\r\n" + border, end)
            return body[end + 4 : stop].decode(errors="replace").strip()
    return ""


def _check_key(use: KeyUse | None, model: str) -> None:
    """Raises PermissionDenied."""
    if use is not None:
        check_model(use, model)


def _check(model: str, server: RemoteImageServer) -> None:
    if not server.serves(model):
        raise NotFound(
            f"The model '{brief(model)}' does not exist: the image server is asked for '{server.model}', and "
            "for what models of [images] names.",
            param="model",
            code="model_not_found",
        )


routes: list[BaseRoute] = [
    Route("/v1/images/generations", generations, methods=["POST"]),
    Route("/v1/images/edits", edits, methods=["POST"]),
]
