"""Models in the place of one whose server runs a tool: they have the tool too, or they are not asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.conftest import Running, checked_client
from tests.hosted_script import web
from tests.responses_script import answer, text
from tests.scripted import Answer, Upstream, refusal
from tests.tools.test_web_search import LOOK
from tests.tools.webs import engine, site
from tests.web.search_server import SearchServer

from antiphon.config import BackendSettings, Config, Outbound, Tools, WebSearchSettings
from antiphon.config.settings import Sandbox, Server

__all__ = ["engine", "site"]

WEB: Any = {"type": "web_search"}


def config(first: Upstream, second: Upstream, data: Path, **members: Any) -> Config:
    """The first model is behind the Responses API, and its server searches; the second is not."""
    backends = {
        "first": BackendSettings(
            type="responses",
            base_url=first.base_url,
            default=True,
            hosted=["web_search"],
            fallbacks=["second"],
            text_calls=False,
        ),
        "second": BackendSettings(base_url=second.base_url, dialect="generic", models=["other"]),
    }
    return Config(
        data_dir=str(data),
        server=Server(verify=True),
        backends=backends,
        sandbox=Sandbox(driver="none"),
        **members,
    )


@pytest.fixture
def second() -> Iterator[Upstream]:
    with Upstream() as second:
        yield second


@pytest.fixture
def bare(upstream: Upstream, second: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """The client of a server that searches nothing itself."""
    with Running(config(upstream, second, tmp_path)) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture
def able(upstream: Upstream, second: Upstream, tmp_path: Path, engine: SearchServer) -> Iterator[OpenAI]:
    """The client of a server that searches."""
    tools = Tools(web_search=WebSearchSettings(engine="searxng", url=engine.url))
    members = {"tools": tools, "outbound": Outbound(allow_private=True)}
    with (
        Running(config(upstream, second, tmp_path, **members)) as running,
        checked_client(running.url) as client,
    ):
        yield client


def breaks(upstream: Upstream) -> None:
    upstream.on(lambda _: True, refusal(500, "broken"))


def test_a_model_without_the_tool_is_not_asked(bare: OpenAI, upstream: Upstream, second: Upstream) -> None:
    breaks(upstream)
    second.default = Answer("I could only guess")

    with pytest.raises(openai.APIStatusError, match="broken"):
        bare.responses.create(model="m", input="Hi", tools=[WEB])

    assert not second.requests


def test_it_is_asked_where_the_tool_is_not_wanted(bare: OpenAI, upstream: Upstream, second: Upstream) -> None:
    breaks(upstream)
    second.script(Answer("Hello"), Answer("Again"))

    assert bare.responses.create(model="m", input="Hi").output_text == "Hello"
    unwanted = bare.responses.create(model="m", input="Hi", tools=[WEB], tool_choice="none")
    assert unwanted.output_text == "Again"


def test_this_server_searches_for_a_model_whose_server_does_not(
    able: OpenAI, upstream: Upstream, second: Upstream
) -> None:
    breaks(upstream)
    second.script(LOOK, Answer("They push water away 【1】."))

    response = able.responses.create(model="m", input="Hi", tools=[WEB])

    assert [item.type for item in response.output] == ["web_search_call", "message"]
    message: Any = response.output[1]
    assert message.content[0].annotations[0].type == "url_citation"
    assert "【" not in message.content[0].text


def test_it_does_not_where_the_models_server_does(
    able: OpenAI, upstream: Upstream, second: Upstream, engine: SearchServer
) -> None:
    upstream.script(answer(web("x", "https://a.example/"), text("Found 【1】.")))
    asked = len(engine.asked)

    response = able.responses.create(model="m", input="Hi", tools=[WEB])

    assert [tool["type"] for tool in upstream.last.body["tools"]] == ["web_search"]
    assert response.output_text == "Found 【1】."
    assert len(engine.asked) == asked


def test_what_the_first_server_did_the_second_model_reads_in_words(
    able: OpenAI, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(answer(web("boats", "https://a.example/boats"), text("They float.")))
    first = able.responses.create(model="m", input="Hi", tools=[WEB])
    breaks(upstream)
    second.script(Answer("Well."))

    able.responses.create(model="m", input="Sure?", tools=[WEB], previous_response_id=first.id)

    messages = second.last.body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"query": "boats"}
    assert "https://a.example/boats" in messages[2]["content"]
