"""Prompt templates, as they go over the wire.

The reference only names them (`prompt {id, version, variables}`) and has no endpoint to make them: these
objects are ours, in its style.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from antiphon.protocol.request import RawItem
from antiphon.protocol.wire import Wire, shown, shown_list

PromptName = Annotated[str, Meta(min_length=1, max_length=256)]


class Template(Struct, frozen=True):
    """What a version of a prompt says. Texts may hold `{{name}}` where a variable goes."""

    instructions: str | None = None
    input: list[msgspec.Raw] = []
    """Messages."""


class Prompt(Wire, kw_only=True):
    """The prompt object: a prompt in one of its versions."""

    id: str
    object: Literal["prompt"] = shown("prompt")
    created_at: int
    """Seconds since the epoch."""
    name: str | None = shown(None)
    version: str
    default_version: str
    """The version that is used when a request names none."""
    instructions: str | None = shown(None)
    input: list[msgspec.Raw] = shown_list()
    variables: list[str] = shown_list()
    """The names of the variables, in the order in which they come."""


class CreatePrompt(Wire):
    """The body of POST /prompts."""

    name: PromptName | None = None
    instructions: str | None = None
    input: list[RawItem] | None = None


class UpdatePrompt(Wire):
    """The body of POST /prompts/{id}. Instructions and input are those of a new version, which has nothing
    of the one before; without them only the name or the default changes."""

    name: PromptName | None = None
    instructions: str | None = None
    input: list[RawItem] | None = None
    default_version: str | None = None
    """Left out: a new version becomes the default."""
