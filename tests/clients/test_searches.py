"""What clients make of searches on the web: the AI SDK's `openai.tools.webSearch`, and the Agents SDK's
`WebSearchTool`."""

import asyncio
from pathlib import Path

import pytest
from agents import Agent, OpenAIResponsesModel, RunConfig, Runner, WebSearchTool
from openai import AsyncOpenAI
from openai.types.responses.web_search_tool import Filters
from tests.clients.node import Node
from tests.conftest import Running
from tests.scripted import Answer, Upstream
from tests.tools.using import calls, offered
from tests.tools.webs import configured, engine, searching, site
from tests.website import Website

__all__ = ["configured", "engine", "searching", "site"]

LOOK = calls("web_search", '{"query": "why boats float"}')


@pytest.mark.parametrize("version", ["6", "7"])
def test_the_ai_sdk_searches_the_web_and_reads_its_sources(
    node: Node, searching: Running, upstream: Upstream, tmp_path: Path, site: Website, version: str
) -> None:
    upstream.script(LOOK, calls("open_page", '{"url": "1"}'), Answer("They push water away【1】."))

    told = node.ask("ai_sdk.mjs", f"searchedWeb@{version}", searching.url, tmp_path)

    url = f"{site.url}/boats"
    assert told["text"] == f"They push water away ([127.0.0.1]({url}))."
    assert {source["url"] for source in told["sources"]} == {url}
    assert [action["type"] for action in told["actions"]] == ["search", "openPage"]


async def test_the_agents_sdk_searches_the_web_and_goes_on(
    searching: Running, upstream: Upstream, site: Website
) -> None:
    upstream.script(LOOK, Answer("They push water away【1】."), Answer("Sure【1】."))
    tool = WebSearchTool(filters=Filters(allowed_domains=["127.0.0.1"]), search_context_size="low")
    async with (
        asyncio.timeout(30),
        AsyncOpenAI(base_url=f"{searching.url}/v1", api_key="sk-test", max_retries=0) as client,
    ):
        agent = Agent("Ann", model=OpenAIResponsesModel("m", client), tools=[tool])
        config = RunConfig(tracing_disabled=True)
        first = await Runner.run(agent, "Why do boats float?", run_config=config)
        said = [*first.to_input_list(), {"role": "user", "content": "Sure?"}]
        second = await Runner.run(agent, said, run_config=config)  # type: ignore[arg-type]

    assert set(offered(upstream, 0)) == {"web_search", "open_page"}
    (url,) = (
        annotation.url  # type: ignore[union-attr]
        for item in first.new_items
        for part in getattr(item.raw_item, "content", None) or ()
        for annotation in part.annotations
    )
    assert url == f"{site.url}/boats"
    assert second.final_output.startswith("Sure")
