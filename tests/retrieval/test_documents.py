"""Documents to text, within limits."""

import asyncio

import pytest
from tests.papers import docx, laborious_pdf, pdf, pdf_of_size

from antiphon.retrieval.documents import Documents, Unreadable
from antiphon.retrieval.extract import pictures_of_pages

SLOW = laborious_pdf(pages=3, strokes=600_000)
"""Little more than a hundred KB that take half a minute and more."""


async def test_a_small_document_that_takes_long_is_given_up() -> None:
    assert len(SLOW) < 128 * 1024
    with pytest.raises(Unreadable, match="longer than 1 seconds"):
        await Documents(seconds=1).read(SLOW, "slow.pdf")


async def test_the_documents_of_one_project_do_not_keep_those_of_another() -> None:
    documents = Documents(seconds=30)
    slow = [asyncio.create_task(documents.read(SLOW, owner="greedy")) for _ in range(4)]
    async with asyncio.timeout(60):
        found = await documents.read(docx("Hello"), "a.docx", owner="modest")
    assert found.text.strip() == "Hello"
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


def test_pictures_that_there_is_no_time_for_are_left_out() -> None:
    assert [number for number, _ in pictures_of_pages(pdf("", "", ""), [1, 2, 3], seconds=0)] == [1]


async def test_a_document_whose_pictures_are_too_much_has_its_text() -> None:
    found = await Documents(seconds=2).read(pdf_of_size(14_400), "a.pdf", images="all")
    assert [(page.number, page.image) for page in found.pages] == [(1, None)]


async def test_all_pictures_are_made_when_there_is_time() -> None:
    found = await Documents().read(pdf("One", "Two", ""), "a.pdf", images="all")
    assert [page.text for page in found.pages] == ["One", "Two", ""]
    assert all(page.image for page in found.pages)
