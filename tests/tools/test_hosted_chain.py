"""Antiphon behind Antiphon: the second one really searches the web and runs code, as the server of the first
one's model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, some_id, whole
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.coding.serving import Coding, served
from tests.tools.coding.test_code_interpreter import RAN, python
from tests.tools.test_web_search import ACTED, LOOK
from tests.tools.using import ask, emitted, read, stream
from tests.tools.webs import configured, engine, searching, site
from tests.website import Website

from antiphon.config import BackendSettings, Config
from antiphon.config.settings import Sandbox, Server

__all__ = ["configured", "engine", "searching", "site"]

WEB: Json = {"type": "web_search"}
PYTHON: Json = {"type": "code_interpreter", "container": {"type": "auto"}}
SOURCES: Any = ["web_search_call.action.sources"]
OUTPUTS: Any = ["code_interpreter_call.outputs"]


@contextlib.contextmanager
def before(url: str, data: Path, *hosted: Any) -> Iterator[OpenAI]:
    """The client of a server whose model's server is the one at `url`."""
    backend = BackendSettings(type="responses", base_url=f"{url}/v1", default=True, hosted=[*hosted])
    config = Config(
        data_dir=str(data),
        server=Server(verify=True),
        backends={"behind": backend},
        sandbox=Sandbox(driver="none"),
    )
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture(scope="module")
def web(searching: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with before(searching.url, tmp_path_factory.mktemp("front"), "web_search") as client:
        yield client


@pytest.fixture(scope="module")
def bench(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coding]:
    with served(_upstream, tmp_path_factory.mktemp("behind")) as coding:
        yield coding


@pytest.fixture(scope="module")
def coder(bench: Coding, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with before(bench.url, tmp_path_factory.mktemp("front"), "code_interpreter") as client:
        yield client


@covers("item.output.web_search_call", "include.web_search_call.action.sources")
def test_a_search_of_the_server_behind_is_cited_in_front(
    web: OpenAI, upstream: Upstream, site: Website
) -> None:
    upstream.script(LOOK, Answer("They push 😀 water away 【1】, so they float.", size=3))

    events = stream(web, WEB, include=SOURCES)

    assert emitted(events)[:5] == ACTED
    response = events[-1]["response"]
    search, message = response["output"]
    assert search["id"] == some_id("ws")
    urls = [source["url"] for source in search["action"]["sources"]]
    assert urls == [f"{site.url}/boats", "https://ducks.example.com/why"]
    part = message["content"][0]
    (note,) = part["annotations"]
    assert note["url"] == f"{site.url}/boats"
    assert f"{site.url}/boats" in part["text"][note["start_index"] : note["end_index"]]
    assert response["tool_usage"]["web_search"] == {"num_requests": 1}


def test_a_conversation_about_a_search_goes_on(web: OpenAI, upstream: Upstream, site: Website) -> None:
    upstream.script(LOOK, Answer("They push water away."), Answer("Yes."))
    first = ask(web, WEB, given="Why do boats float?")

    second = ask(web, WEB, given="Sure?", previous_response_id=first["id"])

    assert second["output"][0]["content"][0]["text"] == "Yes."
    assert [message["role"] for message in read(upstream)][-5:] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


@covers("item.output.code_interpreter_call")
def test_code_runs_on_the_server_behind_and_its_variables_stay(
    coder: OpenAI, upstream: Upstream, bench: Coding
) -> None:
    upstream.script(python("x = 6\nx * 7", 4), Answer("42"), python("x + 1"), Answer("7"))

    events = stream(coder, PYTHON, include=OUTPUTS)
    first = events[-1]["response"]
    second = ask(coder, PYTHON, previous_response_id=first["id"], include=OUTPUTS)

    kinds = [kind for kind in emitted(events) if kind != "code_interpreter_call_code.delta"]
    assert kinds[:6] == RAN
    assert first["output"][0]["outputs"] == [{"type": "logs", "logs": "42\n"}]
    assert second["output"][0]["outputs"] == [{"type": "logs", "logs": "7\n"}]
    assert len(bench.made) == 1


@pytest.mark.parametrize("how", ["expired", "deleted"])
def test_a_container_that_is_gone_behind_is_made_anew(
    coder: OpenAI, upstream: Upstream, bench: Coding, how: str
) -> None:
    upstream.script(python("y = 1"), Answer("Kept"), python("print('anew')"), Answer("Well"))
    first = ask(coder, PYTHON)
    bench.end(bench.made[-1], how)

    second = ask(coder, PYTHON, previous_response_id=first["id"], include=OUTPUTS)

    assert second["output"][0]["outputs"] == [{"type": "logs", "logs": "anew\n"}]


def test_the_background_waits_for_the_server_behind(web: OpenAI, upstream: Upstream) -> None:
    upstream.script(LOOK, Answer("So."))
    begun = web.responses.create(model="m", input="Hi", tools=[WEB], background=True, stream=True)  # type: ignore[list-item]

    ended = [whole(event) for event in begun][-1]["response"]

    assert [item["type"] for item in ended["output"]] == ["web_search_call", "message"]
