"""What a caller of the store may assume of projects, durability, order and cancellation."""

import asyncio
from collections.abc import Awaitable

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import Clock, P, begin, counts, item, items, said, spoken, texts, turn

from antiphon.store import responses, work
from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import AlreadyExists, DuplicateItem
from antiphon.store.paging import PageQuery
from antiphon.store.statements import Steps
from antiphon.store.store import Store
from antiphon.store.work import Job

# ---- projects ---------------------------------------------------------------------------------------


async def test_no_method_sees_another_project(store: Store) -> None:
    other, query = "other", PageQuery()
    await store.responses.save(P, turn("r"))
    await begin(store, "c", "a")
    assert await store.responses.get(other, "r") is None
    assert await store.responses.history(other, "r") is None
    assert await store.responses.input_items(other, "r", query) is None
    assert await store.items.get(other, "r.in") is None
    assert await store.conversations.get(other, "c") is None
    assert await store.conversations.update(other, "c", b"[]") is None
    assert await store.conversations.items(other, "c", query) is None
    assert await spoken(store, "c", other) is None
    assert await store.conversations.item(other, "c", "a") is None
    assert not await store.responses.delete(other, "r")
    assert not await store.conversations.delete(other, "c")
    assert not await store.conversations.add_items(other, "c", items("b"))
    assert not await store.conversations.delete_item(other, "c", "a")
    assert not await store.conversations.lock(other, "c", "me", 60)
    await store.conversations.lock(P, "c", "me", 60)
    await store.conversations.unlock(other, "c", "me")
    assert not await store.conversations.lock(P, "c", "you", 60)
    await store.responses.save(other, turn("s", "r"))
    await store.responses.save(other, turn("t", conversation="c"))
    assert await store.responses.history(other, "s") == said("s")
    assert await store.responses.history(other, "t") == said("t")
    assert await spoken(store, "c") == texts("a")
    assert await store.conversations.get(P, "c") == ConversationRow("c", 1, b"{}")


async def test_two_projects_may_use_the_same_ids(store: Store) -> None:
    for project in (P, "other"):
        await store.responses.save(project, turn("r", asks=[item("a", project)]))
        row = ConversationRow("c", 1, b"{}")
        await store.conversations.create(project, row, [item("b", project)])
    await store.responses.delete("other", "r")
    await store.conversations.delete_item("other", "c", "b")
    assert await store.responses.history(P, "r") == [item("a", P).json, *texts("r.out")]
    assert await spoken(store, "c") == [item("b", P).json]


# ---- what a caller may assume -----------------------------------------------------------------------


async def test_everything_is_there_after_closing_and_opening(home: Home, clock: Clock) -> None:
    store = await home.open(clock)
    await store.responses.save(P, turn("r1"))
    await store.close()
    store = await home.open(clock)
    await store.responses.save(P, turn("r2", "r1"))
    assert await store.responses.history(P, "r2") == said("r1", "r2")
    await store.close()


async def test_closing_waits_for_what_was_asked(home: Home, store: Store, clock: Clock) -> None:
    closing = await home.open(clock)
    saving = [asyncio.ensure_future(closing.responses.save(P, turn(f"r{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await closing.close()
    await asyncio.gather(*saving)
    assert (await counts(store))["responses"] == 100
    with pytest.raises(RuntimeError, match="closed"):
        await closing.responses.save(P, turn("late"))
    await closing.close()


async def test_a_write_is_done_though_nobody_waits_for_it(store: Store) -> None:
    saving = asyncio.ensure_future(store.responses.save(P, turn("r")))
    await asyncio.sleep(0)
    saving.cancel()
    await store.responses.save(P, turn("s"))
    assert await store.responses.history(P, "r") == said("r")


async def test_a_write_that_fails_does_not_hurt_those_beside_it(store: Store) -> None:
    await store.responses.save(P, turn("r"))
    await begin(store, "c", "a")
    jobs: list[Awaitable[object]] = []
    for n in range(10):
        jobs.append(store.responses.save(P, turn(f"r{n}", "r")))
        jobs.append(store.responses.save(P, turn("r", asks=items(f"lost {n}"))))
        jobs.append(store.conversations.add_items(P, "c", items(f"b{n}", "a")))
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [type(None), AlreadyExists, DuplicateItem] * 10
    assert [await store.responses.history(P, f"r{n}") for n in range(10)] == [
        said("r", f"r{n}") for n in range(10)
    ]
    assert await counts(store) == {
        "responses": 11,
        "conversations": 1,
        "links": 23,
        "items": 23,
        "threads": 11,
    }


async def test_a_rule_that_is_made_of_others_is_written_whole_or_not_at_all(store: Store) -> None:
    def with_a_job(project: str, name: str, kind: str) -> Steps[None]:
        yield from work.enqueue([Job(kind=kind, payload=b"{}", project=project)])
        yield from responses.save(project, turn(name))

    await store.write(with_a_job, P, "r", "first")
    with pytest.raises(AlreadyExists):
        await store.write(with_a_job, P, "r", "second")

    assert await store.responses.history(P, "r") == said("r")
    assert [job.kind for job in await store.work.claim(["first", "second"], "me", 60, 10)] == ["first"]


async def test_what_another_process_wrote_is_read_at_once(store: Store, other: Store) -> None:
    for n in range(20):
        writing, reading = (store, other) if n % 2 else (other, store)
        await writing.responses.save(P, turn(f"r{n}", f"r{n - 1}"))
        assert await reading.responses.history(P, f"r{n}") == said(*(f"r{m}" for m in range(n + 1)))
