"""A server that is killed at any event of a search: what was found is kept and cited, and what was cut is
searched again by the model that reads so."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json, events_of, whole
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Answer, Upstream
from tests.tools.embedders import ServedEmbedder
from tests.tools.libraries import FILES, shelve
from tests.tools.test_file_citations import SAID, check_order, names_read, said, wanted
from tests.tools.test_file_search import LOOK, QUESTION, RESULTS

FOUND = "【1】"


def knows(body: Any) -> bool:
    """Whether the model has read what a search found."""
    return any(message["role"] == "tool" and FOUND in str(message["content"]) for message in body["messages"])


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedEmbedder]:
    with ServedEmbedder() as embedder:
        monkeypatch.setenv("ANTIPHON_EMBEDDINGS_BASE_URL", f"{embedder.url}/v1")
        monkeypatch.setenv("ANTIPHON_EMBEDDINGS_MODEL", "words")
        yield embedder


@pytest.fixture
def killed(upstream: Upstream, tmp_path: Path, embedder: ServedEmbedder) -> Iterator[Killed]:
    upstream.on(knows, Answer(SAID, size=9))
    upstream.on(lambda body: not knows(body), LOOK)
    with Killed(tmp_path, upstream) as server:
        yield server


def asked(client: OpenAI, tool: Json) -> Any:
    """The stream of a response in the background."""
    return client.responses.create(  # type: ignore[call-overload]
        model="m", input="Hi", tools=[tool], include=[RESULTS], background=True, stream=True
    )


def log(server: Killed, response_id: str) -> list[Json]:
    """All events of a response."""
    query = {"stream": "true", "include[]": RESULTS, "include_obfuscation": "false"}
    return events_of(httpx2.get(f"{server.url}/v1/responses/{response_id}", params=query, timeout=20).content)


def closed(events: Sequence[Json], kind: str) -> bool:
    """Whether an item of this type was closed."""
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    return kind in done


def survive(server: Killed, client: OpenAI, tool: Json, place: int) -> tuple[list[Json], Json]:
    """Ask, kill the server when the event at that place was read, start it again. What was read, and the
    response in the end."""
    read: list[Json] = []
    with contextlib.suppress(Exception), asked(client, tool) as events:
        for event in events:
            read.append(whole(event))
            if len(read) > place:
                server.kill()
                break
    assert len(read) == place + 1
    server.start()
    done = client.responses.retrieve(
        ended(client, read[0]["response"]["id"]).id, include=["file_search_call.results"]
    )
    return read, whole(done)


@pytest.mark.chaos
def test_killed_at_any_event_it_ends_with_one_search_that_is_cited(
    killed: Killed, upstream: Upstream, embedder: ServedEmbedder
) -> None:
    with checked_client(killed.url) as client:
        tool = {"type": "file_search", "vector_store_ids": [shelve(client, FILES)]}
        with asked(client, tool) as events:
            undisturbed = [whole(event) for event in events]
        for place in range(len(undisturbed) - 1):
            before = embedder.asked.count(QUESTION)
            read, done = survive(killed, client, tool, place)
            events = log(killed, done["id"])

            for event, kept in zip(read, events, strict=False):
                assert (event["type"], event["sequence_number"]) == (kept["type"], kept["sequence_number"])
            found = [item for item in done["output"] if item["type"] == "file_search_call"]
            assert [item["status"] for item in found if item["results"]] == ["completed"], place
            assert all(item["status"] in ("completed", "incomplete") for item in found), place
            searches = embedder.asked.count(QUESTION) - before
            assert searches <= 2, place
            if closed(read, "file_search_call"):
                assert (len(found), searches) == (1, 1), "what was found is not searched again"
            assert done["status"] == "completed"
            assert said(done) == wanted(names_read(upstream)), place
            if sum(item["type"] == "message" for item in done["output"]) == 1:
                assert check_order(events) == 4, place


def test_killed_while_it_searches_the_call_is_incomplete_and_the_model_searches_again(
    killed: Killed, upstream: Upstream, embedder: ServedEmbedder
) -> None:
    with checked_client(killed.url) as client:
        tool = {"type": "file_search", "vector_store_ids": [shelve(client, FILES)]}
        embedder.mood = "hanging"
        read: list[Json] = []
        with contextlib.suppress(Exception), asked(client, tool) as events:
            for event in events:
                read.append(whole(event))
                if event.type == "response.file_search_call.searching":
                    killed.kill()
        embedder.mood = "well"
        killed.start()
        done = whole(ended(client, read[0]["response"]["id"]))

    statuses = [(item["type"], item["status"]) for item in done["output"]]
    assert statuses == [
        ("file_search_call", "incomplete"),
        ("file_search_call", "completed"),
        ("message", "completed"),
    ]
    assert done["output"][0]["queries"] == []
    assert said(done) == wanted(names_read(upstream))
