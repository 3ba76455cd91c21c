"""A response goes when it is done.

What is left in cycles stays until a collection of all that there is. That holds the event loop while it
looks: the longer, the more a long history has left.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI
from tests.api.asking import ADD
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Upstream


@contextmanager
def kept_garbage() -> Iterator[list[object]]:
    """What was garbage of ours when the block was left, and not gone by itself."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [thing for thing in gc.garbage if _is_ours(thing)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _is_ours(thing: object) -> bool:
    return any(str(getattr(named, "__module__", "")).startswith("antiphon") for named in (thing, type(thing)))


def _plain(client: OpenAI) -> None:
    client.responses.create(model="m", input="Hi", store=False)


def _chain(client: OpenAI) -> None:
    first = client.responses.create(model="m", input="Hi")
    client.responses.create(model="m", input="And?", previous_response_id=first.id)


def _stream(client: OpenAI) -> None:
    for _ in client.responses.create(model="m", input="Hi", stream=True):
        pass


def _background(client: OpenAI) -> None:
    for _ in client.responses.create(model="m", input="Hi", background=True, stream=True):
        pass


def _call(client: OpenAI) -> None:
    client.responses.create(model="m", input="2 + 3?", tools=[ADD])  # type: ignore[list-item]


def _search(client: OpenAI) -> None:
    """Tools that are found by the server."""
    hidden = ADD | {"defer_loading": True}
    tools = [{"type": "tool_search"}, hidden]
    client.responses.create(model="m", input="2 + 3?", tools=tools)  # type: ignore[arg-type]


def _refused(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.responses.create(model="m", input="Hi", conversation="conv_0")


@pytest.mark.parametrize("ask", [_plain, _chain, _stream, _background, _call, _search, _refused])
def test_nothing_of_a_response_is_left_in_a_cycle(
    client: OpenAI, upstream: Upstream, ask: Callable[[OpenAI], None]
) -> None:
    upstream.default = Answer("Hello")
    if ask is _call:
        upstream.default = Answer(calls=[Called("add", '{"a": 2, "b": 3}')])
    ask(client)  # what is made once stays

    with kept_garbage() as left:
        for _ in range(3):
            ask(client)

    assert [type(thing) for thing in left] == []


def test_nothing_of_a_server_that_has_ended_is_left_in_a_cycle(upstream: Upstream, tmp_path: Path) -> None:
    """Nor of its connections to upstreams, which go also when nobody has used them for a while."""
    upstream.default = Answer("Hello")

    with (
        kept_garbage() as left,
        Running(config_for(upstream, tmp_path)) as running,
        checked_client(running.url) as client,
    ):
        _plain(client)

    assert [type(thing) for thing in left] == []
