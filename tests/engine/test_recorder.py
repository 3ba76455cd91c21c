"""The recorder: what it writes, in what portions, and what becomes of what cannot be written."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from antiphon.backends import tape
from antiphon.backends.tape import Server
from antiphon.engine.recorder import HELD_BYTES, Ended, Recorder, Rules
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import opening
from antiphon.store.open import open_store
from antiphon.store.store import Store
from antiphon.stream.machine import Machine

SERVER = Server("b", (b"a secret word",))


def record(recorder: Recorder, response_id: str, *answers: bytes, failed: bool = False) -> None:
    """A response with an exchange for each of the answers."""
    begun = recorder.begin(machine(), keeps=True)
    made = tape.current.get()
    assert made is not None
    for answer in answers:
        exchange = made.record(SERVER, "POST", URL("http://b/v1"), b"{}")
        assert exchange is not None
        exchange.answered(200, "application/json")
        exchange.heard(answer)
        exchange.closed(at_end=True)
    ended = Ended(project="p", response_id=response_id, stored=False, failed=failed, shown=True)
    recorder.end(begun, ended)


def machine() -> Machine:
    return Machine(opening(CreateResponse(model="m", input="Hi"), "resp_1", 1), lambda kind: f"{kind}_1")


async def answers(store: Store, response_id: str) -> list[bytes]:
    found = []
    for entry in await store.recordings.of("p", response_id):
        bodies = await store.recordings.bodies("p", response_id, entry.key)
        assert bodies is not None
        found.append(bodies.answer)
    return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite:///{tmp_path}/antiphon.db")
    yield store
    await store.close()


async def test_more_than_is_written_at_once_is_written_whole(store: Store) -> None:
    recorder = Recorder(store.recordings, Rules())
    many = [b"%d" % number for number in range(400)]
    large = [random.Random(seed).randbytes(700_000) for seed in range(3)]

    record(recorder, "many", *many)
    record(recorder, "more", *many)
    record(recorder, "large", *large)
    await recorder.close()

    assert await answers(store, "many") == many
    assert await answers(store, "more") == many
    assert await answers(store, "large") == large
    assert recorder.room.left == HELD_BYTES


async def test_only_what_failed_is_written_where_that_is_wanted(store: Store) -> None:
    recorder = Recorder(store.recordings, Rules(which="errors"))

    record(recorder, "well", b"said")
    record(recorder, "failed", b"said", failed=True)
    await recorder.close()

    assert await answers(store, "well") == []
    assert await answers(store, "failed") == [b"said"]
    assert recorder.room.left == HELD_BYTES


async def test_what_cannot_be_written_is_told_and_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/antiphon.db")
    recorder = Recorder(store.recordings, Rules())
    await store.close()

    record(recorder, "lost", b"said")
    await recorder.close()

    assert "recordings are lost" in capsys.readouterr().out
    assert recorder.room.left == HELD_BYTES
