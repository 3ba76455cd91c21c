"""Frames that are made of the texts of a run are those of its events."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from antiphon.api import sse
from antiphon.protocol.text_deltas import TextDeltas, TextPlace
from antiphon.protocol.wire import encode

TEXTS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20)


def run(texts: list[str], first: int = 4, item_id: str = "msg_%d") -> TextDeltas:
    made = TextDeltas(TextPlace(item_id, 2, 1), [encode(text)[1:-1] for text in texts])
    made.sequence_number = first
    return made


@given(texts=TEXTS, first=st.sampled_from([0, 4090, 10**6]))
def test_frames_of_a_run_are_those_of_its_events(texts: list[str], first: int) -> None:
    made = run(texts, first)
    assert sse.plain([made]) == sse.plain(made.events())


@given(texts=TEXTS)
def test_paddings_of_a_run_hide_lengths_as_those_of_its_events_do(texts: list[str]) -> None:
    def decoded(frames: bytes) -> list[dict[str, object]]:
        return [msgspec.json.decode(each.partition(b"\ndata: ")[2]) for each in frames[:-2].split(b"\n\n")]

    made = run(texts)
    together, alone = decoded(sse.obfuscated([made])), decoded(sse.obfuscated(made.events()))
    assert [len(str(event.pop("obfuscation"))) for event in together] == [
        len(str(event.pop("obfuscation"))) for event in alone
    ]
    assert together == alone
