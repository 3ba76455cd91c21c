"""/v1/containers (endpoints.md section 5)."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.protocol import error_messages
from antiphon.protocol.containers import (
    LONGEST_ID,
    Container,
    ContainerExpiry,
    CreateContainer,
    allowed_domains,
    shown_policy,
)
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.store.containers import ContainerRow
from antiphon.tools.containers import ContainerError, NewContainer, NoSuchContainer


async def create(request: Request) -> HttpResponse:
    """POST /containers"""
    asked = await parsing.read_as(request, CreateContainer)
    new = NewContainer(
        name=asked.name,
        minutes=asked.expires_after.minutes if asked.expires_after else None,
        file_ids=asked.file_ids or (),
        memory_limit=asked.memory_limit,
        domains=allowed_domains(asked.network_policy, "network_policy"),
        skills=asked.skills or (),
    )
    return json(shown(await services(request).containers.make(project(request), new)))


async def list_containers(request: Request) -> HttpResponse:
    """GET /containers"""
    query = pages.page_query(request.query_params, ("name",))
    containers = services(request).store.containers
    page = await containers.page(project(request), query, request.query_params.get("name"))
    return pages.show_rows(page, shown)


async def retrieve(request: Request) -> HttpResponse:
    """GET /containers/{id}: also of one that has expired. Otherwise it counts as a use."""
    row = await services(request).store.containers.use(project(request), asked_id(request))
    if row is None:
        raise not_found()
    return json(shown(row))


async def delete(request: Request) -> HttpResponse:
    """DELETE /containers/{id}"""
    container_id = asked_id(request)
    if not await services(request).containers.delete(project(request), container_id):
        raise not_found()
    return json({"id": container_id, "object": "container.deleted", "deleted": True})


def asked_id(request: Request) -> str:
    """The container that the path names. Raises InvalidRequest for what can be no id."""
    container_id: str = request.path_params["container_id"]
    if len(container_id) > LONGEST_ID:
        raise error_messages.too_long("container_id", container_id, LONGEST_ID, "string")
    return container_id


def not_found() -> NotFound:
    return NotFound("Container not found")


@contextmanager
def refusals() -> Iterator[None]:
    """What a container refuses in the block, as answers."""
    try:
        yield
    except NoSuchContainer:
        raise not_found() from None
    except ContainerError as error:
        raise InvalidRequest(str(error)) from None


def shown(row: ContainerRow) -> Container:
    """The Container object."""
    return Container(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        status="expired" if row.expired else "running",
        last_active_at=row.last_active_at,
        expires_after=ContainerExpiry("last_active_at", row.minutes),
        memory_limit=row.memory_limit,
        network_policy=shown_policy(row.domains),
    )


_ONE = "/v1/containers/{container_id}"

routes = [
    Route("/v1/containers", create, methods=["POST"]),
    Route("/v1/containers", list_containers, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, delete, methods=["DELETE"]),
]
