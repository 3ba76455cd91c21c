"""/v1/conversations: all eight operations, and how responses write to a conversation."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from tests.api.asking import (
    ADD,
    Json,
    Like,
    Now,
    called,
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
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.config import Server, hash_key

CONVERSATION = some_id("conv", 48)


def say(text: str, **members: Any) -> Json:
    """A message of the user, as clients send it."""
    return {"role": "user", "content": text, **members}


def conversation(metadata: Json | None = None, **members: Any) -> Json:
    base = {"id": CONVERSATION, "object": "conversation", "created_at": Now(), "metadata": metadata or {}}
    return base | members


def items_of(client: OpenAI, conversation_id: str) -> list[Json]:
    """All items, oldest first."""
    return wholes(client.conversations.items.list(conversation_id, order="asc", limit=100))


@pytest.fixture
def conv(client: OpenAI) -> str:
    return client.conversations.create(items=[say("Yo")]).id  # type: ignore[list-item]


def ask(client: OpenAI, given: Any, conv: Any, **members: Any) -> Any:
    return client.responses.create(model="m", input=given, conversation=conv, **members)


# ---- conversations ----------------------------------------------------------------------------------


@covers(
    "endpoint.POST /conversations",
    "body.conversations.create.items",
    "body.conversations.create.metadata",
)
@pytest.mark.parametrize(
    "body", [None, {}, {"items": []}, {"items": None, "metadata": None}, {"metadata": {}}], ids=json.dumps
)
def test_an_empty_conversation_is_created(http: httpx2.Client, body: Any) -> None:
    told = http.post("/v1/conversations", json=body) if body is not None else http.post("/v1/conversations")

    assert told.json() == conversation()


@covers("endpoint.POST /conversations", "endpoint.GET /conversations/{conversation_id}")
def test_a_conversation_is_read_back(client: OpenAI) -> None:
    told = client.conversations.create(metadata={"a": "b"}, items=[say("One"), say("Two")])  # type: ignore[list-item]

    assert whole(told) == conversation({"a": "b"})
    assert whole(client.conversations.retrieve(told.id)) == whole(told)
    assert items_of(client, told.id) == [user("One"), user("Two")]


@covers("endpoint.POST /conversations/{conversation_id}", "body.conversations.update.metadata")
def test_an_update_replaces_all_metadata(client: OpenAI, http: httpx2.Client) -> None:
    told = client.conversations.create(metadata={"a": "b", "c": "d"})

    updated = client.conversations.update(told.id, metadata={"e": "f"})

    assert whole(updated) == whole(told) | {"metadata": {"e": "f"}}
    assert whole(client.conversations.retrieve(told.id)) == whole(updated)
    assert http.post(f"/v1/conversations/{told.id}", json={"metadata": None}).json()["metadata"] == {}
    assert fault(http.post(f"/v1/conversations/{told.id}", json={})) == (
        400,
        "invalid_request_error",
        "missing_required_parameter",
        "metadata",
    )


@covers("endpoint.DELETE /conversations/{conversation_id}")
def test_a_deleted_conversation_is_gone(client: OpenAI, conv: str) -> None:
    (item,) = client.conversations.items.list(conv).data

    told = client.conversations.delete(conv)

    assert whole(told) == {"id": conv, "object": "conversation.deleted", "deleted": True}
    gone: list[Callable[[], object]] = [
        lambda: client.conversations.delete(conv),
        lambda: client.conversations.retrieve(conv),
        lambda: client.conversations.update(conv, metadata={}),
        lambda: client.conversations.items.list(conv),
        lambda: client.conversations.items.create(conv, items=[say("Hi")]),  # type: ignore[list-item]
        lambda: client.conversations.items.retrieve(item.id or "", conversation_id=conv),
        lambda: client.conversations.items.delete(item.id or "", conversation_id=conv),
        lambda: ask(client, "Hi", conv),
    ]
    for use in gone:
        with refused(404):
            use()


def test_the_items_of_a_deleted_conversation_are_kept(client: OpenAI, upstream: Upstream, conv: str) -> None:
    upstream.script(Answer("Hello"), Answer("You said yo."))
    told = ask(client, "Hi", conv)
    (item, *_) = items_of(client, conv)

    client.conversations.delete(conv)
    client.responses.create(model="m", input=[{"type": "item_reference", "id": item["id"]}])

    assert upstream.last.body["messages"] == [{"role": "user", "content": "Yo"}]
    assert whole(client.responses.retrieve(told.id)) == whole(told)


@covers("error.conversation_not_found")
@pytest.mark.parametrize("unknown", ["conv_x", "x" * 3000, "conv_%00", "..%2f..", "resp_1", "'--"])
def test_an_unknown_conversation_is_not_found(http: httpx2.Client, unknown: str) -> None:
    path = f"/v1/conversations/{unknown}"
    asked = [
        http.get(path),
        http.delete(path),
        http.post(path, json={"metadata": {}}),
        http.get(f"{path}/items"),
        http.post(f"{path}/items", json={"items": []}),
        http.get(f"{path}/items/msg_1"),
        http.delete(f"{path}/items/msg_1"),
    ]

    assert [told.status_code for told in asked] == [404] * len(asked)


WRONG_BODIES: list[tuple[Any, str | None, str | None]] = [
    ({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "metadata"),
    ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
    ({"metadata": {"k" * 65: "v"}}, "property_name_above_max_length", f"metadata.{'k' * 65}"),
    ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
    ({"metadata": []}, "invalid_type", "metadata"),
    ({"items": [say("x")] * 21}, "array_above_max_length", "items"),
    ({"items": "x"}, "invalid_type", "items"),
    ({"items": [7]}, "invalid_type", "items[0]"),
    ({"items": [{"type": "bogus"}]}, "invalid_value", "items[0]"),
    ({"items": [say("x"), {"role": "bogus", "content": "x"}]}, "invalid_value", "items[1]"),
    ({"items": [say("x", id="fc_1")]}, "invalid_id_prefix", "items[0].id"),
    ({"items": [say("x", id="msg_1"), say("y", id="msg_1")]}, None, "items"),
    ({"items": [{"type": "compaction_trigger"}]}, "invalid_value", "items[0]"),
    ({"item": []}, "unknown_parameter", "item"),
    ([], None, None),
    (7, None, None),
]


@covers(
    "error.object_above_max_properties.metadata",
    "error.string_above_max_length.metadata",
    "error.property_name_above_max_length.metadata",
    "error.array_above_max_length.items",
)
@pytest.mark.parametrize(("body", "code", "param"), WRONG_BODIES, ids=lambda value: json.dumps(value)[:50])
def test_a_wrong_conversation_is_refused(
    http: httpx2.Client, body: Any, code: str | None, param: str | None
) -> None:
    assert fault(http.post("/v1/conversations", json=body)) == (400, "invalid_request_error", code, param)


def test_the_limits_themselves_are_allowed(client: OpenAI) -> None:
    full = {f"{n:064}": "v" * 512 for n in range(16)}

    told = client.conversations.create(metadata=full, items=[say(str(n)) for n in range(20)])  # type: ignore[misc]

    assert whole(told)["metadata"] == full
    assert items_of(client, told.id) == [user(str(n)) for n in range(20)]


# ---- items ------------------------------------------------------------------------------------------

FORMS: dict[str, tuple[Json, Json]] = {
    "a text": (say("Hi"), user("Hi")),
    "parts": (
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "data:,"},
            ],
        },
        user(
            "",
            content=[
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "detail": "auto", "image_url": "data:,"},
            ],
        ),
    ),
    "a developer": ({"role": "developer", "content": "Hi"}, user("Hi", role="developer")),
    "a system message": ({"type": "message", "role": "system", "content": "Hi"}, user("Hi", role="system")),
    "the assistant": ({"role": "assistant", "content": "Hi"}, message("Hi")),
    "the assistant's phase": (
        {"role": "assistant", "content": "Hi", "phase": "commentary"},
        message("Hi", phase="commentary"),
    ),
    "the assistant, cut off": (
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "incomplete",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        },
        message("Hi", id="msg_1", status="incomplete"),
    ),
    "a call": (
        {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
        called("add", "{}", "call_1"),
    ),
    "an output": (
        {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        {
            "id": some_id("fco"),
            "type": "function_call_output",
            "call_id": "call_1",
            "output": "3",
            "status": "completed",
        },
    ),
    "reasoning": (
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
    ),
}


@covers(
    "endpoint.POST /conversations/{conversation_id}/items",
    "endpoint.GET /conversations/{conversation_id}/items/{item_id}",
    "body.conversations.items.create.items",
)
@pytest.mark.parametrize(("given", "kept"), FORMS.values(), ids=FORMS.keys())
def test_items_are_kept_in_the_form_of_output(
    client: OpenAI, http: httpx2.Client, given: Json, kept: Json
) -> None:
    conv = client.conversations.create().id

    include = {"include[]": "message.input_image.image_url"}
    page = http.post(f"/v1/conversations/{conv}/items", params=include, json={"items": [given]}).json()

    item_id = page["data"][0]["id"]
    ends = {"first_id": item_id, "last_id": item_id, "has_more": False}
    assert page == {"object": "list", "data": [kept], **ends}
    url = f"/v1/conversations/{conv}/items"
    assert http.get(f"{url}/{item_id}", params=include).json() == page["data"][0]
    assert http.get(url, params=include).json()["data"] == [kept]


@covers("item.conversation.item_reference")
def test_a_reference_brings_the_item_that_it_names(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"), Answer("Bye"))
    made = client.responses.create(model="m", input=[say("Hi", id="msg_mine")])  # type: ignore[list-item]
    spoken, kept = made.output[0].id or "", [user("Hi", id="msg_mine"), message("Hello")]

    refs: Any = [{"type": "item_reference", "id": "msg_mine"}, {"id": spoken}]
    conv = client.conversations.create(items=refs).id
    other = client.conversations.create().id
    added = client.conversations.items.create(other, items=refs)

    assert items_of(client, conv) == wholes(added.data) == items_of(client, other) == kept
    ask(client, "And?", conv)
    assert [said["content"] for said in upstream.last.body["messages"]] == ["Hi", "Hello", "And?"]
    for item_id in ("msg_mine", spoken):
        client.conversations.items.delete(item_id, conversation_id=conv)
    assert client.responses.retrieve(made.id).output[0].id == spoken
    assert items_of(client, other) == kept


@covers("item.conversation.item_reference", "error.item_not_found")
@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/conversations/{}/items"])
def test_a_reference_to_what_is_not_there_is_refused_whole(
    client: OpenAI, http: httpx2.Client, conv: str, path: str
) -> None:
    body = {"items": [say("Hi"), {"type": "item_reference", "id": "msg_nowhere"}]}

    told = http.post(path.format(conv), json=body)

    assert fault(told) == (404, "invalid_request_error", None, "items")
    assert items_of(client, conv) == [user("Yo")]


@covers("item.conversation.item_reference")
def test_a_reference_to_another_projects_item_leads_nowhere(upstream: Upstream, tmp_path: Path) -> None:
    server = Server(verify=True, keys={"one": hash_key("k1"), "two": hash_key("k2")})
    with (
        Running(config_for(upstream, tmp_path, server)) as running,
        checked_client(running.url, "k1") as mine,
        checked_client(running.url, "k2") as other,
    ):
        mine.conversations.create(items=[say("Yo", id="msg_mine")])  # type: ignore[list-item]
        with refused(404, None, "items"):
            other.conversations.create(items=[{"type": "item_reference", "id": "msg_mine"}])


@covers("item.conversation.compaction_trigger")
@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/conversations/{}/items"])
def test_a_compaction_is_not_asked_of_a_conversation(
    client: OpenAI, http: httpx2.Client, conv: str, path: str
) -> None:
    told = http.post(path.format(conv), json={"items": [say("Hi"), {"type": "compaction_trigger"}]})

    assert fault(told) == (400, "invalid_request_error", "invalid_value", "items[1]")
    assert "POST /responses" in told.json()["error"]["message"]
    assert items_of(client, conv) == [user("Yo")]


@covers("query.conversations.items.create.include", "query.conversations.items.retrieve.include")
def test_items_take_an_include(client: OpenAI, conv: str) -> None:
    include: Any = ["message.input_image.image_url", "reasoning.encrypted_content"]

    (made,) = client.conversations.items.create(conv, items=[say("Hi")], include=include).data  # type: ignore[list-item]
    read = client.conversations.items.retrieve(made.id or "", conversation_id=conv, include=include)
    (first, _) = client.conversations.items.list(conv, include=include)

    assert whole(made) == whole(read) == whole(first) == user("Hi")


def test_an_unknown_include_is_refused_before_anything_is_added(
    client: OpenAI, http: httpx2.Client, conv: str
) -> None:
    told = http.post(f"/v1/conversations/{conv}/items?include[]=bogus", json={"items": [say("Hi")]})

    assert fault(told) == (400, "invalid_request_error", "invalid_value", "include[0]")
    assert items_of(client, conv) == [user("Yo")]


def test_an_id_that_the_conversation_has_is_refused_whole(client: OpenAI, conv: str) -> None:
    client.conversations.items.create(conv, items=[say("One", id="msg_mine")])  # type: ignore[list-item]

    with refused(400, None, "items"):
        client.conversations.items.create(conv, items=[say("Two"), say("Three", id="msg_mine")])  # type: ignore[list-item]

    assert items_of(client, conv) == [user("Yo"), user("One", id="msg_mine")]


def test_two_conversations_may_use_one_id(client: OpenAI) -> None:
    told = [client.conversations.create(items=[say(text, id="msg_same")]).id for text in ("One", "Two")]  # type: ignore[list-item]

    assert [items_of(client, conv) for conv in told] == [
        [user("One", id="msg_same")],
        [user("Two", id="msg_same")],
    ]


@covers(
    "endpoint.DELETE /conversations/{conversation_id}/items/{item_id}",
    "endpoint.GET /conversations/{conversation_id}/items/{item_id}",
)
def test_deleting_an_item_answers_with_the_conversation(
    client: OpenAI, upstream: Upstream, conv: str
) -> None:
    upstream.script(Answer("Hello"))
    (item,) = client.conversations.items.list(conv).data

    told = client.conversations.items.delete(item.id or "", conversation_id=conv)

    assert whole(told) == conversation(id=conv)
    assert items_of(client, conv) == []
    for again in (client.conversations.items.retrieve, client.conversations.items.delete):
        with refused(404):
            again(item.id or "", conversation_id=conv)
    ask(client, "Hi", conv)
    assert upstream.last.body["messages"] == [{"role": "user", "content": "Hi"}]


def test_a_response_keeps_an_item_that_its_conversation_has_lost(
    client: OpenAI, upstream: Upstream, conv: str
) -> None:
    upstream.script(Answer("Hello"), Answer("Bye"))
    told = ask(client, "Hi", conv)

    client.conversations.items.delete(told.output[0].id, conversation_id=conv)
    ask(client, "Bye", conv)

    assert whole(client.responses.retrieve(told.id)) == whole(told)
    assert [said["content"] for said in upstream.last.body["messages"]] == ["Yo", "Hi", "Bye"]


def test_an_item_belongs_to_its_conversation(client: OpenAI, conv: str) -> None:
    (item,) = client.conversations.items.list(conv).data
    other = client.conversations.create().id

    with refused(404):
        client.conversations.items.retrieve(item.id or "", conversation_id=other)
    with refused(404):
        client.conversations.items.delete(item.id or "", conversation_id=other)

    assert items_of(client, conv) == [user("Yo")]


@covers(
    "endpoint.GET /conversations/{conversation_id}/items",
    "query.conversations.items.list.limit",
    "query.conversations.items.list.order",
    "query.conversations.items.list.after",
    "query.conversations.items.list.include",
)
@pytest.mark.parametrize("order", ["asc", "desc", None])
@pytest.mark.parametrize("limit", [1, 7, 25, None])
def test_the_sdk_pages_through_all_items(client: OpenAI, order: Any, limit: int | None) -> None:
    conv = client.conversations.create().id
    for first in (0, 20):
        some: Any = [say(str(n)) for n in range(first, min(first + 20, 25))]
        client.conversations.items.create(conv, items=some)
    asked: Any = {name: value for name, value in (("order", order), ("limit", limit)) if value}

    told = [item.content[0].text for item in client.conversations.items.list(conv, **asked)]  # type: ignore[union-attr]

    every = [str(n) for n in range(25)]
    assert told == (every if order == "asc" else every[::-1])


async def test_the_asynchronous_client_converses(aclient: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    conv = await aclient.conversations.create(metadata={"a": "b"})

    await aclient.responses.create(model="m", input="Hi", conversation=conv.id)
    items = [whole(item) async for item in aclient.conversations.items.list(conv.id, order="asc", limit=1)]

    assert items == [user("Hi"), message("Hello")]


# ---- responses in a conversation --------------------------------------------------------------------


@covers("param.conversation", "param.conversation.id", "field.conversation")
@pytest.mark.parametrize("form", [lambda conv: conv, lambda conv: {"id": conv}], ids=["text", "object"])
def test_a_turn_is_added_to_its_conversation(
    client: OpenAI, upstream: Upstream, conv: str, form: Callable[[str], Any]
) -> None:
    upstream.script(Answer("Hello", reasoning="Hm"))

    told = ask(client, [say("Hi"), say("Anybody?")], form(conv))

    assert whole(told) == response(*whole(told)["output"], conversation={"id": conv})
    assert items_of(client, conv) == [user("Yo"), user("Hi"), user("Anybody?"), *whole(told)["output"]]
    assert [said["content"] for said in upstream.last.body["messages"]] == ["Yo", "Hi", "Anybody?"]


@covers("param.conversation")
def test_a_conversation_goes_on(client: OpenAI, upstream: Upstream, conv: str) -> None:
    upstream.script(Answer("Hello"), Answer(calls=[Called("add")]), Answer("3"))

    ask(client, "Hi", conv, instructions="Be brief.")
    ask(client, "1+2?", conv, tools=[ADD])
    ask(client, [{"type": "function_call_output", "call_id": "call_0", "output": "3"}], conv)

    told = [(said["role"], said["content"]) for said in upstream.last.body["messages"]]
    assert told == [
        ("user", "Yo"),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "1+2?"),
        ("assistant", None),
        ("tool", "3"),
    ]
    assert len(items_of(client, conv)) == 7


def test_the_input_of_a_turn_includes_its_conversation(client: OpenAI, upstream: Upstream, conv: str) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client, "Hi", conv)

    items = wholes(client.responses.input_items.list(told.id, order="asc"))

    assert items == [user("Yo"), user("Hi")]


def test_what_chains_onto_a_turn_is_not_said_in_its_conversation(
    client: OpenAI, upstream: Upstream, conv: str
) -> None:
    upstream.script(Answer("Hello"), Answer("Aside"), Answer("Bye"))
    told = ask(client, "Hi", conv)

    client.responses.create(model="m", input="By the way", previous_response_id=told.id)
    ask(client, "Bye", conv)

    assert [said["content"] for said in upstream.last.body["messages"]] == ["Yo", "Hi", "Hello", "Bye"]


def test_an_item_that_the_conversation_has_is_not_said_again(
    client: OpenAI, upstream: Upstream, conv: str
) -> None:
    upstream.script(Answer("Hello"))
    told = ask(client, "Hi", conv)

    with refused(400, None, "input"):
        ask(client, [whole(told.output[0]), say("Hi")], conv)

    assert len(items_of(client, conv)) == 3


FAILED: dict[str, tuple[Answer, Json]] = {
    "refused by the upstream": (refusal(500, "Out of memory"), {}),
    "refused by the upstream, in a stream": (refusal(500, "Out of memory"), {"stream": True}),
    "cut off": (Answer("Hello", size=2, cut_after=3), {}),
    "cut off, in a stream": (Answer("Hello", size=2, cut_after=3), {"stream": True}),
    "not to be stored": (Answer("Hello"), {"store": False}),
    "not to be stored, in a stream": (Answer("Hello"), {"store": False, "stream": True}),
}


@pytest.mark.parametrize(("answer", "members"), FAILED.values(), ids=FAILED.keys())
def test_a_turn_that_failed_or_is_not_stored_adds_nothing(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, conv: str, answer: Answer, members: Json
) -> None:
    upstream.script(*[answer] * (2 if answer.status >= 400 else 1), Answer("Hello again"))

    http.post("/v1/responses", json={"model": "m", "input": "Hi", "conversation": conv, **members})

    assert items_of(client, conv) == [user("Yo")]
    assert ask(client, "Hi", conv).output_text == "Hello again"


def test_a_turn_that_was_cut_off_by_its_limit_is_added(client: OpenAI, upstream: Upstream, conv: str) -> None:
    upstream.script(Answer("Once upon", finish="length"))

    told = ask(client, "Tell me", conv, max_output_tokens=16)

    assert told.status == "incomplete"
    assert items_of(client, conv) == [user("Yo"), user("Tell me"), message("Once upon", status="incomplete")]


# ---- one response at a time -------------------------------------------------------------------------


@contextmanager
def gated(http: httpx2.Client, upstream: Upstream, conv: str, after: int = 2) -> Iterator[tuple[Gate, Any]]:
    """A streamed response in the conversation that has not ended yet."""
    gate = Gate(after)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    body = {"model": "m", "input": "Hi", "conversation": conv, "stream": True}
    with http.stream("POST", "/v1/responses", json=body) as told:
        gate.wait_reached()
        yield gate, told
        gate.open()


def until_free(client: OpenAI, upstream: Upstream, conv: str) -> Any:
    """A response in the conversation, as soon as it takes one."""
    upstream.default = Answer("At last")
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask(client, "Again", conv)
        except BadRequestError as refusal_:
            if refusal_.code != "conversation_locked" or time.monotonic() > deadline:
                raise


@covers("error.conversation_locked")
def test_a_conversation_takes_part_in_one_response_at_a_time(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, conv: str
) -> None:
    other = client.conversations.create().id
    with gated(http, upstream, conv) as (gate, told):
        for _ in range(2):
            with refused(400, "conversation_locked", "conversation"):
                ask(client, "Me too", conv)
        assert items_of(client, conv) == [user("Yo")]
        upstream.script(Answer("Elsewhere"))
        assert ask(client, "Hi", other).output_text == "Elsewhere"
        gate.open()
        ended = events_of(told.read())[-1]

    assert ended["type"] == "response.completed"
    upstream.script(Answer("Free again"))
    assert ask(client, "And now?", conv).output_text == "Free again"
    assert [said["content"] for said in upstream.last.body["messages"]] == ["Yo", "Hi", "Hello!", "And now?"]


@covers("error.conversation_locked")
def test_of_many_at_once_one_is_answered(client: OpenAI, upstream: Upstream, conv: str) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))

    def attempt(n: int) -> str:
        try:
            return str(ask(client, f"Question {n}", conv).status)
        except BadRequestError as refusal_:
            return str(refusal_.code)

    with ThreadPoolExecutor(5) as pool:
        told = [pool.submit(attempt, n) for n in range(5)]
        gate.wait_reached()
        list(islice(as_completed(told, timeout=60), 4))
        gate.open()

    assert sorted(answer.result() for answer in told) == ["completed"] + ["conversation_locked"] * 4
    assert len(items_of(client, conv)) == 3


@pytest.mark.parametrize("after", [0, 2])
def test_a_client_that_goes_away_frees_its_conversation(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, conv: str, after: int
) -> None:
    gate = Gate(after)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    body = {"model": "m", "input": "Hi", "conversation": conv, "stream": True}
    with http.stream("POST", "/v1/responses", json=body):
        gate.wait_reached()

    upstream.last.wait_gone()

    assert until_free(client, upstream, conv).output_text == "At last"
    assert items_of(client, conv) == [user("Yo"), user("Again"), message("At last")]


def test_a_client_of_a_plain_answer_that_goes_away_frees_its_conversation(
    client: OpenAI, server: Running, upstream: Upstream, conv: str
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate))
    url = httpx2.URL(server.url)
    body = json.dumps({"model": "m", "input": "Hi", "conversation": conv}).encode()
    with socket.create_connection((url.host, url.port)) as connection:
        head = (
            "POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        gate.wait_reached()

    upstream.last.wait_gone()

    assert until_free(client, upstream, conv).output_text == "At last"
    assert items_of(client, conv) == [user("Yo"), user("Again"), message("At last")]


def test_a_refused_request_frees_its_conversation(client: OpenAI, upstream: Upstream, conv: str) -> None:
    upstream.script(Answer("Hello"))

    with refused(400, None, "tool_choice"):
        ask(client, "Hi", conv, tool_choice="required")

    assert ask(client, "Hi", conv).output_text == "Hello"


def test_a_conversation_deleted_meanwhile_stays_deleted(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, conv: str
) -> None:
    with gated(http, upstream, conv) as (gate, told):
        client.conversations.delete(conv)
        gate.open()
        ended = events_of(told.read())[-1]

    assert ended["type"] == "response.completed"
    assert whole(client.responses.retrieve(ended["response"]["id"])) == ended["response"]
    with refused(404):
        client.conversations.retrieve(conv)


def test_items_added_while_a_response_runs_are_kept(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, conv: str
) -> None:
    with gated(http, upstream, conv) as (gate, told):
        client.conversations.items.create(conv, items=[say("Meanwhile")])  # type: ignore[list-item]
        gate.open()
        told.read()

    assert items_of(client, conv) == [user("Yo"), user("Meanwhile"), user("Hi"), message("Hello!")]


@pytest.mark.parametrize("wrong", [7, [], {"id": 7}, {"id": "x", "bogus": 1}, {}])
def test_a_wrong_form_of_conversation_is_refused(client: OpenAI, wrong: Any) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, "Hi", wrong)

    assert caught.value.param == Like(r"conversation(\..+)?")
