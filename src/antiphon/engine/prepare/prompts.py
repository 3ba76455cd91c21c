"""The prompt template that a request names, and what it says."""

from typing import cast

import msgspec
from msgspec.structs import replace

from antiphon.context.prompt import PromptMessage, instructed, rendered
from antiphon.guard.offload import offload
from antiphon.protocol.content import InputText
from antiphon.protocol.errors import NotFound
from antiphon.protocol.items import InputMessage, decode_item
from antiphon.protocol.prompt import Template
from antiphon.protocol.request import PromptRef
from antiphon.store.prompts import PromptRow
from antiphon.store.store import Store

_NO_VERSION = 0
"""Versions are counted from 1."""


async def prompt_messages(
    store: Store, project: str, ref: PromptRef, instructions: str | None
) -> list[PromptMessage]:
    """The messages of a request's template, filled in, led by its instructions. The request's own
    `instructions` take the place of those. Raises NotFound or InvalidRequest."""
    row = await store.prompts.get(project, ref.id, version_number(ref.version))
    if row is None and ref.version is not None and await store.prompts.get(project, ref.id):
        raise absent_version(ref.id, ref.version)
    if row is None:
        raise prompt_not_found(ref.id)
    template = template_of(row)
    led = instructed(template.instructions, messages_of(template))
    messages = await offload(len(row.template) // 100, rendered, led, ref.variables or {})
    if instructions:
        own = InputMessage(role="developer", content=(InputText(text=instructions),))
        messages = [own, *(messages[1:] if template.instructions else messages)]
    return [replace(message, id=None, status=None) for message in messages]


def template_of(row: PromptRow) -> Template:
    return msgspec.json.decode(row.template, type=Template)


def messages_of(template: Template) -> list[PromptMessage]:
    """The messages of a template, which were messages when it was made."""
    return [cast(PromptMessage, decode_item(raw)) for raw in template.input]


def version_number(version: str | None) -> int | None:
    """The version with this name; one that there never is for a name that is no number."""
    if version is None:
        return None
    known = version.isascii() and version.isdigit() and len(version) < 10
    return int(version) if known else _NO_VERSION


def prompt_not_found(prompt_id: str) -> NotFound:
    return NotFound(f"Prompt with id '{prompt_id}' not found.")


def absent_version(prompt_id: str, version: str) -> NotFound:
    return NotFound(f"Prompt with id '{prompt_id}' has no version '{version}'.")
