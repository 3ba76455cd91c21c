"""How the tests of tools ask, and what they look at."""

from collections.abc import Sequence
from typing import Any

from openai import OpenAI
from tests.api.asking import Json, whole
from tests.scripted import Answer, Called, Upstream


def ask(client: OpenAI, *tools: Json, given: Any = "Hi", **members: Any) -> Json:
    """A response, as JSON."""
    answer: Json = whole(client.responses.create(model="m", input=given, tools=list(tools), **members))  # type: ignore[call-overload]
    return answer


def stream(client: OpenAI, *tools: Json, given: Any = "Hi", **members: Any) -> list[Json]:
    """The events of a response, without obfuscation."""
    events = client.responses.create(  # type: ignore[call-overload]
        model="m",
        input=given,
        tools=list(tools),
        stream=True,
        stream_options={"include_obfuscation": False},
        **members,
    )
    return [whole(event) for event in events]


def emitted(events: Sequence[Json]) -> list[str]:
    """Their types between the beginning and the end of the response, in order."""
    return [event["type"].removeprefix("response.") for event in events[2:-1]]


def only(answer: Json) -> Json:
    """The one item of the output."""
    (item,) = answer["output"]
    return dict(item)


def calls(name: str, arguments: str, size: int = 0) -> Answer:
    """A model that calls a function, in pieces of `size` characters."""
    return Answer(calls=[Called(name, arguments)], size=size)


def offered(upstream: Upstream, which: int = -1) -> dict[str, Json]:
    """The functions that the model was offered, by name."""
    tools = upstream.requests[which].body.get("tools") or []
    return {tool["function"]["name"]: tool["function"] for tool in tools}


def read(upstream: Upstream, which: int = -1) -> list[Json]:
    """The messages that the model read."""
    messages: list[Json] = upstream.requests[which].body["messages"]
    return messages


def result(upstream: Upstream, which: int = -1) -> Any:
    """What the model read of its last call."""
    return [message["content"] for message in read(upstream, which) if message["role"] == "tool"][-1]
