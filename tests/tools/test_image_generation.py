"""`image_generation` over the wire, with a server that draws."""

import base64
import json
from typing import Any

import httpx2
import pytest
from aiohttp import web
from openai import BadRequestError, OpenAI
from tests.api.asking import Json, refused, some_id, whole
from tests.conftest import Running
from tests.drawn import drawn
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.images_server import Asked, ImagesServer, png
from tests.tools.painting import (
    ATTACHED,
    DRAW,
    DRAWN,
    TOOL,
    _images,
    attached,
    client,
    data_url,
    drawing,
    given,
    images,
    painter,
    pictures_in,
    size_of,
)
from tests.tools.test_file_citations import form, of_response, recorded
from tests.tools.using import ask, calls, emitted, offered, read, stream

__all__ = ["_images", "client", "images", "painter"]

EMPTY = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}


# ---- pictures that are made -------------------------------------------------------------------------------


@covers(
    "tool.image_generation",
    "item.output.image_generation_call",
    "event.response.image_generation_call.in_progress",
    "event.response.image_generation_call.generating",
    "event.response.image_generation_call.completed",
    "field.tool_usage",
)
def test_a_picture_is_made_and_shown(client: OpenAI, upstream: Upstream, images: ImagesServer) -> None:
    upstream.script(DRAW, Answer("There you are."))

    events = stream(client, TOOL)

    assert emitted(events)[:5] == DRAWN
    added, done = (event["item"] for event in events if event.get("output_index") == 0 and "item" in event)
    call = {"id": some_id("ig"), "type": "image_generation_call"}
    assert added == call | {"status": "in_progress"}
    assert size_of(done["result"]) == "64x32"
    assert done == call | {
        "status": "completed",
        "result": done["result"],
        "size": "64x32",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
        "revised_prompt": "a cat",
    }
    assert images.last.fields == {"model": "painter", "prompt": "a cat"}
    assert events[-1]["response"]["output"][1]["content"][0]["text"] == "There you are."


def test_the_stream_is_the_recorded_one(client: OpenAI, upstream: Upstream, images: ImagesServer) -> None:
    upstream.script(DRAW, Answer(""))

    events = stream(client, TOOL | {"partial_images": 1, "output_format": "webp", "quality": "low"})

    theirs = recorded("image_generation")
    assert [event["type"] for event in events] == [event["type"] for event in theirs]
    for ours, real in zip(events, theirs, strict=True):
        for event in (ours, real):
            for tool in event.get("response", {}).get("tools", ()):
                tool.pop("partial_images", None)  # the recording lacks it
            event.pop("output_index", None)  # reasoning stood before it
            event.pop("sequence_number", None)
        assert form(of_response(ours, real)) == form(real)


