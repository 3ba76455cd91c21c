"""A moderated run that was interrupted: the next process lets no more through than the first."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace
from openai import OpenAI
from tests.api.test_moderated_responses import (
    BLOCKS_OUTPUT,
    ask,
    by_sides,
    config,
    ended,
    kept,
    moderator,
    stream,
)
from tests.conftest import Running, checked_client
from tests.hosted_script import picture
from tests.moderators import ServedModerator
from tests.responses_script import answer, text
from tests.responses_script import config as in_front_of
from tests.scripted import Answer, Gate, Upstream
from tests.tools.mcp_servers import Toolset, served
from tests.tools.using import calls

from antiphon.config import Config, Moderation

__all__ = ["config", "moderator"]


@contextlib.contextmanager
def life(config: Config) -> Iterator[OpenAI]:
    """A client of a server that stops with its runs where they are."""
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def interrupted(config: Config, upstream: Upstream, answer: Answer) -> str:
    """The id of a response whose server stops in the middle of the answer."""
    gate = Gate(after=3)
    upstream.script(Answer("A zephyr that goes on", size=4, gate=gate), answer)
    with life(config) as client:
        response_id: str = ask(client, "You idiot", BLOCKS_OUTPUT, background=True)["id"]
        gate.wait_reached()
    return response_id


def test_what_was_held_back_is_lost_and_said_anew(config: Config, upstream: Upstream, tmp_path: Path) -> None:
    response_id = interrupted(config, upstream, Answer("Fine."))
    assert kept(tmp_path, b"zephyr") == []
    with life(config) as client:
        response = ended(client, response_id)
    assert (response["status"], by_sides(response)) == ("completed", [["harassment"], []])
    assert response["output"][0]["content"][0]["text"] == "Fine."


def test_the_next_process_blocks_too(config: Config, upstream: Upstream, tmp_path: Path) -> None:
    response_id = interrupted(config, upstream, Answer("A zephyr of dynamite."))
    with life(config) as client:
        response = ended(client, response_id)
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert (response["output"], kept(tmp_path, b"zephyr")) == ([], [])


def test_where_nothing_judges_any_more_nothing_passes(
    config: Config, upstream: Upstream, tmp_path: Path
) -> None:
    response_id = interrupted(config, upstream, Answer("A zephyr of dynamite."))
    with life(replace(config, moderation=Moderation())) as client:
        response = ended(client, response_id)
    assert (response["status"], response["output"]) == ("failed", [])
    assert "[moderation]" in response["error"]["message"]
    assert len(upstream.requests) == 1


def test_turns_before_an_interruption_are_judged_with_those_behind_it(
    config: Config, upstream: Upstream, moderator: ServedModerator
) -> None:
    gate = Gate(after=0)
    upstream.script(calls("things__delete", '{"name":"a"}'), Answer("never told", gate=gate), Answer("Done."))
    things = Toolset()
    with served(things.server()) as mcp:
        tool = {
            "type": "mcp",
            "server_label": "things",
            "server_url": f"{mcp.url}/mcp",
            "require_approval": "never",
        }
        with life(config) as client:
            begun = ask(client, moderation=BLOCKS_OUTPUT, tools=[tool], background=True)
            gate.wait_reached()
        with life(config) as client:
            response = ended(client, begun["id"])
    assert response["status"] == "completed"
    assert moderator.texts[-1] == '{"name":"a"}\n\nDone.'


def test_what_pictures_took_is_told_by_who_only_ends_the_run(
    config: Config, upstream: Upstream, tmp_path: Path, moderator: ServedModerator
) -> None:
    """The server is stopped when all is said, and the verdict is waited for."""
    took = {"image_gen": {"input_tokens": 11, "output_tokens": 272, "total_tokens": 283}}
    upstream.script(answer(picture("a cat"), text("A cat."), tool_usage=took))
    hosting = in_front_of(upstream, str(tmp_path), hosted=["image_generation"])
    config = replace(config, backends=hosting.backends)
    moderator.hold()
    with life(config) as client:
        events = stream(client, tools=[{"type": "image_generation"}], background=True)
        begun = next(events)["response"]
        told = (event for event in events if event["type"] == "response.output_item.done")
        assert [next(told)["item"]["type"] for _ in range(2)] == ["image_generation_call", "message"]
    moderator.release()
    with life(config) as client:
        response = ended(client, begun["id"])
    assert len(upstream.requests) == 1
    assert response["status"] == "completed"
    assert response["tool_usage"]["image_gen"]["output_tokens"] == 272
