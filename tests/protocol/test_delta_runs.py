"""A run of deltas in a log is its events."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stream.test_machine import call, message, running

from antiphon.protocol.delta_runs import DeltaPlace, DeltaRun, Emitted, single
from antiphon.protocol.events import TextDelta
from antiphon.protocol.wire import encode
from antiphon.stream.fold import fold
from antiphon.stream.items import OpenMessage
from antiphon.stream.table import IllegalTransition

TEXTS = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20)


def pieces(texts: list[str]) -> list[bytes]:
    return [encode(text)[1:-1] for text in texts]


def one(emitted: Sequence[Emitted]) -> list[bytes]:
    return [encode(event) for event in single(emitted)]


@given(texts=TEXTS, more=TEXTS)
def test_a_log_with_runs_is_the_log_with_their_events(texts: list[str], more: list[str]) -> None:
    def one_by_one(message: OpenMessage, batch: list[str]) -> None:
        for text in batch:
            message.text(text)

    def as_run(message: OpenMessage, batch: list[str]) -> None:
        message.run("".join(batch), pieces(batch))

    def lines(emitted: Sequence[Emitted]) -> list[bytes]:
        told = [each.lines() if isinstance(each, DeltaRun) else encode(each) for each in emitted]
        return b"\n".join(told).split(b"\n")

    def told(
        say: Callable[[OpenMessage, list[str]], None], how: Callable[[Sequence[Emitted]], list[bytes]] = one
    ) -> list[bytes]:
        writer = running()
        text = message(writer)
        say(text, texts)
        say(text, more)
        text.text("!")
        text.close()
        writer.complete(None, 2)
        return how(writer.drain())

    log = told(as_run)
    assert log == told(one_by_one)
    assert log == told(as_run, lines)
    fold([msgspec.json.decode(event) for event in log])


@given(texts=TEXTS, more=TEXTS)
def test_a_log_with_runs_of_arguments_is_the_log_with_their_events(texts: list[str], more: list[str]) -> None:
    def told(as_runs: bool) -> list[bytes]:
        writer = running()
        written = call(writer)
        for batch in (texts, more):
            if as_runs:
                written.run("".join(batch), pieces(batch))
            else:
                for text in batch:
                    written.write(text)
        written.write("}")
        written.close()
        writer.complete(None, 2)
        return [encode(event) for event in single(writer.drain())]

    log = told(as_runs=True)
    assert log == told(as_runs=False)
    fold([msgspec.json.decode(event) for event in log])


def test_a_run_where_no_text_may_come_leaves_no_trace() -> None:
    writer = running()
    text = message(writer)
    text.close()
    before = writer.drain()[-1]
    place = DeltaPlace(TextDelta, item_id="msg_0", output_index=0, content_index=0)
    with pytest.raises(IllegalTransition):
        text.emit_run(DeltaRun(place, [b"a", b"b"]))
    assert writer.drain() == []
    writer.complete(None, 2)
    assert single(writer.drain())[0].sequence_number == single([before])[0].sequence_number + 1