@covers("field.tool_usage")
def test_what_pictures_take_is_counted_as_their_server_counts(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(DRAW, DRAW, Answer("Two."))

    answer = ask(client, TOOL)

    assert answer["tool_usage"] == {
        "image_gen": {
            "input_tokens": 100,
            "input_tokens_details": {"text_tokens": 20, "image_tokens": 80},
            "output_tokens": 544,
            "output_tokens_details": {"text_tokens": 0, "image_tokens": 544},
            "total_tokens": 644,
        },
        "web_search": {"num_requests": 0},
    }
    assert answer["usage"]["total_tokens"] == 36, "tokens of pictures are not the model's"


@pytest.mark.parametrize("text", ["", "Done."])
def test_a_model_that_says_nothing_more_ends_with_an_empty_text(
    client: OpenAI, upstream: Upstream, text: str
) -> None:
    upstream.script(DRAW, Answer(text))

    answer = ask(client, TOOL)

    assert [item["type"] for item in answer["output"]] == ["image_generation_call", "message"]
    assert answer["output"][1]["content"] == [EMPTY | {"text": text}]
    upstream.script(Answer("Hello again."))
    assert ask(client, TOOL, previous_response_id=answer["id"])["status"] == "completed"


def test_a_call_for_the_client_beside_it_still_ends_the_response(client: OpenAI, upstream: Upstream) -> None:
    both = Answer(calls=[Called("clock"), Called("image_generation", '{"prompt": "a cat"}')])
    upstream.script(both)

    answer = ask(client, TOOL, {"type": "function", "name": "clock", "parameters": {}, "strict": False})

    assert sorted(item["type"] for item in answer["output"]) == ["function_call", "image_generation_call"]


def test_the_model_is_shown_a_small_function(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(DRAW, Answer("ok"))

    ask(client, TOOL)

    before, after = offered(upstream, 0)["image_generation"], offered(upstream, 1)["image_generation"]
    assert list(before["parameters"]["properties"]) == ["prompt"]
    assert list(after["parameters"]["properties"]) == ["prompt", "edit"], "now there is something to change"


@pytest.mark.parametrize("arguments", ['{"description": "a cat"}', '{"prompt": "", "text": "a cat"}'])
def test_what_small_models_write_for_a_prompt_is_read(
    client: OpenAI, upstream: Upstream, images: ImagesServer, arguments: str
) -> None:
    upstream.script(calls("image_generation", arguments), Answer("ok"))

    ask(client, TOOL)

    assert images.last.fields["prompt"] == "a cat"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{}", "It takes what is to be seen"),
        ('{"prompt": " "}', "It takes what is to be seen"),
        ('{"prompt": 3}', "It takes what is to be seen"),
        ('"a cat"', "not a JSON object"),
        ("a cat", "not valid JSON"),
    ],
)
def test_a_picture_of_nothing_fails_in_words(
    client: OpenAI, upstream: Upstream, images: ImagesServer, arguments: str, words: str
) -> None:
    upstream.script(calls("image_generation", arguments), Answer("ok"))

    call = ask(client, TOOL)["output"][0]

    assert (call["status"], call["result"]) == ("failed", None)
    assert call["error"]["type"] == "image_generation_user_error"
    assert words in given(upstream)
    assert images.requests == []


def test_the_model_reads_the_picture_and_never_its_base64(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("ok"), Answer("A cat."))

    answer = ask(client, TOOL)
    ask(client, TOOL, given="What is it?", previous_response_id=answer["id"])

    result = answer["output"][0]["result"]
    for which in (1, 2):
        assert "the user sees it" in given(upstream, which)
        assert pictures_in(upstream, which) == [f"data:image/png;base64,{result}"]
        assert json.dumps(read(upstream, which)).count(result) == 1


# ---- what is asked for ------------------------------------------------------------------------------------


FULL: Json = {
    "background": "transparent",
    "complexity": "low",
    "frame_count": 3,
    "frame_duration_ms": 100,
    "moderation": "low",
    "output_compression": 40,
    "output_format": "webp",
    "quality": "high",
    "size": "1536x864",
    "svg": {"model": "s", "reasoning": {"effort": "low"}},
}


@covers(
    "tool.image_generation.background",
    "tool.image_generation.complexity",
    "tool.image_generation.frame_count",
    "tool.image_generation.frame_duration_ms",
    "tool.image_generation.moderation",
    "tool.image_generation.output_compression",
    "tool.image_generation.output_format",
    "tool.image_generation.quality",
    "tool.image_generation.size",
    "tool.image_generation.svg",
    "tool.image_generation.svg.model",
    "tool.image_generation.svg.reasoning",
    "tool.image_generation.svg.reasoning.effort",
)
def test_every_parameter_reaches_a_server_that_takes_it(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("ok"))

    answer = ask(client, TOOL | FULL | {"model": "gpt-image-2"})

    assert images.last.fields == FULL | {"model": "gpt-image-2", "prompt": "a cat"}
    assert answer["tools"] == [TOOL | FULL | {"n": 1, "model": "gpt-image-2"}]
    assert size_of(answer["output"][0]["result"]) == "1536x864"


