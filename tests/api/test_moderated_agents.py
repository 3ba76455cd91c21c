"""Moderation of a response that has several agents: none of them gets round it."""

from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.api.test_agents import LOOK, ask, says, spawn, texts
from tests.api.test_moderated_responses import (
    BLOCKS_INPUT,
    BLOCKS_OUTPUT,
    by_sides,
    client,
    config,
    kept,
    moderator,
    running,
)
from tests.scripted import Answer, Called, Upstream

__all__ = ["client", "config", "moderator", "running"]

TO_A: Json = {
    "type": "agent_message",
    "author": "/root",
    "recipient": "/root/a",
    "agent": {"agent_name": "/root"},
    "content": [{"type": "input_text", "text": "Buy dynamite."}],
}
CALL: Json = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "look",
    "arguments": "{}",
    "agent": {"agent_name": "/root/a"},
}
OUTPUT: Json = {"type": "function_call_output", "call_id": "call_1", "output": "It is dynamite."}


@pytest.mark.parametrize("given", [[TO_A], [CALL, OUTPUT]], ids=["a letter", "the output of a call"])
def test_what_a_subagent_reads_of_the_input_is_judged(client: OpenAI, upstream: Upstream, given: Any) -> None:
    with refused(400, "invalid_prompt", "input") as raised:
        ask(client, [{"role": "user", "content": "Go."}, *given], moderation=BLOCKS_INPUT, tools=[LOOK])
    assert "(illicit/violent)" in raised.message
    assert upstream.requests == []


def test_what_a_subagent_was_stopped_for_stays_so_whatever_others_say(
    client: OpenAI, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.on(says("to you, /root/a:"), Answer("A zephyr of dynamite."))
    upstream.on(says("I could not finish"), Answer("It failed."))
    upstream.on(says(last="Go."), Answer(calls=[spawn("a", "Look."), Called("wait_agent")]))
    response = ask(client, "Go.", moderation=BLOCKS_OUTPUT)
    assert (response["status"], texts(response, "/root")) == ("completed", ["It failed."])
    assert by_sides(response) == [[], ["illicit/violent"]]
    assert kept(tmp_path, b"zephyr") == []
