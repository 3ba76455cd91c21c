"""A long log takes time in proportion to its length, to write and to read."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from tests.stream.test_machine import CITATION, LOGPROB, message, running

from antiphon.protocol.wire import encode
from antiphon.stream.fold import fold
from antiphon.stream.items import OpenMessage
from antiphon.stream.resume import resume

Json = dict[str, Any]
Say = Callable[[OpenMessage], None]
SHORT, LONG = 5_000, 20_000
MOST = 2.5 * LONG / SHORT
"""How much longer the long log may take. One that is copied at each event takes 16 times as long."""


def annotated(item: OpenMessage) -> None:
    item.text("x")
    item.annotate(CITATION)


SAYS: dict[str, Say] = {
    "text": lambda item: item.text("x" * 200),
    "logprobs": lambda item: item.text("x", [LOGPROB]),
    "annotations": annotated,
}


def log(say: Say, length: int) -> list[Json]:
    writer = running()
    item = message(writer)
    for _ in range(length):
        say(item)
    item.close()
    writer.complete(None, 2)
    return [msgspec.json.decode(encode(event)) for event in writer.drain()]


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, at best."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


@pytest.mark.parametrize("say", SAYS.values(), ids=SAYS)
def test_folding_takes_time_in_proportion(say: Say) -> None:
    short, long = log(say, SHORT), log(say, LONG)

    assert seconds(lambda: fold(long)) < MOST * seconds(lambda: fold(short))


def test_going_on_with_a_cut_log_takes_time_in_proportion() -> None:
    short, long = (log(SAYS["text"], length)[:-4] for length in (SHORT, LONG))

    assert seconds(lambda: resume(long, str)) < MOST * seconds(lambda: resume(short, str))


class Parts(list[Any]):
    """Knows how often it was gone through."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def test_the_parts_of_an_item_are_not_gone_through_for_each_new_one() -> None:
    item = message(running())
    item._parts["content_index"] = parts = Parts()
    for _ in range(50):
        item.text("x")
        item.refusal("y")
    item.close()

    assert len(parts) == 100
    assert parts.times == 1  # when they became an item