def test_several_pictures_are_items_of_their_own(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("Three."))

    events = stream(client, TOOL | {"n": 3})

    assert images.last.fields["n"] == 3
    assert emitted(events)[:15] == DRAWN * 3
    made = events[-1]["response"]["output"][:3]
    assert len({item["result"] for item in made}) == len({item["id"] for item in made}) == 3
    assert pictures_in(upstream) == [f"data:image/png;base64,{item['result']}" for item in made]


@covers("tool.image_generation.partial_images", "event.response.image_generation_call.partial_image")
@pytest.mark.parametrize("asked", [0, 1, 3])
def test_partial_pictures_are_handed_on_as_they_come(
    client: OpenAI, upstream: Upstream, images: ImagesServer, asked: int
) -> None:
    upstream.script(DRAW, Answer("ok"))

    events = stream(client, TOOL | {"partial_images": asked})

    partial = [event for event in events if event["type"].endswith(".partial_image")]
    assert [event["partial_image_index"] for event in partial] == list(range(asked))
    assert [event["item_id"] for event in partial] == [events[2]["item"]["id"]] * asked
    assert all(size_of(event["partial_image_b64"]) == event["size"] == "64x32" for event in partial)
    assert images.last.fields.get("stream", False) is bool(asked)
    assert events[-1]["response"]["tool_usage"]["image_gen"]["total_tokens"] == 322


def test_fewer_partial_pictures_may_come(client: OpenAI, upstream: Upstream, images: ImagesServer) -> None:
    upstream.script(DRAW, Answer("ok"))
    images.partials = 0

    events = stream(client, TOOL | {"partial_images": 2})

    assert emitted(events)[:5] == DRAWN


@pytest.mark.parametrize(
    "size",
    ["1024x1024", "1024x1536", "1536x1024", "auto", "256x256", "48x144", "3840x2160", "2160x3840", "16x16"],
)
def test_sizes_that_pictures_can_have_are_taken(client: OpenAI, upstream: Upstream, size: str) -> None:
    upstream.script(Answer("ok"))

    assert ask(client, TOOL | {"size": size})["tools"][0]["size"] == size


@covers("tool.image_generation.size")
@pytest.mark.parametrize(
    "size",
    [
        "1000x1000",
        "1024x16",
        "16x1024",
        "1024",
        "0x0",
        "big",
        "1024x1024x1",
        "3856x2160",
        "-16x16",
        "3840x3840",
        "",
    ],
)
def test_sizes_that_no_picture_can_have_are_refused(client: OpenAI, upstream: Upstream, size: str) -> None:
    with refused(400, "invalid_value", "tools[0].size") as refusal:
        ask(client, TOOL | {"size": size})
    assert "multiples of 16" in refusal.message
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 11}, "tools[0].n"),
        ({"n": 0}, "tools[0].n"),
        ({"partial_images": 4}, "tools[0].partial_images"),
        ({"partial_images": -1}, "tools[0].partial_images"),
        ({"output_compression": 101}, "tools[0].output_compression"),
        ({"quality": "best"}, "tools[0].quality"),
        ({"input_image_mask": {}}, "tools[0].input_image_mask"),
        (
            {"input_image_mask": {"image_url": data_url(png())}, "output_format": "gif"},
            "tools[0].input_image_mask",
        ),
        ({"action": "edit"}, "tools[0].action"),
        ({"action": "draw"}, "tools[0].action"),
    ],
)
def test_what_cannot_be_is_refused(client: OpenAI, upstream: Upstream, members: Json, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, TOOL | members)
    assert caught.value.param == param
    assert upstream.requests == []


# ---- pictures that are changed ----------------------------------------------------------------------------


