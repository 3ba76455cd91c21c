"""What is kept of responses: reading, paging, deleting, chaining, and a server that starts again."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import (
    ADD,
    Json,
    events_of,
    fault,
    message,
    refused,
    response,
    some_id,
    user,
    whole,
    wholes,
)
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream


def ask(client: OpenAI, given: Any = "Hi", **members: Any) -> Any:
    return client.responses.create(model="m", input=given, **members)


@pytest.fixture
def chain(client: OpenAI, upstream: Upstream) -> list[Any]:
    """Three responses, each of which continues the one before."""
    upstream.script(*(Answer(f"Answer {n}") for n in range(3)))
    told: list[Any] = []
    for n in range(3):
        told.append(ask(client, f"Question {n}", previous_response_id=told[-1].id if told else None))
    return told


# ---- reading and deleting ---------------------------------------------------------------------------


@covers("endpoint.GET /responses/{response_id}")
def test_a_response_is_read_back_as_it_was_emitted(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="Hm", calls=[Called("add", '{"a":1,"b":2}')]))

    told = ask(client, tools=[ADD], metadata={"a": "b"}, instructions="Be brief.", tool_choice="required")

    assert whole(client.responses.retrieve(told.id)) == whole(told)


@covers("endpoint.DELETE /responses/{response_id}")
def test_a_deleted_response_is_gone(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)

    deleted = http.delete(f"/v1/responses/{told.id}")

    assert deleted.json() == {"id": told.id, "object": "response", "deleted": True}
    for again in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with refused(404, None, "id"):
            again(told.id)
    with refused(400, "previous_response_not_found", "previous_response_id"):
        ask(client, previous_response_id=told.id)
    with refused(404, None, "input"):
        ask(client, [{"type": "item_reference", "id": told.output[0].id}])


@covers("error.response_not_found")
@pytest.mark.parametrize("unknown", ["resp_x", "x" * 3000, "resp_%00", "..%2f..", "%F0%9F", "conv_1", "'--"])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items")])
def test_an_unknown_response_is_not_found(http: httpx2.Client, method: str, path: str, unknown: str) -> None:
    told = http.request(method, f"/v1/responses/{unknown}{path}")

    assert told.status_code == 404
    assert told.json()["error"]["type"] == "invalid_request_error"


def test_only_a_background_response_can_be_cancelled(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)

    with refused(400):
        client.responses.cancel(told.id)
    with refused(404, None, "id"):
        client.responses.cancel("resp_unknown")


def test_only_a_background_response_can_be_streamed_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)

    with refused(400, None, "stream"):
        client.responses.retrieve(told.id, stream=True, starting_after=1)


@covers("query.responses.retrieve.include", "query.responses.retrieve.include_obfuscation")
def test_reading_back_takes_all_members_of_the_query(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)

    again = client.responses.retrieve(
        told.id,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        extra_query={"include_obfuscation": "false", "stream": "false"},
    )

    assert whole(again) == whole(told)


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("include[]=bogus", "invalid_value", "include[0]"),
        ("include=message.output_text.logprobs,bogus", "invalid_value", "include[1]"),
        ("bogus=1", "unknown_parameter", "bogus"),
    ],
)
def test_a_wrong_query_is_refused(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, query: str, code: str, param: str
) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)

    for path in ("", "/input_items"):
        refusal = http.get(f"/v1/responses/{told.id}{path}?{query}")
        assert fault(refusal) == (400, "invalid_request_error", code, param)


# ---- input items ------------------------------------------------------------------------------------


@covers("endpoint.GET /responses/{response_id}/input_items")
def test_input_items_are_listed_newest_first(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client, [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}])

    page = http.get(f"/v1/responses/{told.id}/input_items").json()

    items = [user("Hi"), user("Be brief.", role="developer")]
    assert page == {
        "object": "list",
        "data": items,
        "first_id": page["data"][0]["id"],
        "last_id": page["data"][1]["id"],
        "has_more": False,
    }


@covers("endpoint.GET /responses/{response_id}/input_items")
def test_the_input_of_a_chained_response_includes_what_came_before(client: OpenAI, chain: list[Any]) -> None:
    items = wholes(client.responses.input_items.list(chain[2].id, order="asc"))

    assert items == [
        user("Question 0"),
        message("Answer 0"),
        user("Question 1"),
        message("Answer 1"),
        user("Question 2"),
    ]
    assert [items[1]["id"], items[3]["id"]] == [told.output[0].id for told in chain[:2]]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@covers(
    "query.responses.input_items.limit",
    "query.responses.input_items.order",
    "query.responses.input_items.after",
)
def test_the_sdk_pages_through_the_whole_input(
    client: OpenAI, chain: list[Any], order: Any, limit: int
) -> None:
    every = [item.id for item in client.responses.input_items.list(chain[2].id, order="asc", limit=100)]

    paged = [item.id for item in client.responses.input_items.list(chain[2].id, order=order, limit=limit)]

    assert len(set(every)) == 5
    assert paged == (every if order == "asc" else every[::-1])


@covers("query.responses.input_items.after")
def test_a_page_begins_behind_an_item(client: OpenAI, chain: list[Any]) -> None:
    every = [item.id for item in client.responses.input_items.list(chain[2].id, order="asc")]

    page = client.responses.input_items.list(chain[2].id, order="asc", after=every[1], limit=2)
    end = client.responses.input_items.list(chain[2].id, order="asc", after=every[-1])

    assert ([item.id for item in page.data], page.has_more) == (every[2:4], True)
    assert (end.data, end.has_more) == ([], False)


@covers("query.responses.input_items.include")
def test_input_items_take_an_include(client: OpenAI, chain: list[Any]) -> None:
    page = client.responses.input_items.list(chain[0].id, include=["message.input_image.image_url"])

    assert wholes(page.data) == [user("Question 0")]


WRONG_PAGES = [
    ("limit=0", 400, "integer_below_min_value", "limit"),
    ("limit=101", 400, "integer_above_max_value", "limit"),
    ("limit=ten", 400, "invalid_type", "limit"),
    ("limit=", 400, "invalid_type", "limit"),
    ("limit=" + "9" * 5000, 400, "invalid_type", "limit"),
    ("order=up", 400, "invalid_value", "order"),
    ("after=msg_unknown", 404, None, "after"),
    ("before=msg_unknown", 400, "unknown_parameter", "before"),
]


@covers("error.integer_above_max_value.limit")
@pytest.mark.parametrize(("query", "status", "code", "param"), WRONG_PAGES, ids=lambda value: str(value)[:20])
def test_a_wrong_page_is_refused(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, query: str, status: int, code: Any, param: str
) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client)
    conversation = client.conversations.create()

    for path in (f"responses/{told.id}/input_items", f"conversations/{conversation.id}/items"):
        assert fault(http.get(f"/v1/{path}?{query}")) == (status, "invalid_request_error", code, param)


# ---- chains -----------------------------------------------------------------------------------------


def test_a_chain_outlives_the_middle_of_it(client: OpenAI, upstream: Upstream, chain: list[Any]) -> None:
    client.responses.delete(chain[1].id)
    upstream.script(Answer("Answer 3"))

    again = client.responses.retrieve(chain[2].id)
    ask(client, "Question 3", previous_response_id=chain[2].id)

    assert whole(again) == whole(chain[2])
    assert [said["content"] for said in upstream.last.body["messages"]][-2:] == ["Answer 2", "Question 3"]


def test_a_response_in_a_chain_says_what_it_continues(chain: list[Any]) -> None:
    assert whole(chain[1]) == response(message("Answer 1"), previous_response_id=chain[0].id)


def test_a_replayed_item_keeps_its_id(client: OpenAI, upstream: Upstream) -> None:
    """As agents without previous_response_id do it: the output is sent again as input."""
    upstream.script(Answer("Hello"), Answer("Bye"))
    first = ask(client)
    replayed = whole(first.output[0])

    second = ask(client, [{"role": "user", "content": "Hi"}, replayed, {"role": "user", "content": "Bye"}])

    items = wholes(client.responses.input_items.list(second.id, order="asc"))
    assert items == [user("Hi"), replayed, user("Bye")]
    assert whole(client.responses.retrieve(first.id)) == whole(first)


def test_an_id_of_the_clients_own_is_kept(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    mine = {"id": "msg_01a1-eb41", "type": "message", "role": "user", "content": "Hi"}

    first, second = ask(client, [mine]), ask(client, [mine | {"content": "Not the same"}])

    assert wholes(client.responses.input_items.list(first.id)) == [user("Hi", id="msg_01a1-eb41")]
    assert wholes(client.responses.input_items.list(second.id)) == [user("Not the same", id="msg_01a1-eb41")]


def test_a_failed_response_that_said_something_is_kept_and_can_be_continued(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello", cut_after=2), Answer("Again"))
    told = http.post("/v1/responses", json={"model": "m", "input": "Hi", "stream": True})
    failed = client.responses.retrieve(events_of(told.content)[-1]["response"]["id"])

    again = ask(client, "Go on", previous_response_id=failed.id)

    assert (failed.status, failed.output_text, again.status) == ("failed", "Hello", "completed")


# ---- a server that starts again ---------------------------------------------------------------------


def test_everything_is_still_there_when_the_server_starts_again(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(
        Answer("Hello", reasoning="Hm"), Answer("Kept"), Answer("Not stored"), Answer("Hello again")
    )
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        given: Any = [{"role": "user", "content": "Yo"}]
        conversation = client.conversations.create(metadata={"a": "b"}, items=given)
        first = ask(client, metadata={"c": "d"})
        told = ask(client, "And?", conversation=conversation.id)
        lost = ask(client, store=False)
        items = wholes(client.conversations.items.list(conversation.id))

    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        assert whole(client.responses.retrieve(first.id)) == whole(first)
        assert whole(client.responses.retrieve(told.id)) == whole(told)
        assert whole(client.conversations.retrieve(conversation.id)) == whole(conversation)
        assert wholes(client.conversations.items.list(conversation.id)) == items
        with refused(404, None, "id"):
            client.responses.retrieve(lost.id)
        ask(client, "And now?", previous_response_id=first.id)

    assert [said["content"] for said in upstream.last.body["messages"]] == ["Hi", "Hello", "And now?"]


def test_sealed_reasoning_opens_after_the_server_starts_again(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer(reasoning="I should add.", calls=[Called("add")]), Answer("3"))
    include: Any = ["reasoning.encrypted_content"]
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        told = ask(client, tools=[ADD], store=False, include=include)

    sealed: list[Json] = [{k: v for k, v in whole(item).items() if k != "content"} for item in told.output]
    given = [*sealed, {"type": "function_call_output", "call_id": "call_0", "output": "3"}]
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        again = ask(client, [{"role": "user", "content": "1+2?"}, *given], store=False)

    assert sealed[0]["id"] == some_id("rs")
    assert again.output_text == "3"
