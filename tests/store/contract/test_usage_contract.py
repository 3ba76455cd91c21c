"""What each project keeps is counted exactly, whatever is written or goes, and whoever does it."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import DAY, Clock, P, begin, items, turn

from antiphon.store.conversations import ConversationRow
from antiphon.store.errors import AlreadyExists, TooMuchStored
from antiphon.store.file_storage import UPLOAD_SECONDS, About, FileStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.items import ItemRow
from antiphon.store.prompts import PromptChange, PromptRow
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.statements import Statement, Steps
from antiphon.store.store import Store

MOST = 10_000


@pytest.fixture
async def bounded(store: Store) -> Store:
    await store.usage.bound(MOST)
    return store


@pytest.fixture
def files(store: Store, tmp_path: Path, clock: Clock) -> FileStorage:
    return FileStorage(store.files, FolderBlobs(tmp_path / "files"), clock)


async def stored(store: Store, project: str = P) -> int:
    """What is counted, which must be what there is."""
    counted = await store.usage.stored(project)
    assert counted is not None
    assert counted == await store.write(_sum, project)
    return counted


def _sum(project: str) -> Steps[int]:
    total = 0
    for sql in (
        "SELECT length(json) FROM items WHERE project_id = $1",
        "SELECT size FROM inline_data WHERE project_id = $1",
        "SELECT length(json) FROM responses WHERE project_id = $1",
        "SELECT length(metadata) FROM conversations WHERE project_id = $1",
        "SELECT length(template) FROM prompt_versions JOIN prompts ON key = prompt WHERE project_id = $1",
        "SELECT size FROM files WHERE project_id = $1",
        "SELECT p.size FROM upload_parts AS p JOIN uploads AS u ON u.key = p.upload WHERE u.project_id = $1",
    ):
        total += sum(size for (size,) in (yield Statement(sql, (project,))))
    return total


async def sizes(store: Store, *steps: Awaitable[object]) -> list[int]:
    """What is stored after each step."""
    found = []
    for step in steps:
        await step
        found.append(await stored(store))
    return found


async def test_a_project_may_keep_so_much_and_no_more(bounded: Store) -> None:
    await bounded.conversations.create(P, _conversation(b"{}" * 3_000), [])

    await bounded.usage.check(P, MOST - 6_000)
    with pytest.raises(TooMuchStored) as refused:
        await bounded.usage.check(P, MOST - 5_999)
    assert (refused.value.stored, refused.value.more, refused.value.most) == (6_000, 4_001, MOST)
    await bounded.usage.check("another", MOST)


async def test_without_a_bound_nothing_is_counted_and_all_is_let_in(store: Store) -> None:
    await store.responses.save(P, turn("r"))
    await store.usage.check(P, 2**60)
    assert await store.usage.stored(P) is None


def worth(responses: str, *ids: str) -> int:
    """The bytes of responses, a letter each, and of items."""
    return len(b'{"id":"a"}') * len(responses) + sum(len(row.json) for row in items(*ids))


async def test_items_and_responses_count_as_long_as_they_are_there(bounded: Store) -> None:
    responses = bounded.responses
    a, b, c = (("a.in", "a.out"), ("b.in", "b.out"), ("c.in", "c.out"))
    assert await sizes(
        bounded,
        responses.save(P, turn("a")),
        responses.save(P, turn("b", "a")),
        responses.save(P, turn("c", "a")),  # a fork
        responses.save(P, turn("d", asks=items("a.in"))),  # an item that is there already
        responses.save("another", turn("a")),
        responses.delete(P, "a"),  # its items are those of the others too
        responses.delete(P, "b"),
        responses.delete(P, "c"),
        responses.delete(P, "d"),
    ) == [
        worth("a", *a),
        worth("ab", *a, *b),
        worth("abc", *a, *b, *c),
        worth("abcd", *a, *b, *c, "d.out"),
        worth("abcd", *a, *b, *c, "d.out"),
        worth("bcd", *a, *b, *c, "d.out"),
        worth("cd", *a, *c, "d.out"),
        worth("d", "a.in", "d.out"),
        0,
    ]
    assert await stored(bounded, "another") == worth("a", *a)


async def test_an_id_that_comes_with_other_content_counts_again(bounded: Store) -> None:
    first, second = items("same")[0], ItemRow("same", b"x" * 50)
    assert await sizes(
        bounded,
        bounded.responses.save(P, turn("a", asks=[first], says=())),
        bounded.responses.save(P, turn("b", asks=[second], says=())),
        bounded.responses.delete(P, "a"),
        bounded.responses.delete(P, "b"),
    ) == [worth("a", "same"), worth("ab", "same") + 50, worth("b") + 50, 0]


async def test_conversations_count_with_their_items_until_these_expire(bounded: Store, clock: Clock) -> None:
    conversations = bounded.conversations
    one = len(items("one")[0].json)
    assert await sizes(
        bounded,
        begin(bounded, "c", "one", "two"),
        conversations.add_items(P, "c", items("six")),
        conversations.update(P, "c", b'{"a":"b"}'),
        conversations.delete_item(P, "c", "two"),
        conversations.delete(P, "c"),
    ) == [2 + 2 * one, 2 + 3 * one, 9 + 3 * one, 9 + 2 * one, 2 * one]
    assert await sizes(bounded, conversations.expire_items(clock.now + DAY, 10)) == [0]


async def test_prompts_count_with_all_their_versions(bounded: Store) -> None:
    prompts = bounded.prompts
    assert await sizes(
        bounded,
        prompts.create(P, PromptRow("p", 1, None, 1, 1, b"x" * 100)),
        prompts.update(P, "p", PromptChange(template=b"x" * 30)),
        prompts.update(P, "p", PromptChange(name="name")),
        prompts.delete(P, "p"),
    ) == [100, 130, 130, 0]


async def test_files_count_until_they_are_deleted_or_expire(
    bounded: Store, files: FileStorage, clock: Clock
) -> None:
    first = await _file(files, b"x" * 100)
    await _file(files, b"x" * 50, seconds=3600)
    assert await stored(bounded) == 150
    assert await sizes(bounded, files.remove(P, first)) == [50]
    clock.now += 3601
    assert await sizes(bounded, files.sweep()) == [0]


async def test_parts_of_an_upload_count_and_then_its_file_does(
    bounded: Store, files: FileStorage, clock: Clock
) -> None:
    about = About("a.txt", "user_data")
    whole, cancelled, forgotten = [await files.begin(P, about, "text/plain", 20) for _ in range(3)]
    parts = [await _part(files, whole.id, b"x" * size) for size in (20, 30)]
    await _part(files, cancelled.id, b"x" * 40)
    await _part(files, forgotten.id, b"x" * 60)
    assert await stored(bounded) == 150
    assert await sizes(bounded, files.complete(P, whole, parts[:1], None), files.cancel(P, cancelled.id)) == [
        120,
        80,
    ]
    clock.now += UPLOAD_SECONDS + 1
    assert await sizes(bounded, files.sweep()) == [20]


async def test_a_background_response_counts_from_its_acceptance(bounded: Store) -> None:
    run = AcceptedRun(turn("r", says=()), b"sealed", [b"0", b"1"], streamed=True)
    claim = await bounded.runs.accept(P, run, 10, "me", 5.0)
    assert claim is not None
    asked = len(b'{"id":"r"}') + len(items("r.in")[0].json)
    assert await stored(bounded) == asked
    end = RunEnd(Record(3, [b"end"], b""), b"x" * 40, items("r.out"))
    assert await sizes(
        bounded,
        bounded.runs.record(claim, Record(2, [b"2"], b"", response=b"x" * 20)),
        bounded.runs.finish(claim, end),
        bounded.responses.delete(P, "r"),
    ) == [asked + 10, asked + 30 + len(items("r.out")[0].json), 0]


async def test_a_write_that_fails_counts_nothing(bounded: Store) -> None:
    await bounded.responses.save(P, turn("r"))
    before = await stored(bounded)
    with pytest.raises(AlreadyExists):
        await bounded.responses.save(P, turn("r", asks=items("new")))
    assert await stored(bounded) == before


@pytest.fixture
async def third(bounded: Store, home: Home, clock: Clock) -> AsyncIterator[Store]:
    """Another process that begins later."""
    third = await home.open(clock)
    yield third
    await third.close()


async def test_what_another_process_writes_counts_also_if_it_has_no_bound(
    bounded: Store, third: Store
) -> None:
    await third.responses.save(P, turn("r"))
    there = await stored(bounded)
    assert there > 0
    await third.usage.bound(MOST)
    assert await stored(third) == there
    await third.responses.delete(P, "r")
    assert (await stored(bounded), await stored(third)) == (0, 0)


async def test_what_was_there_before_there_was_a_bound_counts_too(store: Store, clock: Clock) -> None:
    await store.responses.save(P, turn("r"))
    await begin(store, "c", "one")
    await store.usage.bound(MOST)
    there = await stored(store)
    await store.usage.bound(None)
    await store.responses.delete(P, "r")
    await store.usage.bound(MOST)
    assert 0 < await stored(store) < there


async def test_who_has_a_bound_still_writes_when_another_ends_the_counting(
    bounded: Store, third: Store
) -> None:
    await bounded.responses.save(P, turn("r"))
    await third.usage.bound(None)
    await bounded.usage.check(P, MOST)
    await bounded.responses.delete(P, "r")


async def test_what_is_counted_is_not_counted_again_at_every_start(bounded: Store, third: Store) -> None:
    await bounded.responses.save(P, turn("r"))
    await bounded.write(_forget)
    await third.usage.bound(MOST)
    assert await third.usage.stored(P) == 0


def _forget() -> Steps[None]:
    yield Statement("DELETE FROM stored_bytes")


def _conversation(metadata: bytes) -> ConversationRow:
    return ConversationRow("conv", 1, metadata)


async def _file(files: FileStorage, data: bytes, seconds: int | None = None) -> str:
    async with files.incoming() as incoming:
        await incoming.write(data)
        return (await files.add(P, incoming, About("a.txt", "user_data", seconds))).id


async def _part(files: FileStorage, upload_id: str, data: bytes) -> str:
    async with files.incoming_part() as incoming:
        await incoming.write(data)
        part = await files.add_part(P, upload_id, incoming)
    assert part is not None
    return part.id
