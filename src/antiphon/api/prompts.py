"""/v1/prompts: templates for `prompt {id, version, variables}`.

The reference has no endpoint for them (endpoints.md section 7): these follow its style.
"""

import time
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.context.prompt import PromptMessage, instructed, names
from antiphon.engine.prepare.prompts import (
    absent_version,
    messages_of,
    prompt_not_found,
    template_of,
    version_number,
)
from antiphon.guard.offload import offload
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, TooLarge
from antiphon.protocol.ids import new_prompt_id
from antiphon.protocol.item import item_type
from antiphon.protocol.items import AssistantMessage, InputMessage
from antiphon.protocol.parse import parse, parse_items
from antiphon.protocol.prompt import CreatePrompt, Prompt, Template, UpdatePrompt
from antiphon.protocol.wire import encode
from antiphon.store.items import ItemRow
from antiphon.store.paging import Page
from antiphon.store.prompts import PromptChange, PromptRow

T = TypeVar("T", CreatePrompt, UpdatePrompt)

MOST_BYTES = 2**20
"""Of a template."""


async def create(request: Request) -> HttpResponse:
    """POST /prompts"""
    asked, template = await _parsed(request, CreatePrompt)
    if template is None:
        raise error_messages.missing("instructions")
    await _check_room(request, template)
    row = PromptRow(new_prompt_id(), int(time.time()), asked.name, 1, 1, template)
    await services(request).store.prompts.create(project(request), row)
    return json(await shown(row))


async def show(request: Request) -> HttpResponse:
    """GET /prompts"""
    query = pages.page_query(request.query_params)
    page = await services(request).store.prompts.page(project(request), query)
    return await _show_page(page, [row.id for row in page.rows])


async def retrieve(request: Request) -> HttpResponse:
    """GET /prompts/{id}, or with `?version=` an older or newer one than the default"""
    pages.check_members(request.query_params, ("version",))
    prompt_id, version = request.path_params["prompt_id"], request.query_params.get("version")
    prompts = services(request).store.prompts
    row = await prompts.get(project(request), prompt_id, version_number(version))
    if row is None and version is not None and await prompts.get(project(request), prompt_id):
        raise absent_version(prompt_id, version)
    if row is None:
        raise prompt_not_found(prompt_id)
    return json(await shown(row))


async def update(request: Request) -> HttpResponse:
    """POST /prompts/{id}"""
    asked, template = await _parsed(request, UpdatePrompt)
    default = None if asked.default_version is None else version_number(asked.default_version)
    if template is not None:
        await _check_room(request, template)
    change = PromptChange(asked.name, template, default)
    prompt_id = request.path_params["prompt_id"]
    row = await services(request).store.prompts.update(project(request), prompt_id, change)
    if row is None:
        raise prompt_not_found(prompt_id)
    return json(await shown(row))


async def delete(request: Request) -> HttpResponse:
    """DELETE /prompts/{id}"""
    prompt_id = request.path_params["prompt_id"]
    if not await services(request).store.prompts.delete(project(request), prompt_id):
        raise prompt_not_found(prompt_id)
    return json({"id": prompt_id, "object": "prompt.deleted", "deleted": True})


async def versions(request: Request) -> HttpResponse:
    """GET /prompts/{id}/versions"""
    query = pages.page_query(request.query_params)
    prompt_id = request.path_params["prompt_id"]
    page = await services(request).store.prompts.versions(project(request), prompt_id, query)
    if page is None:
        raise prompt_not_found(prompt_id)
    return await _show_page(page, [str(row.version) for row in page.rows])


async def _parsed(request: Request, kind: type[T]) -> tuple[T, bytes | None]:
    """The body of the request, and the template that it brings. Raises InvalidRequest."""
    lenient = services(request).config.server.lenient

    def make(body: bytes) -> tuple[T, bytes | None]:
        asked = parse(body, kind, lenient)
        return asked, _template(asked, lenient)

    return await parsing.read(request, make)


async def _check_room(request: Request, template: bytes) -> None:
    """Raises TooMuchStored unless the project may keep the template too."""
    await services(request).store.usage.check(project(request), len(template))


def _template(asked: CreatePrompt | UpdatePrompt, lenient: bool) -> bytes | None:
    """The template that a body brings, as it is kept; None when it brings none."""
    messages = _messages(asked.input or (), lenient)
    if not asked.instructions and not messages:
        return None
    raws = [msgspec.Raw(encode(message)) for message in messages]
    template = encode(Template(asked.instructions, raws))
    if len(template) > MOST_BYTES:
        raise TooLarge(f"A prompt is at most {MOST_BYTES} bytes long.", code="prompt_too_large")
    return template


def _messages(raws: Sequence[msgspec.Raw], lenient: bool) -> list[PromptMessage]:
    messages: list[PromptMessage] = []
    for index, item in enumerate(parse_items(raws, "input", lenient)):
        if not isinstance(item, InputMessage | AssistantMessage):
            raise InvalidRequest(
                f"Invalid value: '{item_type(item)}'. A prompt is made of messages.",
                param=f"input[{index}]",
                code="invalid_value",
            )
        messages.append(item)
    return messages


async def shown(row: PromptRow) -> Prompt:
    """The prompt object."""
    return await offload(len(row.template) // 100, _prompt, row)


def _prompt(row: PromptRow) -> Prompt:
    template = template_of(row)
    return Prompt(
        id=row.id,
        created_at=row.created_at,
        name=row.name,
        version=str(row.version),
        default_version=str(row.default_version),
        instructions=template.instructions,
        input=template.input,
        variables=names(instructed(template.instructions, messages_of(template))),
    )


async def _show_page(page: Page[PromptRow], cursors: Sequence[str]) -> HttpResponse:
    jsons = [encode(await shown(row)) for row in page.rows]
    rows = [ItemRow(*each) for each in zip(cursors, jsons, strict=True)]
    return pages.show_page(Page(rows, page.more))


_ONE = "/v1/prompts/{prompt_id}"

routes = [
    Route("/v1/prompts", create, methods=["POST"]),
    Route("/v1/prompts", show, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/versions", versions, methods=["GET"]),
]
