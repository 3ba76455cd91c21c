"""Every endpoint, query member and body: those that there are act, the others say that they are not there."""

import re
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.ledger import covers, ids_of
from tests.scripted import Answer, Upstream

Json = dict[str, Any]
THREE = [{"role": "user", "content": text} for text in ("One", "Two", "Three")]
CANCEL = "endpoint.POST /responses/{response_id}/cancel"


def absent() -> list[str]:
    return [row_id for row_id in ids_of("endpoint", does="refuses") if row_id != CANCEL]


@covers(*ids_of("endpoint", does="refuses"))
@pytest.mark.parametrize("row_id", absent())
def test_an_endpoint_that_is_not_there_says_so(http: httpx2.Client, row_id: str) -> None:
    method, path = row_id.removeprefix("endpoint.").split()
    answer = http.request(method, "/v1" + re.sub(r"\{\w+\}", "x", path))
    codes = {404: "unknown_url", 405: "method_not_allowed"}
    assert answer.json()["error"]["code"] == codes[answer.status_code]


def test_a_response_that_is_not_in_the_background_cannot_be_cancelled(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    made = http.post("/v1/responses", json={"model": "m", "input": "hi"}).json()
    answer = http.post(f"/v1/responses/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, None)
    assert http.post("/v1/responses/resp_x/cancel").status_code == 404


# ---- responses --------------------------------------------------------------------------------------


@covers(
    "endpoint.POST /responses",
    "endpoint.GET /responses/{response_id}",
    "endpoint.DELETE /responses/{response_id}",
)
def test_a_response_is_made_read_and_deleted(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    made = client.responses.create(model="m", input="hi")
    assert made.output_text == "Hello"
    assert client.responses.retrieve(made.id) == made
    answer = http.delete(f"/v1/responses/{made.id}")
    assert answer.json() == {"id": made.id, "object": "response", "deleted": True}
    assert http.get(f"/v1/responses/{made.id}").status_code == 404
    assert http.delete(f"/v1/responses/{made.id}").status_code == 404


@covers("query.responses.retrieve.include", "query.responses.retrieve.include_obfuscation")
def test_a_response_of_the_foreground_cannot_be_streamed_again(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    made = http.post("/v1/responses", json={"model": "m", "input": "hi"}).json()
    url = f"/v1/responses/{made['id']}"
    answer = http.get(url, params={"stream": "true"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")
    harmless = {"stream": "false", "include_obfuscation": "false"}
    assert http.get(url, params={**harmless, "include[]": "web_search_call.results"}).json() == made
    unknown = http.get(url, params={"limit": "1"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "unknown_parameter")


@covers(
    "endpoint.GET /responses/{response_id}/input_items",
    "endpoint.GET /conversations/{conversation_id}/items",
    *ids_of("query.responses.input_items"),
    *ids_of("query.conversations.items.list"),
)
@pytest.mark.parametrize("kind", ["responses", "conversations"])
def test_a_list_is_read_in_pages_and_in_either_order(
    http: httpx2.Client, upstream: Upstream, kind: str
) -> None:
    upstream.script(Answer("Hello"))
    if kind == "responses":
        made = http.post("/v1/responses", json={"model": "m", "input": THREE}).json()
        url = f"/v1/responses/{made['id']}/input_items"
    else:
        url = f"/v1/conversations/{http.post('/v1/conversations', json={'items': THREE}).json()['id']}/items"

    def page(**query: str) -> tuple[list[str], bool, str]:
        told = http.get(url, params={"include[]": "message.input_image.image_url", **query}).json()
        return [item["content"][0]["text"] for item in told["data"]], told["has_more"], told["last_id"]

    assert page()[:2] == (["Three", "Two", "One"], False)
    texts, more, last = page(limit="2", order="asc")
    assert (texts, more) == (["One", "Two"], True)
    assert page(limit="2", order="asc", after=last)[:2] == (["Three"], False)


@covers("endpoint.POST /responses/compact")
def test_a_context_is_compacted(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("They spoke of Oslo."))
    told = client.responses.compact(model="m", input=THREE)  # type: ignore[arg-type]
    *messages, compaction = told.output
    assert [message.content[0].text for message in messages] == ["One", "Two", "Three"]  # type: ignore[union-attr]
    assert (told.object, compaction.type) == ("response.compaction", "compaction")


# ---- conversations ----------------------------------------------------------------------------------


@covers(
    "endpoint.POST /conversations",
    "endpoint.GET /conversations/{conversation_id}",
    "endpoint.POST /conversations/{conversation_id}",
    "endpoint.DELETE /conversations/{conversation_id}",
    "body.conversations.create.metadata",
    "body.conversations.update.metadata",
)
def test_a_conversation_is_made_read_changed_and_deleted(client: OpenAI, http: httpx2.Client) -> None:
    made = client.conversations.create(metadata={"a": "1"})
    assert re.fullmatch("conv_[0-9a-f]{48}", made.id)
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"b": "2"})
    assert changed.metadata == {"b": "2"}
    assert client.conversations.update(made.id, metadata=None).metadata == {}
    assert client.conversations.delete(made.id).deleted
    assert http.get(f"/v1/conversations/{made.id}").status_code == 404


@covers(
    "endpoint.POST /conversations/{conversation_id}/items",
    "endpoint.GET /conversations/{conversation_id}/items/{item_id}",
    "endpoint.DELETE /conversations/{conversation_id}/items/{item_id}",
    "body.conversations.create.items",
    "body.conversations.items.create.items",
    "query.conversations.items.create.include",
    "query.conversations.items.retrieve.include",
)
def test_items_of_a_conversation_are_added_read_and_deleted(client: OpenAI, http: httpx2.Client) -> None:
    conversation = client.conversations.create(items=THREE[:1])  # type: ignore[arg-type]
    added = client.conversations.items.create(
        conversation.id,
        items=THREE[1:],  # type: ignore[arg-type]
        include=["message.input_image.image_url"],
    )
    two, three = added.data
    held = client.conversations.items.retrieve(
        two.id,  # type: ignore[arg-type]
        conversation_id=conversation.id,
        include=["message.input_image.image_url"],
    )
    assert held == two
    after = client.conversations.items.delete(three.id, conversation_id=conversation.id)  # type: ignore[arg-type]
    assert after == conversation
    left = client.conversations.items.list(conversation.id, order="asc")
    assert [item.content[0].text for item in left] == ["One", "Two"]  # type: ignore[union-attr]


# ---- prompts ----------------------------------------------------------------------------------------


@covers(
    "endpoint.POST /prompts",
    "endpoint.GET /prompts",
    "endpoint.GET /prompts/{prompt_id}",
    "endpoint.POST /prompts/{prompt_id}",
    "endpoint.DELETE /prompts/{prompt_id}",
    "endpoint.GET /prompts/{prompt_id}/versions",
)
def test_a_prompt_is_made_read_changed_and_deleted(http: httpx2.Client) -> None:
    made = http.post("/v1/prompts", json={"name": "greeting", "instructions": "Greet {{who}}."}).json()
    url = f"/v1/prompts/{made['id']}"
    assert (made["object"], made["version"], made["variables"]) == ("prompt", "1", ["who"])
    assert http.get(url).json() == made
    assert made["id"] in [prompt["id"] for prompt in http.get("/v1/prompts").json()["data"]]
    changed = http.post(url, json={"instructions": "Greet them all."}).json()
    assert (changed["version"], changed["default_version"], changed["variables"]) == ("2", "2", [])
    assert [each["version"] for each in http.get(f"{url}/versions").json()["data"]] == ["2", "1"]
    assert http.delete(url).json() == {"id": made["id"], "object": "prompt.deleted", "deleted": True}
    assert http.get(url).status_code == 404


# ---- models -----------------------------------------------------------------------------------------


@covers("endpoint.GET /models", "endpoint.GET /models/{model}")
def test_models_are_those_of_the_upstream(client: OpenAI, upstream: Upstream) -> None:
    upstream.models = ("small", "large/one")
    assert {model.id for model in client.models.list()} == {"small", "large/one"}
    assert client.models.retrieve("large/one").object == "model"
