"""What a model says is written however it comes: asked for, or poured by its server's connection."""

import gc
import weakref
from collections.abc import Sequence

import pytest
from tests.engine.test_turn_writer import Turn

from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.intake import Intake
from antiphon.model import CallArguments, Delta, Deltas, TextDelta
from antiphon.protocol.errors import UpstreamError


class Reader:
    """Is asked whether it takes more at once; refuses every third time."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._asked = 0
        self.handed_over = ""

    async def flush(self) -> None:
        self._take()

    def flush_at_once(self) -> bool:
        self._asked += 1
        if self._asked % 3 == 0:
            return False
        self._take()
        return True

    def _take(self) -> None:
        self.handed_over += "".join(getattr(event, "delta", "") for event in self._turn.machine.drain())


async def answer(*batches: Sequence[Delta]) -> Deltas:
    """Pours what it may."""
    pour = yield ()
    for batch in batches:
        if pour is None:
            pour = yield batch
        elif not pour(batch):
            pour = yield ()


TEXT = [[TextDelta(word)] for word in ("Salt", " is", " old", ",", " so", " is", " the", " sea", ".")]


@pytest.mark.parametrize("pours", [True, False])
async def test_it_is_handed_over_whole_and_in_order(pours: bool) -> None:
    turn = Turn()
    reader = Reader(turn)
    intake = Intake(turn.writer, Checkpoint(), reader.flush, reader.flush_at_once if pours else None)

    await intake.read(answer(*TEXT))

    assert reader.handed_over == "Salt is old, so is the sea."
    assert turn.writer.first_at is not None


@pytest.mark.parametrize("pours", [True, False])
async def test_what_makes_no_sense_ends_it_there(pours: bool) -> None:
    turn = Turn()
    reader = Reader(turn)
    intake = Intake(turn.writer, Checkpoint(), reader.flush, reader.flush_at_once if pours else None)
    deltas = answer(*TEXT[:2], [CallArguments(7, "{}")], *TEXT[2:])

    with pytest.raises(UpstreamError):
        await intake.read(deltas)

    assert reader.handed_over == "Salt is"
    assert await anext(deltas, None) is None


class Watched(Intake, weakref=True):
    """One of which a test can see that it is gone."""


@pytest.mark.parametrize("pours", [True, False])
async def test_what_makes_no_sense_leaves_nothing_for_the_collector(pours: bool) -> None:
    turn = Turn()
    reader = Reader(turn)
    intake = Watched(turn.writer, Checkpoint(), reader.flush, reader.flush_at_once if pours else None)
    left = weakref.ref(intake)
    deltas = answer(*TEXT[:2], [CallArguments(7, "{}")])

    gc.disable()
    try:
        with pytest.raises(UpstreamError) as raised:
            await intake.read(deltas)
        del raised, intake, deltas
        assert left() is None
    finally:
        gc.enable()


async def ending(batch: Sequence[Delta], fault: Exception | None) -> Deltas:
    """Has poured its last batch, and ends, or fails."""
    pour = yield ()
    assert pour is not None
    assert not pour(batch)
    if fault is not None:
        raise fault


@pytest.mark.parametrize("end", [None, UpstreamError("gone")])
async def test_what_made_no_sense_is_raised_however_the_answer_ends(end: Exception | None) -> None:
    turn = Turn()
    reader = Reader(turn)
    intake = Intake(turn.writer, Checkpoint(), reader.flush, reader.flush_at_once)

    with pytest.raises(UpstreamError) as raised:
        await intake.read(ending([CallArguments(7, "{}")], end))

    assert raised.value is not end
