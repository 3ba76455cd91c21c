"""What is read of a frame that steers before anything is known of it."""

import json
import tracemalloc

import pytest

from antiphon.protocol.steering import echoed

MANY = 100_000


@pytest.mark.parametrize("value", ["[]", "{}", "7", "null"])
def test_a_frame_is_echoed_without_building_what_it_holds(value: str) -> None:
    values = f"[{','.join([value] * MANY)}]"
    frame = f'{{"previous_response_id": {values}, "input": {values}}}'.encode()
    tracemalloc.start()
    try:
        given = echoed(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert given.previous_response_id == ""
    assert bytes(given.input).decode() == values
    assert peak < MANY


@pytest.mark.parametrize("target", ["resp_1", "", 'a "b" ü'])
def test_a_frame_is_echoed_with_the_response_that_it_names(target: str) -> None:
    given = echoed(json.dumps({"previous_response_id": target, "input": [1]}).encode())
    assert given.previous_response_id == target
    assert json.loads(bytes(given.input)) == [1]
