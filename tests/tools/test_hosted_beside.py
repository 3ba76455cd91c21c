"""Tools that the model's server runs, beside those that this server runs: limits, citations, judgements."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.api.test_moderated_responses import BLOCKS_OUTPUT, WORDS
from tests.conftest import Running, checked_client
from tests.hosted_script import PICTURE, code, picture, web
from tests.moderators import ServedModerator
from tests.responses_script import answer, call, config, sealed, text
from tests.scripted import Upstream
from tests.tools.using import ask
from tests.tools.webs import engine, site
from tests.web.search_server import SearchServer
from tests.website import Website

from antiphon.config import Moderation, Outbound, Tools, WebSearchSettings

__all__ = ["engine", "site"]

WEB: Json = {"type": "web_search"}
PYTHON: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
LOOK = call("web_search", '{"query": "why boats float"}', "call_1")


@pytest.fixture
def client(upstream: Upstream, tmp_path: Path, engine: SearchServer) -> Iterator[OpenAI]:
    """Of a server that searches the web itself; code is run by its model's server."""
    settings = replace(
        config(upstream, str(tmp_path), hosted=["code_interpreter"], text_calls=False),
        tools=Tools(web_search=WebSearchSettings(engine="searxng", url=engine.url)),
        outbound=Outbound(allow_private=True),
    )
    with Running(settings) as running, checked_client(running.url) as client:
        yield client


def types(response: Json) -> list[str]:
    return [item["type"] for item in response["output"]]


def test_both_are_used_in_one_response(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(code("x = 6", ""), LOOK), answer(text("So.")))

    response = ask(client, WEB, PYTHON)

    assert types(response) == ["code_interpreter_call", "web_search_call", "message"]
    again = [each.get("role") or each["type"] for each in upstream.last.body["input"]]
    assert again == ["user", "code_interpreter_call", "function_call", "function_call_output"]
    assert upstream.last.body["input"][1]["id"] == response["output"][0]["id"]


def test_reasoning_keeps_its_place_within_a_response_where_a_call_has_failed(
    client: OpenAI, upstream: Upstream
) -> None:
    """No part is left of the call, which the reasoning behind it does not count."""
    failed = run_that_failed("x = 6")
    upstream.script(
        answer(sealed("gAAAA-1"), failed, sealed("gAAAA-2"), text("Hm."), LOOK), answer(text("So."))
    )

    ask(client, WEB, PYTHON)

    again = [each.get("encrypted_content") or each["type"] for each in upstream.last.body["input"]]
    assert again == [
        "message",
        "gAAAA-1",
        "gAAAA-2",
        "message",
        "function_call",
        "function_call_output",
    ]


def run_that_failed(text: str) -> Any:
    def events(at: int) -> list[Json]:
        *before, done = code(text, "")(at)
        return [*before[:-1], {**done, "item": {**done["item"], "status": "failed"}}]

    return events


def test_a_limit_holds_within_one_turn(client: OpenAI, upstream: Upstream, engine: SearchServer) -> None:
    upstream.script(answer(code("x = 6", ""), LOOK), answer(text("So.")))
    asked = len(engine.asked)

    response = ask(client, WEB, PYTHON, max_tool_calls=1)

    assert types(response) == ["code_interpreter_call", "message"]
    assert len(engine.asked) == asked


def test_a_limit_counts_the_calls_of_both(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(answer(code("x = 6", ""), LOOK), answer(LOOK), answer(text("So.")))

    response = ask(client, WEB, PYTHON, max_tool_calls=2)

    assert types(response) == ["code_interpreter_call", "web_search_call", "message"]
    first, second, _ = upstream.requests
    assert first.body["max_tool_calls"] == 2
    assert "code_interpreter" not in [tool["type"] for tool in second.body["tools"]]
    assert "code_interpreter_call" not in [each.get("type") for each in second.body["input"]]


def test_passages_keep_their_place_where_marks_of_this_server_are_cut(
    client: OpenAI, upstream: Upstream, site: Website
) -> None:
    def linked(at: int) -> list[Json]:
        """A text that cites a page of this server's search, and a file of the other one's code."""
        said = "They float 【1】. See [it](sandbox:/mnt/data/a.csv)."
        begin = said.index("sandbox:")
        note = {
            "type": "container_file_citation",
            "container_id": "cntr_theirs",
            "file_id": "cfile_1",
            "filename": "a.csv",
            "start_index": begin,
            "end_index": said.index(")."),
        }
        events = text(said, 5)(at)
        place = {"item_id": f"msg_{at}", "output_index": at, "content_index": 0, "annotation_index": 0}
        told = {"type": "response.output_text.annotation.added", **place, "annotation": note}
        return [*events[:-3], told, *events[-3:]]

    upstream.script(answer(LOOK), answer(linked))

    response = ask(client, WEB, PYTHON)

    part = response["output"][-1]["content"][0]
    cited = {
        each["type"]: part["text"][each["start_index"] : each["end_index"]] for each in part["annotations"]
    }
    assert "【" not in part["text"]
    assert cited["container_file_citation"] == "sandbox:/mnt/data/a.csv"
    assert f"{site.url}/boats" in cited["url_citation"]


@pytest.mark.parametrize(
    "said",
    [code("print('dynamite')", ""), web("where is dynamite"), picture("dynamite")],
    ids=["code", "a question", "a prompt"],
)
def test_what_the_model_writes_for_them_is_judged(upstream: Upstream, tmp_path: Path, said: Any) -> None:
    hosted = ["web_search", "code_interpreter", "image_generation"]
    with ServedModerator(WORDS) as moderator:
        settings = replace(
            config(upstream, str(tmp_path), hosted=hosted),
            moderation=Moderation(base_url=f"{moderator.url}/v1", model="m1"),
            outbound=Outbound(allow_private=True),
        )
        upstream.script(answer(said, text("Well.")))
        with Running(settings) as running, checked_client(running.url) as client:
            response = ask(client, WEB, PYTHON, {"type": "image_generation"}, moderation=BLOCKS_OUTPUT)

    assert (response["status"], response["output"]) == ("incomplete", [])
    assert response["incomplete_details"]["reason"] == "content_filter"
    assert PICTURE not in str(response)
