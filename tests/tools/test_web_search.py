"""`web_search` where nothing of the web is kept."""

import pytest
from openai import OpenAI
from tests.api.asking import CLOCK, Json, refused
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, offered

CACHED: Json = {"type": "web_search", "external_web_access": False}


@covers(
    "tool.web_search.external_web_access",
    "tool.web_search_2025_08_26.external_web_access",
)
@pytest.mark.parametrize("kind", ["web_search", "web_search_2025_08_26"])
def test_a_search_in_the_cache_alone_is_accepted_and_there_is_nothing_to_call(
    client: OpenAI, upstream: Upstream, kind: str
) -> None:
    upstream.script(Answer("Hi"))

    answer = ask(client, CLOCK, CACHED | {"type": kind})

    assert list(offered(upstream)) == ["clock"]
    assert answer["tools"][1]["external_web_access"] is False


@covers("tool_choice.web_search")
def test_it_cannot_be_forced(client: OpenAI) -> None:
    for choice in (
        {"type": "web_search"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
    ):
        with refused(400, None, "tool_choice"):
            ask(client, CACHED, tool_choice=choice)
