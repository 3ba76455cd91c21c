"""A long silence of the model is not a dead connection."""

import json
from pathlib import Path
from threading import Timer

import pytest
from tests.conftest import Running, checked_client, config_for
from tests.scripted import PATIENCE, Answer, Gate, Upstream
from websockets.sync.client import connect

from antiphon.config import Server


def test_in_a_long_silence_the_stream_says_that_it_goes_on(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello", size=2, gate=gate))
    settings = Server(verify=True, keep_alive=0.1)
    with Running(config_for(upstream, tmp_path, settings)) as server, checked_client(server.url) as client:
        told = []
        for event in client.responses.create(model="m", input="hi", stream=True):
            told.append(event)
            if [event.type for event in told].count("response.in_progress") == 3:
                gate.open()
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert told[-1].response.output_text == "Hello"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "beat", [b": ping\n\n", b'data: {"choices":[{"index":0,"delta":{}}]}\n\n'], ids=["comment", "empty delta"]
)
def test_it_is_one_too_when_the_upstream_gives_signs_of_life(
    upstream: Upstream, tmp_path: Path, beat: bytes
) -> None:
    gate = Gate(after=3)
    upstream.script(Answer("Hello", size=2, gate=gate, beat=beat))
    settings = Server(verify=True, keep_alive=0.1)
    with (
        Running(config_for(upstream, tmp_path, settings)) as server,
        checked_client(server.url) as client,
        client.responses.stream(model="m", input="hi") as stream,
    ):
        pulses, opening = 0, Timer(PATIENCE / 2, gate.open)  # else a stream without a pulse never ends
        opening.start()
        for event in stream:
            pulses += event.type == "response.in_progress"
            if pulses == 3:
                gate.open()
        opening.cancel()
        assert stream.get_final_response().output_text == "Hello"
    assert pulses >= 3


def test_the_streaming_helper_does_not_mind(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello", size=2, gate=gate))
    settings = Server(verify=True, keep_alive=0.1)
    with Running(config_for(upstream, tmp_path, settings)) as server, checked_client(server.url) as client:
        pulses = 0
        with client.responses.stream(model="m", input="hi") as stream:
            for event in stream:
                pulses += event.type == "response.in_progress"
                if pulses == 3:
                    gate.open()
            assert stream.get_final_response().output_text == "Hello"


def test_a_connection_says_so_too(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello", size=2, gate=gate))
    settings = Server(verify=True, keep_alive=0.1)
    with Running(config_for(upstream, tmp_path, settings)) as server:
        address = server.url.replace("http", "ws") + "/v1/responses"
        with connect(address) as socket:
            socket.send('{"type": "response.create", "model": "m", "input": "hi"}')
            told = [json.loads(socket.recv(timeout=60))]
            while told[-1]["type"] != "response.completed":
                told.append(json.loads(socket.recv(timeout=60)))
                if [event["type"] for event in told].count("response.in_progress") == 3:
                    gate.open()
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
