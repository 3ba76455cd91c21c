"""/v1/skills/{id}/versions (endpoints.md section 6)."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages
from antiphon.api.body import json
from antiphon.api.form import Files
from antiphon.api.services import project, services
from antiphon.api.skills import bundled, check_fields, not_found, read_skill, version, zip_of
from antiphon.containers.skills import version_not_found, version_of
from antiphon.protocol import error_messages
from antiphon.protocol.containers import SkillVersion
from antiphon.protocol.ids import new_skill_version_id
from antiphon.store.skills import NewVersion, VersionRow

_DEFAULT = "default"
_TRUTHS = {"true": True, "false": False}


async def create(request: Request) -> HttpResponse:
    """POST /skills/{id}/versions"""
    await version(request, "default")
    form = await read_skill(request)
    check_fields(request, form, (_DEFAULT,))
    becomes_default = _truth(form)
    new = NewVersion(new_skill_version_id(), await bundled(request, form))
    held, skill_id = services(request), request.path_params["skill_id"]
    row = await held.containers.storage.add_version(project(request), skill_id, new)
    if row is None:
        raise not_found(request)
    if becomes_default:
        await held.store.skills.set_default(project(request), skill_id, row.number)
    return json(_shown(row))


async def list_versions(request: Request) -> HttpResponse:
    """GET /skills/{id}/versions"""
    query = pages.page_query(request.query_params, least=0)
    skills = services(request).store.skills
    page = await skills.versions(project(request), request.path_params["skill_id"], query)
    if page is None:
        raise not_found(request)
    return pages.show_rows(page, _shown)


async def retrieve(request: Request) -> HttpResponse:
    """GET /skills/{id}/versions/{version}"""
    return json(_shown(await _asked(request)))


async def delete(request: Request) -> HttpResponse:
    """DELETE /skills/{id}/versions/{version}: not of the default one."""
    row = await _asked(request)
    storage = services(request).containers.storage
    if not await storage.delete_version(project(request), row.skill_id, row.number):
        raise version_not_found(row.skill_id, str(row.number))
    body = {"id": row.id, "object": "skill.version.deleted", "deleted": True, "version": str(row.number)}
    return json(body)


async def content(request: Request) -> HttpResponse:
    """GET /skills/{id}/versions/{version}/content: its zip."""
    return await zip_of(request, await _asked(request))


async def _asked(request: Request) -> VersionRow:
    """The version that the path names. Raises NotFound."""
    name = request.path_params["version"]
    which = version_of(name)
    if which is None:
        await version(request, "default")
        raise version_not_found(request.path_params["skill_id"], name)
    return await version(request, which)


def _truth(form: Files) -> bool:
    """Raises InvalidRequest."""
    given = form.fields.get(_DEFAULT, "false").lower()
    if given not in _TRUTHS:
        raise error_messages.wrong_type(_DEFAULT, "a boolean", given)
    return _TRUTHS[given]


def _shown(row: VersionRow) -> SkillVersion:
    return SkillVersion(
        id=row.id,
        skill_id=row.skill_id,
        version=str(row.number),
        name=row.name,
        description=row.description,
        created_at=row.created_at,
    )


_ALL = "/v1/skills/{skill_id}/versions"
_ONE = f"{_ALL}/{{version}}"

routes = [
    Route(_ALL, create, methods=["POST"]),
    Route(_ALL, list_versions, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/content", content, methods=["GET"]),
]
