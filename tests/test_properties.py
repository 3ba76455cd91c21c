"""Whatever is asked, and whatever the model answers: what must always hold.

Requests are made from the types (`strategies`), and go through a real server with a scripted upstream. The
transport checks each answer: the SDK's types, the fold of the log, what GET returns (`wire`).

`ANTIPHON_EXPLORE=500 pytest tests/test_properties.py` tries so many new cases instead of a few known ones.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.asking import JSON_TYPE
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream
from tests.strategies import (
    ANSWERS,
    FAILURES,
    INPUTS,
    ITEM_LISTS,
    REQUESTS,
    TEXT,
    damaged,
    objects,
    values,
)
from tests.wire import CheckedTransport, Checker

from antiphon.protocol.counting import CountTokens
from antiphon.protocol.items import decode_item
from antiphon.protocol.request import Include
from antiphon.protocol.wire import Metadata, encode

Json = Any

GOOD = Answer("ok")
EXPLORE = int(os.environ.get("ANTIPHON_EXPLORE", "0"))


def trying(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=EXPLORE or examples,
        derandomize=not EXPLORE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class World:
    """The server, and what it keeps."""

    def __init__(self, http: httpx2.Client, upstream: Upstream, database: Path) -> None:
        self.http = http
        self._upstream = upstream
        self._database = database

    def ask(self, body: Json, answer: Answer) -> httpx2.Response:
        """The answer, read to its end, to a request whose upstream says `answer` as often as it is asked."""
        return self.post("responses", body, answer)

    def post(self, path: str, body: Json, answer: Answer = GOOD) -> httpx2.Response:
        self._upstream.reset()
        self._upstream.lenient = True
        self._upstream.default = answer
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.http.post(f"/v1/{path}", content=content, headers=JSON_TYPE)

    @property
    def asked(self) -> int:
        """How often the upstream was asked."""
        return len(self._upstream.requests)

    def kept(self) -> dict[str, int]:
        """The rows of every table but what is written a moment after the responses that it tells of."""
        with closing(sqlite3.connect(self._database)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            names -= {"activity", "recordings"}
            return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


@pytest.fixture(scope="module")
def world(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("data")
    config = config_for(_upstream, data_dir)
    transport = CheckedTransport(Checker())
    with (
        Running(config) as running,
        httpx2.Client(base_url=running.url, transport=transport, timeout=30) as http,
    ):
        yield World(http, _upstream, data_dir / "antiphon.db")


def items_of(world: World, response_id: str) -> list[Json]:
    """The items, with all that is known of them."""
    params: Any = {"order": "asc", "limit": 100, "include[]": get_args(Include)}
    answer = world.http.get(f"/v1/responses/{response_id}/input_items", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def response_of(answer: httpx2.Response) -> Json:
    """The response that an answer is, or that its stream tells at the end."""
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()
    return msgspec.json.decode(answer.content.rpartition(b"\ndata: ")[2])["response"]


@trying(150)
@given(body=REQUESTS, answer=ANSWERS)
def test_a_valid_request_is_answered_or_refused_in_words(world: World, body: Json, answer: Answer) -> None:
    told = world.ask(body, answer)

    assert told.status_code < 500 or (told.status_code, told.json()["error"]["type"]) == (502, "server_error")
    if told.status_code == 200:
        assert response_of(told)["status"] in ("completed", "incomplete", "failed")


@trying(100)
@given(body=REQUESTS, answer=FAILURES)
def test_a_broken_upstream_is_reported_in_words(world: World, body: Json, answer: Answer) -> None:
    told = world.ask(body, answer)

    assert told.status_code != 500
    if told.status_code == 200:
        assert response_of(told)["status"] in ("completed", "incomplete", "failed")


@trying(80)
@given(said=INPUTS)
def test_what_is_stored_is_listed_and_can_be_sent_again(world: World, said: Json) -> None:
    answer = Answer("ok")
    told = world.ask({"model": "m", "input": said}, answer)
    if told.status_code != 200:
        return
    listed = items_of(world, told.json()["id"])

    for item in listed:
        assert encode(decode_item(msgspec.json.encode(item))) == msgspec.json.encode(item)
    again = world.ask({"model": "m", "input": listed}, answer)
    assert again.status_code == 200, again.text
    assert items_of(world, again.json()["id"]) == listed


@trying(60)
@given(first=INPUTS, second=INPUTS, answer=ANSWERS)
def test_a_chain_reads_all_that_was_said(world: World, first: Json, second: Json, answer: Answer) -> None:
    told = world.ask({"model": "m", "input": first}, answer)
    if told.status_code != 200 or told.json()["status"] != "completed":
        return
    output = told.json()["output"]

    after = world.ask(
        {"model": "m", "input": second, "previous_response_id": told.json()["id"]}, Answer("ok")
    )

    if after.status_code == 200:
        before = [*items_of(world, told.json()["id"]), *output]
        assert items_of(world, after.json()["id"])[: len(before)] == before


@trying(250)
@given(data=st.data(), body=REQUESTS)
def test_a_damaged_request_is_refused_and_leaves_nothing(
    world: World, data: st.DataObject, body: Json
) -> None:
    damage = data.draw(damaged(body))
    before = world.kept()

    told = world.ask(damage, Answer("ok"))

    assert told.status_code < 500
    if told.status_code != 200:
        assert set(told.json()["error"]) == {"message", "type", "param", "code"}
        assert world.asked == 0
        assert world.kept() == before


BODIES = st.one_of(
    st.tuples(
        st.just("conversations"), st.fixed_dictionaries({"items": ITEM_LISTS, "metadata": values(Metadata)})
    ),
    st.tuples(st.just("prompts"), st.fixed_dictionaries({"instructions": TEXT, "input": ITEM_LISTS})),
    st.tuples(st.just("responses/input_tokens"), objects(CountTokens, model=st.just("m"), input=INPUTS)),
    st.tuples(st.just("responses/compact"), REQUESTS),
)


@trying(120)
@given(data=st.data(), asked=BODIES)
def test_damage_to_other_bodies_is_refused_too(world: World, data: st.DataObject, asked: Json) -> None:
    path, body = asked
    before = world.kept()

    told = world.post(path, data.draw(damaged(body)))

    assert told.status_code < 500
    if told.status_code != 200:
        assert set(told.json()["error"]) == {"message", "type", "param", "code"}
        assert world.kept() == before


@trying(60)
@given(items=ITEM_LISTS)
def test_what_a_conversation_keeps_is_what_a_response_would(world: World, items: Json) -> None:
    made = world.post("conversations", {"items": items})
    if made.status_code != 200:
        return
    listed = world.http.get(f"/v1/conversations/{made.json()['id']}/items", params={"order": "asc"})

    for item in listed.json()["data"]:
        assert encode(decode_item(msgspec.json.encode(item))) == msgspec.json.encode(item)
    again = world.post("conversations", {"items": listed.json()["data"]})
    kept = world.http.get(f"/v1/conversations/{again.json()['id']}/items", params={"order": "asc"})
    assert kept.json()["data"] == listed.json()["data"]
