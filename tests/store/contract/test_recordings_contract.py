"""Recordings: kept byte for byte, apart from their responses, and gone with them."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace
from tests.store.contract.kit import P, rows_of, turn

from antiphon.store.recordings import Bodies, Mark, NewRecording, Packed, Packer, Recording, record_all
from antiphon.store.statements import Lock, Steps
from antiphon.store.store import Store

FULL = Recording(
    turn=2,
    backend="house",
    method="POST",
    url="http://upstream.example/v1/chat/completions?version=***",
    started_at=1_700_000_000.25,
    milliseconds=900,
    first_milliseconds=120,
    status=200,
    content_type="text/event-stream",
    error="The upstream broke off the connection.",
    request_bytes=14,
    answer_bytes=5000,
    request_kept=14,
    marks=(
        Mark("item", "message", "msg_1", 1_700_000_000.5, 300),
        Mark("tool", "search", "call_1", 1_700_000_000.8, 100, "failed"),
    ),
)
BODIES = Bodies(b'{"model":"m"}\x00', b"data: {}\n\n\xff\x00" * 400)
BARE = Recording(turn=1, backend=None, url="http://x/v1", started_at=5.0, milliseconds=3, request_bytes=9)


def new(name: str, *recordings: Recording, stored: bool = True, project: str = P) -> list[NewRecording]:
    """Those that have content have all of the same."""
    bodies = [None if each.request_kept is None else BODIES for each in recordings]
    return [NewRecording(project, name, stored, *each) for each in zip(recordings, bodies, strict=True)]


def pack(recordings: Sequence[NewRecording]) -> list[Packed]:
    return list(map(Packer().pack, recordings))


async def kept(store: Store, name: str, project: str = P) -> list[Recording]:
    return [entry.recording for entry in await store.recordings.of(project, name)]


async def keep(store: Store, *recordings: NewRecording) -> None:
    """Save the responses, and what was recorded of them."""
    for project, name in {(each.project, each.response_id): None for each in recordings}:
        await store.responses.save(project, turn(name))
    await store.recordings.add(pack(recordings))


async def test_a_recording_is_read_back_as_it_was_written(store: Store) -> None:
    await keep(store, *new("r", FULL, BARE))

    bare, full = await store.recordings.of(P, "r")

    assert (bare.recording, full.recording) == (BARE, FULL)
    assert await store.recordings.bodies(P, "r", full.key) == BODIES
    assert await store.recordings.bodies(P, "r", bare.key) is None


async def test_an_empty_body_is_not_the_same_as_content_that_is_not_kept(store: Store) -> None:
    asked, empty = replace(BARE, request_kept=0), Bodies(b"", b"")
    await store.recordings.add(pack([NewRecording(P, "r", False, asked, empty)]))

    (entry,) = await store.recordings.of(P, "r")

    assert await store.recordings.bodies(P, "r", entry.key) == empty


async def test_no_project_reads_recordings_of_another(store: Store) -> None:
    await keep(store, *new("r", FULL), *new("r", BARE, project="other"))

    assert await kept(store, "r") == [FULL]
    assert await kept(store, "r", "other") == [BARE]
    assert await kept(store, "r", "nobody's") == []
    (entry,) = await store.recordings.of(P, "r")
    assert await store.recordings.bodies("other", "r", entry.key) is None
    assert await store.recordings.bodies(P, "more", entry.key) is None


async def test_who_is_deleted_takes_its_recordings_along_and_no_other(store: Store) -> None:
    await keep(store, *new("r", FULL), *new("r", BARE, project="other"), *new("more", BARE))

    assert await store.responses.delete(P, "r")

    assert await kept(store, "r") == []
    assert await kept(store, "r", "other") == [BARE]
    assert await kept(store, "more") == [BARE]


async def test_what_is_older_than_responses_are_kept_goes_with_them(store: Store) -> None:
    await keep(store, *new("r", FULL))

    await store.responses.expire(10.0, 50)

    assert await rows_of(store, "responses", "recordings") == {}


async def test_of_a_response_that_was_deleted_meanwhile_nothing_is_written(store: Store) -> None:
    for name in ("kept", "gone"):
        await store.responses.save(P, turn(name))
    await store.responses.delete(P, "gone")

    await store.recordings.add(pack([*new("gone", FULL), *new("kept", BARE)]))

    assert await kept(store, "gone") == []
    assert await kept(store, "kept") == [BARE]


async def test_what_is_deleted_while_it_is_recorded_leaves_nothing_behind(store: Store) -> None:
    await store.responses.save(P, turn("r"))

    def slowly(rows: Sequence[Packed]) -> Steps[None]:
        yield Lock("SELECT 1 FROM responses WHERE id = 'r' FOR KEY SHARE")
        yield Lock("SELECT pg_sleep(0.3)")  # time for who writes meanwhile
        yield from record_all(rows)

    database = store.recordings._database
    recording = asyncio.ensure_future(database.write(slowly, pack(new("r", FULL))))
    await asyncio.gather(recording, store.responses.delete(P, "r"))

    assert await kept(store, "r") == []


async def test_responses_that_are_not_stored_are_recorded_and_can_be_forgotten(store: Store) -> None:
    await store.recordings.add(pack(new("r", BARE, stored=False)))
    assert await kept(store, "r") == [BARE]

    assert not await store.responses.delete(P, "r")

    assert await kept(store, "r") == []


async def test_the_oldest_go_first(store: Store) -> None:
    await store.recordings.add(pack(aged(range(10))))

    assert await store.recordings.expire(5.0, 3) == 3
    assert await left(store) == [3, 4, 5, 6, 7, 8, 9]
    assert await store.recordings.expire(5.0, 3) == 2
    assert await left(store) == [5, 6, 7, 8, 9]


async def test_the_newest_that_have_room_stay(store: Store) -> None:
    await store.recordings.add(pack(aged(range(100, 600))))
    all_of_them = await store.recordings.size()

    await store.recordings.trim(all_of_them)
    assert await left(store) == list(range(100, 600))
    await store.recordings.trim(all_of_them // 5)
    assert await left(store) == list(range(500, 600))
    await store.recordings.trim(1)
    assert await store.recordings.size() == 0


def aged(seconds: Sequence[int]) -> list[NewRecording]:
    return new("r", *(replace(BARE, started_at=float(second)) for second in seconds), stored=False)


async def left(store: Store) -> list[int]:
    """When those began that are left."""
    return [int(each.started_at) for each in await kept(store, "r")]


async def test_those_of_a_project_can_be_forgotten(store: Store) -> None:
    await store.recordings.add(pack(aged(range(250))))
    await store.recordings.add(pack(new("r", BARE, stored=False, project="other")))

    await store.recordings.forget(P)

    assert await left(store) == []
    assert await kept(store, "r", "other") == [BARE]
