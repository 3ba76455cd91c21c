"""`include`: what is known of an item is stored, and shown to who asks for it, wherever it is read."""

import json
from typing import Any, cast

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json, events_of, whole
from tests.api.test_background import ended
from tests.ledger import case, covers
from tests.papers import picture_url
from tests.protocol.test_projection import HIDDEN
from tests.scripted import Answer, Upstream

ROWS = {value: (item, bare) for value, item, bare in HIDDEN}
CALL = {"type": "computer_call", "call_id": "call_1", "action": {"type": "screenshot"}, "status": "completed"}
CALL["pending_safety_checks"] = []
URL = picture_url()
SCREEN = {"type": "computer_screenshot"}
LOGPROBS = "message.output_text.logprobs"

# What a conversation is given, the value that shows it, and how it is shown with and without.
KEPT = [
    case("include.file_search_call.results", {"id": "fs_1", "status": "completed"}),
    case("include.web_search_call.action.sources", {"id": "ws_1", "status": "completed"}),
    case("include.message.input_image.image_url", {"id": "msg_1", "status": "completed"}),
    case("include.computer_call_output.output.image_url", {"id": "cuo_1", "status": "completed"}),
    case("include.code_interpreter_call.outputs", {"id": "ci_1", "status": "completed"}),
    case("include.reasoning.encrypted_content", {"id": "rs_1"}),
    case("include.message.output_text.logprobs", {"id": "msg_1", "status": "completed"}),
]


def given(row: str, members: Json) -> tuple[str, Json, Json]:
    """The value, and an item with and without what it shows."""
    value = row.removeprefix("include.")
    found = [json.loads(json.dumps(item)) | members for item in ROWS[value]]  # type: ignore[index]
    for item in found:
        if item["type"] == "computer_call_output":
            item["output"]["type"] = "computer_screenshot"
        if item["type"] == "code_interpreter_call":
            item |= {"container_id": "cntr_1", "code": "1+1"}
        if value == "message.input_image.image_url":
            item["content"][0]["detail"] = "auto"
    return value, found[0], found[1]


@covers("query.conversations.items.create.include", "query.conversations.items.retrieve.include")
@covers("query.conversations.items.list.include")
@pytest.mark.parametrize("members", KEPT)
def test_an_item_of_a_conversation_is_shown_with_what_is_included(
    http: httpx2.Client, members: Json, request: pytest.FixtureRequest
) -> None:
    value, item, bare = given(request.node.callspec.id, members)
    conv = http.post("/v1/conversations", json={}).json()["id"]
    url = f"/v1/conversations/{conv}/items"

    made = http.post(url, json={"items": [item]}).json()["data"]

    assert made == [bare]
    assert http.get(url).json()["data"] == [bare]
    assert http.get(f"{url}/{item['id']}").json() == bare
    for query in ({"include[]": value}, {"include": f"{value},web_search_call.results"}):
        assert http.get(url, params=query).json()["data"] == [item]
        assert http.get(f"{url}/{item['id']}", params=query).json() == item
    other = http.post("/v1/conversations", json={}).json()["id"]
    again = http.post(f"/v1/conversations/{other}/items", params={"include[]": value}, json={"items": [item]})
    assert again.json()["data"] == [item]


@covers("query.responses.input_items.include")
@covers("include.message.input_image.image_url", "include.computer_call_output.output.image_url")
def test_the_input_of_a_response_is_shown_with_what_is_included(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("A square"))
    image = {"type": "input_image", "image_url": URL, "detail": "auto"}
    screen = {"type": "computer_call_output", "call_id": "call_1", "output": SCREEN | {"image_url": URL}}
    body = {"model": "m", "input": [{"role": "user", "content": [image]}, CALL, screen]}
    made = http.post("/v1/responses", json=body).json()
    url = f"/v1/responses/{made['id']}/input_items"

    def pictures(*include: str) -> list[str | None]:
        page = http.get(url, params={"order": "asc", "include[]": list(include)}).json()["data"]
        return [page[0]["content"][0].get("image_url"), page[2]["output"].get("image_url")]

    assert pictures() == [None, None]
    assert pictures("message.input_image.image_url") == [URL, None]
    assert pictures("computer_call_output.output.image_url") == [None, URL]
    assert pictures("computer_call_output.output.image_url", "message.input_image.image_url") == [URL, URL]
    sent = upstream.last.body["messages"]
    assert sum(URL in json.dumps(message) for message in sent) == 2, "the model sees what is hidden"


@covers("query.responses.retrieve.include", "include.message.output_text.logprobs")
@covers("include.reasoning.encrypted_content")
def test_a_response_is_read_back_with_what_is_included(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="Hm."))
    both: Any = ["reasoning.encrypted_content", LOGPROBS]
    made = client.responses.create(model="m", input="Hi", include=both)

    def seen(include: Any) -> tuple[bool, bool]:
        thought, message = whole(client.responses.retrieve(made.id, include=include))["output"]
        return "encrypted_content" in thought, bool(message["content"][0]["logprobs"])

    assert seen([]) == (False, False)
    assert seen(both[:1]) == (True, False)
    assert seen(both[1:]) == (False, True)
    assert whole(client.responses.retrieve(made.id, include=both)) == whole(made)


@covers("query.responses.retrieve.include", "include.message.output_text.logprobs")
def test_a_stream_is_read_back_with_what_is_included(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello", reasoning="Hm."))
    both = ["reasoning.encrypted_content", LOGPROBS]
    body = {"model": "m", "input": "Hi", "background": True, "stream": True, "include": both}
    told = events_of(http.post("/v1/responses", json=body).content)
    made = told[0]["response"]["id"]
    ended(client, made)

    def replayed(*include: str) -> list[Json]:
        params: Any = {"stream": "true", "include[]": list(include)}
        return events_of(http.get(f"/v1/responses/{made}", params=params).content)

    assert replayed(*both) == told
    assert [len(event["logprobs"]) for event in replayed(*both) if "logprobs" in event] == [1, 1]
    bare = replayed()
    assert [event["type"] for event in bare] == [event["type"] for event in told]
    assert "encrypted_content" not in json.dumps(bare)
    assert [event["logprobs"] for event in bare if "logprobs" in event] == [[], []]
    assert bare[-1]["response"] == whole(client.responses.retrieve(made))
    cancelled = client.responses.cancel(made)
    assert whole(cancelled) == bare[-1]["response"]


@covers("event.response.content_part.done", "event.response.output_text.done")
def test_a_part_that_is_done_has_no_logprobs_beside_those_of_its_text(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    include: Any = [LOGPROBS]

    events = [
        whole(event) for event in client.responses.create(model="m", input="Hi", include=include, stream=True)
    ]

    having: dict[str, Any] = {}
    for event in events:
        part = event.get("part", event)
        if "item" in event and event["item"]["content"]:
            part = event["item"]["content"][0]
        having[cast(str, event["type"]).removeprefix("response.")] = len(part.get("logprobs", ()))
    assert {name for name, count in having.items() if count} == {
        "output_text.delta",
        "output_text.done",
        "output_item.done",
    }
    (done,) = [event for event in events if event["type"] == "response.content_part.done"]
    assert done["part"] == {"type": "output_text", "annotations": [], "text": "Hello", "logprobs": []}
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"]
