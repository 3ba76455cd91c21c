"""Prompt templates in the store."""

import pytest

from antiphon.store.errors import UnknownCursor, UnknownVersion
from antiphon.store.paging import Page, PageQuery
from antiphon.store.prompts import PromptChange, PromptRow, Prompts
from antiphon.store.store import Store

ROW = PromptRow("pmpt_1", 1700000000, "Greeter", 1, 1, b"{}")


@pytest.fixture
def prompts(store: Store) -> Prompts:
    return store.prompts


async def test_no_project_sees_anothers_prompts(prompts: Prompts) -> None:
    await prompts.create("one", ROW)

    assert await prompts.get("one", ROW.id) == ROW
    assert await prompts.get("two", ROW.id) is None
    assert await prompts.update("two", ROW.id, PromptChange(name="Mine")) is None
    assert await prompts.versions("two", ROW.id, PageQuery()) is None
    assert await prompts.page("two", PageQuery()) == Page([], more=False)
    assert await prompts.delete("two", ROW.id) is False
    assert await prompts.page("one", PageQuery()) == Page([ROW], more=False)
    with pytest.raises(UnknownCursor):
        await prompts.page("two", PageQuery(after=ROW.id))


async def test_a_version_that_is_not_the_default_changes_nothing_else(prompts: Prompts) -> None:
    await prompts.create("one", ROW)

    made = await prompts.update("one", ROW.id, PromptChange(template=b"[]", default_version=1))

    assert made == PromptRow(ROW.id, ROW.created_at, ROW.name, 2, 1, b"[]")
    assert await prompts.get("one", ROW.id) == ROW
    assert await prompts.get("one", ROW.id, 2) == made
    assert await prompts.get("one", ROW.id, 3) is None


async def test_a_refused_change_changes_nothing(prompts: Prompts) -> None:
    await prompts.create("one", ROW)

    with pytest.raises(UnknownVersion):
        await prompts.update("one", ROW.id, PromptChange(name="x", template=b"[]", default_version=2))

    assert await prompts.versions("one", ROW.id, PageQuery()) == Page([ROW], more=False)


async def test_a_deleted_prompt_leaves_nothing(prompts: Prompts) -> None:
    await prompts.create("one", ROW)
    await prompts.update("one", ROW.id, PromptChange(template=b"[]"))

    assert await prompts.delete("one", ROW.id) is True

    await prompts.create("one", ROW)
    assert await prompts.versions("one", ROW.id, PageQuery()) == Page([ROW], more=False)
