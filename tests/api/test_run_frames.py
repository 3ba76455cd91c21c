"""Frames that are made of the texts of a run are those of its events."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from antiphon.api import sse
from antiphon.protocol.delta_runs import DeltaPlace, DeltaRun
from antiphon.protocol.events import ArgumentsDelta, TextDelta
from antiphon.protocol.wire import encode

TEXTS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20)


PLACES = st.sampled_from(
    [
        DeltaPlace(TextDelta, item_id="msg_%d", output_index=2, content_index=1),
        DeltaPlace(ArgumentsDelta, item_id="fc_%d", output_index=2),
    ]
)


def run(place: DeltaPlace, texts: list[str], first: int = 4) -> DeltaRun:
    made = DeltaRun(place, [encode(text)[1:-1] for text in texts])
    made.sequence_number = first
    return made


@given(place=PLACES, texts=TEXTS, first=st.sampled_from([0, 4090, 10**6]))
def test_frames_of_a_run_are_those_of_its_events(place: DeltaPlace, texts: list[str], first: int) -> None:
    made = run(place, texts, first)
    assert sse.plain([made]) == sse.plain(made.events())


@given(place=PLACES, texts=TEXTS)
def test_paddings_of_a_run_hide_lengths_as_those_of_its_events_do(
    place: DeltaPlace, texts: list[str]
) -> None:
    def decoded(frames: bytes) -> list[dict[str, object]]:
        return [msgspec.json.decode(each.partition(b"\ndata: ")[2]) for each in frames[:-2].split(b"\n\n")]

    made = run(place, texts)
    together, alone = decoded(sse.obfuscated([made])), decoded(sse.obfuscated(made.events()))
    assert [len(str(event.pop("obfuscation"))) for event in together] == [
        len(str(event.pop("obfuscation"))) for event in alone
    ]
    assert together == alone