@covers("tool.image_generation.action", "tool.image_generation.input_fidelity")
@pytest.mark.parametrize("action", ["auto", "edit"])
def test_an_attached_picture_is_changed(
    client: OpenAI, upstream: Upstream, images: ImagesServer, action: str
) -> None:
    upstream.script(drawing("make it red", edit=True), Answer("Red."))

    tool = TOOL | {"action": action, "input_fidelity": "high", "size": "1024x1024"}
    answer = ask(client, tool, given=[attached("Make it red", ATTACHED)])

    assert images.last.path == "/v1/images/edits"
    fields = {"model": "painter", "prompt": "make it red", "input_fidelity": "high", "size": "1024x1024"}
    assert images.last.fields == fields
    assert images.last.files == [("image", ATTACHED)]
    assert answer["output"][0]["status"] == "completed"


@pytest.mark.parametrize(("action", "edit"), [("generate", True), ("auto", False), ("auto", None)])
def test_a_new_one_is_made_where_nothing_is_to_be_changed(
    client: OpenAI, upstream: Upstream, images: ImagesServer, action: str, edit: bool | None
) -> None:
    upstream.script(drawing("a dog", **({} if edit is None else {"edit": edit})), Answer("ok"))

    ask(client, TOOL | {"action": action}, given=[attached("And a dog?", ATTACHED)])

    assert images.last.path == "/v1/images/generations"
    assert ("edit" in offered(upstream, 0)["image_generation"]["parameters"]["properties"]) is (
        action == "auto"
    )


