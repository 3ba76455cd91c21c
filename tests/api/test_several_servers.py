"""Three servers with the same models, of which one hangs, one refuses and one works: whatever API they speak,
no client sees it."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openai import AsyncOpenAI
from tests import messages_script, responses_script
from tests.conftest import Running
from tests.scripted import Answer, Upstream, refusal

from antiphon.backends import health
from antiphon.config import BackendSettings, Config, Sandbox, Server

RESPONSES = 100
AT_ONCE = 10
ANSWERS: dict[str, Callable[[], Answer]] = {
    "chat_completions": lambda: Answer("well"),
    "anthropic": lambda: messages_script.answer(messages_script.text("well")),
    "responses": lambda: responses_script.answer(responses_script.text("well")),
}


class Three(NamedTuple):
    """Antiphon, in front of them."""

    url: str
    refusing: Upstream
    working: Upstream


@pytest.fixture(params=list(ANSWERS))
def three(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Three]:
    monkeypatch.setattr(health, "CHECK_PATIENCE", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as hanging, Upstream() as refusing, Upstream() as working:
        refusing.on(lambda _: True, refusal(503, "loading"))
        working.default = ANSWERS[request.param]()
        urls = [
            f"http://127.0.0.1:{hanging.getsockname()[1]}/v1",
            refusing.base_url,
            working.base_url,
        ]
        config = Config(
            data_dir=str(tmp_path),
            server=Server(verify=True),
            backends={"three": BackendSettings(type=request.param, base_urls=urls, default=True)},
            sandbox=Sandbox(driver="none"),
        )
        with Running(config) as server:
            yield Three(server.url, refusing, working)


async def test_all_are_answered_and_none_twice(three: Three) -> None:
    """Half of them as a stream. Each question is read once by the server that works."""
    room = asyncio.Semaphore(AT_ONCE)

    async def asked(client: AsyncOpenAI, number: int) -> str:
        async with room:
            request: Any = {"model": "m", "input": f"question {number}.", "store": False}
            if number % 2:
                return (await client.responses.create(**request)).output_text
            events = [event async for event in await client.responses.create(**request, stream=True)]
            return str(events[-1].response.output_text)

    async with AsyncOpenAI(base_url=f"{three.url}/v1", api_key="sk-test", max_retries=0) as client:
        assert await asyncio.gather(*(asked(client, n) for n in range(RESPONSES))) == ["well"] * RESPONSES
    bodies = [str(received.body) for received in three.working.requests]
    assert [sum(f"question {n}." in body for body in bodies) for n in range(RESPONSES)] == [1] * RESPONSES
    assert len(bodies) == RESPONSES
    assert len(three.refusing.requests) < RESPONSES / 2, "who refuses again and again is left alone"


async def test_servers_that_can_different_things_are_asked_for_what_both_can(tmp_path: Path) -> None:
    """One of them takes no schemas, which is found out when it is asked."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form: Any = {
        "format": {"type": "json_schema", "name": "n", "schema": {**schema, "additionalProperties": False}}
    }
    with Upstream() as able, Upstream() as less:
        able.default = less.default = Answer('{"a": 1}')
        less.on(lambda body: "response_format" in body, refusal(400, "response_format is not supported"))
        urls = [able.base_url, less.base_url]
        config = Config(
            data_dir=str(tmp_path),
            server=Server(verify=True),
            backends={"two": BackendSettings(base_urls=urls, default=True, dialect="generic")},
            sandbox=Sandbox(driver="none"),
        )
        with Running(config) as server:
            async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-test", max_retries=0) as client:
                for number in range(10):
                    asked = f"question {number}."
                    response = await client.responses.create(model="m", input=asked, text=form)
                    assert response.output_text == '{"a": 1}'
        assert able.requests
        assert less.requests
