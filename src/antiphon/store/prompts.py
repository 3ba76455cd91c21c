"""Prompt templates, as they are kept: a prompt has a name, a default and versions, counted from 1."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from antiphon.store.base import PageQuery


class PromptRow(Struct, frozen=True):
    """A prompt in one of its versions."""

    id: str
    created_at: int
    name: str | None
    version: int
    default_version: int
    template: bytes
    """JSON."""


class PromptChange(Struct, frozen=True):
    """What changes of a prompt; None: stays."""

    name: str | None = None
    template: bytes | None = None
    """That of a new version, which becomes the default unless there is another."""
    default_version: int | None = None


class PromptPage(Struct, frozen=True):
    rows: Sequence[PromptRow]
    more: bool


class Prompts(Protocol):
    """Rows belong to a project. What is not there is None, or False from a delete."""

    async def create(self, project: str, row: PromptRow) -> None: ...

    async def get(self, project: str, prompt_id: str, version: int | None = None) -> PromptRow | None:
        """The prompt in a version; None: the default one."""
        ...

    async def update(self, project: str, prompt_id: str, change: PromptChange) -> PromptRow | None:
        """The prompt in the version that is new, or else the default.

        Raises `errors.InvalidRequest` (param "default_version") for a version that there is not.
        """
        ...

    async def delete(self, project: str, prompt_id: str) -> bool:
        """Forget the prompt, with all its versions."""
        ...

    async def page(self, project: str, query: PageQuery) -> PromptPage:
        """Prompts by creation, each in its default version. Raises `errors.NotFound` (param "after")."""
        ...

    async def versions(self, project: str, prompt_id: str, query: PageQuery) -> PromptPage | None:
        """The versions of a prompt; a cursor is the number of one."""
        ...