def test_all_pictures_since_the_model_last_spoke_go_together(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    old, one, two = (png(16, 16, shade) for shade in (1, 2, 3))
    upstream.script(drawing("both", edit=True), Answer("ok"))
    said = [attached("Look", old), {"role": "assistant", "content": "Nice."}, attached("Join", one, two)]

    ask(client, TOOL, given=said)

    assert images.last.files == [("image[]", one), ("image[]", two)]


@covers("tool.image_generation.input_image_mask", "tool.image_generation.input_image_mask.image_url")
@covers("tool.image_generation.input_image_mask.file_id")
@pytest.mark.parametrize("way", ["image_url", "file_id"])
def test_a_mask_goes_along(client: OpenAI, upstream: Upstream, images: ImagesServer, way: str) -> None:
    mask = drawn(48, 32, mode="RGBA")
    where = {"image_url": data_url(mask)}
    if way == "file_id":
        where = {"file_id": client.files.create(file=("mask.png", mask), purpose="vision").id}
    upstream.script(drawing("a hat", edit=True), Answer("ok"), drawing("new"), Answer("ok"))
    tool = TOOL | {"input_image_mask": where}

    ask(client, tool, given=[attached("A hat", ATTACHED)])
    ask(client, tool)

    edit, new = images.requests
    assert edit.files == [("image", ATTACHED), ("mask", mask)]
    assert new.path == "/v1/images/generations", "where there is nothing to change there is nothing to mask"


@pytest.mark.parametrize(
    ("mask", "param"),
    [
        ({"file_id": "file-none"}, "tools[0].input_image_mask.file_id"),
        ({"image_url": "data:image/png;base64,aGVsbG8="}, "tools[0].input_image_mask.image_url"),
        ({"image_url": "https://"}, "tools[0].input_image_mask.image_url"),
    ],
)
def test_a_mask_that_cannot_be_had_is_refused(
    client: OpenAI, upstream: Upstream, mask: Json, param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, TOOL | {"input_image_mask": mask})
    assert caught.value.param == param
    assert upstream.requests == []


@covers("failure.invalid_image_mode")
def test_a_mask_that_is_nowhere_transparent_is_refused(client: OpenAI, upstream: Upstream) -> None:
    with refused(400, "invalid_image_mode", "tools[0].input_image_mask.image_url"):
        ask(client, TOOL | {"input_image_mask": {"image_url": data_url(drawn(48, 32))}})
    assert upstream.requests == []


def test_a_picture_of_the_previous_response_is_changed(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer(""), drawing("a red cat", edit=True), Answer("Red."))

    first = ask(client, TOOL)
    ask(client, TOOL, given="Make it red", previous_response_id=first["id"])

    assert images.last.path == "/v1/images/edits"
    assert images.last.files == [("image", base64.b64decode(first["output"][0]["result"]))]


def test_a_picture_that_was_just_made_is_changed(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, drawing("with a hat", edit=True), Answer("ok"))

    answer = ask(client, TOOL, given=[attached("One like this", ATTACHED)])

    assert images.last.files == [("image", base64.b64decode(answer["output"][0]["result"]))]


@covers("item.input.image_generation_call")
@pytest.mark.parametrize("inline", [False, True])
def test_a_picture_is_changed_by_its_item(
    client: OpenAI, upstream: Upstream, images: ImagesServer, inline: bool
) -> None:
    upstream.script(DRAW, Answer("ok"), drawing("a red cat", edit=True), Answer("Red."))
    first = ask(client, TOOL, store=not inline)
    call = first["output"][0]
    item = {"type": "image_generation_call", "id": call["id"]}
    if inline:
        item |= {"result": call["result"], "status": "completed"}

    answer = ask(client, TOOL, given=[{"role": "user", "content": "Make it red"}, item])

    assert images.last.files == [("image", base64.b64decode(call["result"]))]
    assert answer["output"][0]["status"] == "completed"
    kept = whole(client.responses.input_items.list(answer["id"], order="asc"))["data"]
    assert kept[1]["result"] == call["result"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_picture_that_is_stored_nowhere_is_not_found(
    client: OpenAI, upstream: Upstream, kept: bool
) -> None:
    upstream.script(DRAW, Answer("ok"))
    item_id = "ig_none" if kept else ask(client, TOOL, store=False)["output"][0]["id"]

    with refused(404, None, "input") as refusal:
        ask(client, TOOL, given=[{"type": "image_generation_call", "id": item_id}])
    assert item_id in refusal.message


def test_a_picture_of_another_project_or_type_is_not_found(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    message = ask(client, given="Hi")["output"][0]["id"]

    with refused(404, None, "input"):
        ask(client, TOOL, given=[{"type": "image_generation_call", "id": message.replace("msg_", "ig_")}])


def test_it_is_stored_and_shown_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(DRAW, Answer("ok"))
    answer = ask(client, TOOL)

    assert whole(client.responses.retrieve(answer["id"])) == answer


# ---- choices and bounds -----------------------------------------------------------------------------------


@covers("tool_choice.image_generation")
@pytest.mark.parametrize("choice", [TOOL, "required"])
def test_it_can_be_required_once(client: OpenAI, upstream: Upstream, choice: Any) -> None:
    upstream.script(DRAW, Answer("ok"))

    answer = ask(client, TOOL, tool_choice=choice)

    forced, free = (request.body.get("tool_choice", "auto") for request in upstream.requests)
    assert forced in ("required", {"type": "function", "function": {"name": "image_generation"}})
    assert free == "auto"
    assert [item["type"] for item in answer["output"]] == ["image_generation_call", "message"]


def test_a_bound_of_calls_holds(client: OpenAI, upstream: Upstream, images: ImagesServer) -> None:
    upstream.script(DRAW, DRAW, Answer("One is enough."))

    answer = ask(client, TOOL, max_tool_calls=1)

    assert len(images.requests) == 1
    assert [item["type"] for item in answer["output"]] == ["image_generation_call", "message"]
    assert "no more tool calls" in given(upstream)


# ---- failures ---------------------------------------------------------------------------------------------


def answers(body: Any, status: int = 200, kind: str = "application/json") -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda _: web.Response(text=text, status=status, content_type=kind)


BLOCKED = {
    "error": {
        "message": "Your request was rejected by the safety system.",
        "type": "image_generation_user_error",
        "param": None,
        "code": "moderation_blocked",
        "moderation_details": {"categories": ["violence"], "moderation_stage": "input"},
    }
}


def test_what_the_server_blocks_is_a_failed_item_with_its_reasons(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    images.answer = answers(BLOCKED, 400)
    upstream.script(DRAW, Answer("I may not."))

    events = stream(client, TOOL)

    assert emitted(events)[:4] == [*DRAWN[:3], DRAWN[4]]
    call = events[-1]["response"]["output"][0]
    assert call == {
        "id": some_id("ig"),
        "type": "image_generation_call",
        "status": "failed",
        "result": None,
        "error": BLOCKED["error"],
    }
    assert "rejected by the safety system" in given(upstream)
    assert events[-1]["response"]["status"] == "completed"


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "code", ["content_policy_violation", "content_filter", "image_content_policy_violation"]
)
def test_a_picture_that_a_policy_forbids_has_one_code_whatever_the_server_calls_it(
    client: OpenAI, upstream: Upstream, images: ImagesServer, code: str, status: int
) -> None:
    images.answer = answers({"error": {"message": "Not this.", "code": code, "type": "invalid"}}, status)
    upstream.script(DRAW, Answer("I may not."))

    call, _ = ask(client, TOOL)["output"]

    assert call["status"] == "failed"
    error = {"type": "image_generation_user_error", "code": "moderation_blocked", "message": "Not this."}
    assert error.items() <= call["error"].items()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answers({"detail": "Out of memory"}, 500), "Out of memory"),
        (answers({"detail": [{"msg": "bad size", "loc": ["body"]}]}, 422), "bad size"),
        (answers({"error": "no model is loaded"}, 400), "no model is loaded"),
        (answers("<html>", 502, "text/html"), "HTTP 502"),
        (answers({"error": {"message": "Incorrect API key provided: sk-secret"}}, 401), "refuses the key"),
        (answers({"data": []}), "without a picture"),
        (answers({"created": 1}), "without a picture"),
        (answers("nonsense"), "no JSON object"),
        (answers({"data": [{"b64_json": "@@@"}]}), "not base64"),
        (answers({"data": [{"b64_json": "aGVsbG8="}]}), "no picture"),
        (answers({"data": [{"url": "http://127.0.0.1:1/x.png"}]}), "could not be had"),
        (answers('data: {"error": {"message": "it broke"}}\n\n', kind="text/event-stream"), "it broke"),
        (answers("data: [DONE]\n\n", kind="text/event-stream"), "without a picture"),
    ],
)
def test_what_fails_is_told_and_the_model_goes_on(
    client: OpenAI, upstream: Upstream, images: ImagesServer, answer: Any, words: str
) -> None:
    images.answer = answer
    upstream.script(DRAW, Answer("It did not work."))

    response = ask(client, TOOL)

    call, message = response["output"]
    assert (call["status"], call["result"], response["status"]) == ("failed", None, "completed")
    assert words in call["error"]["message"]
    assert words in given(upstream)
    assert "secret" not in json.dumps(response)
    assert message["content"][0]["text"] == "It did not work."
    assert "tool_usage" not in response


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    client: OpenAI, upstream: Upstream, images: ImagesServer, status: int
) -> None:
    def busy(_: Asked) -> web.Response:
        images.answer = None
        return web.json_response({"detail": "busy"}, status=status, headers={"retry-after": "0"})

    images.answer = busy
    upstream.script(DRAW, Answer("ok"))

    assert ask(client, TOOL)["output"][0]["status"] == "completed"
    assert len(images.requests) == 2


def test_a_failed_picture_of_the_past_reads_so(
    client: OpenAI, upstream: Upstream, images: ImagesServer
) -> None:
    images.answer = answers({"error": "no model is loaded"}, 400)
    upstream.script(DRAW, Answer("No."), Answer("Still no."))
    first = ask(client, TOOL)

    ask(client, TOOL, given="Now?", previous_response_id=first["id"])

    assert given(upstream) == "Error: the picture could not be made. no model is loaded"


# ---- not set up -------------------------------------------------------------------------------------------


def test_where_it_is_set_up_nothing_is_warned_of(
    painter: Running, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(Answer("ok"))
    body = {"model": "m", "input": "hi", "tools": [TOOL]}

    answer = httpx2.post(f"{painter.url}/v1/responses", json=body, timeout=20)

    assert "x-antiphon-warnings" not in answer.headers
