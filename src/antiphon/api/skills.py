"""/v1/skills (endpoints.md section 6)."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.downloads import download
from antiphon.api.form import Files, read_files
from antiphon.api.services import project, services
from antiphon.containers.archive import MOST_BYTES, MOST_FILES
from antiphon.containers.skills import skill_not_found, version_not_found, version_of
from antiphon.protocol import error_messages
from antiphon.protocol.containers import Skill, UpdateSkill
from antiphon.protocol.errors import NotFound
from antiphon.protocol.ids import new_skill_id, new_skill_version_id
from antiphon.store.bundles import Bundle
from antiphon.store.skills import NewVersion, SkillRow, VersionRow, Which

_FIELD = "files"
_ZIP = b"PK"
"""What zips begin with."""


async def create(request: Request) -> HttpResponse:
    """POST /skills"""
    form = await read_skill(request)
    check_fields(request, form, ())
    bundle = await bundled(request, form)
    first = NewVersion(new_skill_version_id(), bundle)
    storage = services(request).containers.storage
    return json(_shown(await storage.create_skill(project(request), new_skill_id(), first)))


async def list_skills(request: Request) -> HttpResponse:
    """GET /skills"""
    query = pages.page_query(request.query_params, least=0)
    page = await services(request).store.skills.page(project(request), query)
    return pages.show_rows(page, _shown)


async def retrieve(request: Request) -> HttpResponse:
    """GET /skills/{id}"""
    return json(_shown(await _stored(request)))


async def update(request: Request) -> HttpResponse:
    """POST /skills/{id}: another default version."""
    asked = await parsing.read_as(request, UpdateSkill)
    row = await _stored(request)
    which = version_of(asked.default_version)
    number = row.latest_version if which == "latest" else which
    skills = services(request).store.skills
    if not isinstance(number, int) or not await skills.set_default(project(request), row.id, number):
        raise version_not_found(row.id, asked.default_version, "default_version")
    return json(_shown(await _stored(request)))


async def delete(request: Request) -> HttpResponse:
    """DELETE /skills/{id}: with all its versions. Containers keep what they have of them."""
    skill_id = request.path_params["skill_id"]
    if not await services(request).containers.storage.delete_skill(project(request), skill_id):
        raise skill_not_found(skill_id)
    return json({"id": skill_id, "object": "skill.deleted", "deleted": True})


async def content(request: Request) -> HttpResponse:
    """GET /skills/{id}/content: the zip of the default version."""
    return await zip_of(request, await version(request, "default"))


# ---- for versions too -------------------------------------------------------------------------------


async def read_skill(request: Request) -> Files:
    """The form of a request that brings a skill."""
    await services(request).store.usage.check(project(request))
    return await read_files(request, _FIELD, MOST_FILES, MOST_BYTES)


def check_fields(request: Request, form: Files, known: tuple[str, ...]) -> None:
    """Raises InvalidRequest for a field that the endpoint does not read."""
    for name in form.fields:
        if name not in known and not services(request).config.server.lenient:
            raise error_messages.unknown(name)


async def bundled(request: Request, form: Files) -> Bundle:
    """The skill that a form brings: a zip, or the files of a folder. Raises InvalidRequest."""
    shelf = services(request).containers.shelf
    name, data = form.files[0]
    if len(form.files) == 1 and (data.startswith(_ZIP) or name.lower().endswith(".zip")):
        return await shelf.zipped(project(request), data, _FIELD)
    return await shelf.folder(project(request), form.files, _FIELD)


async def version(request: Request, which: Which) -> VersionRow:
    """A version of the skill that the path names. Raises NotFound."""
    skill_id = request.path_params["skill_id"]
    row = await services(request).store.skills.version(project(request), skill_id, which)
    if row is None:
        await _stored(request)
        raise version_not_found(skill_id, str(which))
    return row


async def zip_of(request: Request, row: VersionRow) -> HttpResponse:
    try:
        opened = await services(request).containers.storage.open(row.bundle.blob)
    except FileNotFoundError:
        raise version_not_found(row.skill_id, str(row.number)) from None
    return download(opened, f"{row.name}.zip", "application/zip")


async def _stored(request: Request) -> SkillRow:
    skill_id = request.path_params["skill_id"]
    row = await services(request).store.skills.get(project(request), skill_id)
    if row is None:
        raise skill_not_found(skill_id)
    return row


def not_found(request: Request) -> NotFound:
    return skill_not_found(request.path_params["skill_id"])


def _shown(row: SkillRow) -> Skill:
    return Skill(
        id=row.id,
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        default_version=str(row.default_version),
        latest_version=str(row.latest_version),
    )


_ONE = "/v1/skills/{skill_id}"

routes = [
    Route("/v1/skills", create, methods=["POST"]),
    Route("/v1/skills", list_skills, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/content", content, methods=["GET"]),
]
