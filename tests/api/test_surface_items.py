"""Every item type, content part and annotation: kept and listed by conversations, read in a later turn."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from openai.types.beta import BetaResponseItem
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseItem
from tests.api.test_surface import LOOK, ask, data_dir, refused, server
from tests.conftest import Running
from tests.ledger import case, covers, ids_of
from tests.protocol.test_items import CONVERSATION_DIVERGENCES, EXAMPLES, OF_THE_BETA, PNG, stored
from tests.scripted import Answer, Called, Upstream
from tests.sdk_types import check

from antiphon.context.seal import Seal
from antiphon.protocol.request import Include

__all__ = ["data_dir", "server"]

Json = dict[str, Any]
QUESTION = {"role": "user", "content": "And now?"}


# What we show and the SDK's types don't know: each has its row in the ledger.
DIVERGENCES = CONVERSATION_DIVERGENCES | {"local_shell_call_output": {"$.call_id"}}


@pytest.fixture
def bare(server: Running) -> Iterator[httpx2.Client]:
    """HTTP without the harness's checks, since the tests below hold items against the SDK themselves."""
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        yield http


def faults(shown: Json, sdk_type: Any) -> set[str]:
    found = {fault.partition(":")[0] for fault in check(shown, sdk_type)}
    return found - DIVERGENCES.get(shown["type"], set())


def with_type(kind: str, example: Json) -> Json:
    return {"type": kind, **example}


def as_shown(item: Json) -> Json:
    """How an item is shown, but for an id that the server gives."""
    return {name: member for name, member in stored(item).items() if name != "id" or "id" in item}


EVERYTHING: Any = {"include[]": get_args(Include)}

# ---- conversations ----------------------------------------------------------------------------------


# They stand in a request to a conversation, and never in it.
UNKEPT = {"item_reference", "compaction_trigger"}


@covers(*ids_of("item.conversation"))
@pytest.mark.parametrize(
    "row_id", [row for row in ids_of("item.conversation") if row.split(".")[2] not in UNKEPT]
)
def test_an_item_is_kept_by_a_conversation_and_shown_as_the_sdk_reads_it(
    bare: httpx2.Client, row_id: str
) -> None:
    kind = row_id.rpartition(".")[2]
    least, most = (with_type(kind, example) for example in EXAMPLES[kind])
    created = bare.post("/v1/conversations", json={"items": [least]}).json()
    empty = bare.post("/v1/conversations", json={}).json()
    url = f"/v1/conversations/{empty['id']}/items"
    added = bare.post(url, params=EVERYTHING, json={"items": [most]}).json()
    assert added["object"] == "list"
    for conversation, sent in ((created, least), (empty, most)):
        url = f"/v1/conversations/{conversation['id']}/items"
        (shown,) = bare.get(url, params=EVERYTHING).json()["data"]
        assert bare.get(f"{url}/{shown['id']}", params=EVERYTHING).json() == shown
        assert {name: shown[name] for name in as_shown(sent)} == as_shown(sent)
        assert faults(shown, ConversationItem) == set()
        assert conversation is created or added["data"] == [shown]


# ---- POST /responses --------------------------------------------------------------------------------

# What must stand beside an item: the call of an output, the output of a call.
ANSWERS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "tool_search_call": "tool_search_output",
    "program": "program_output",
    "mcp_approval_request": "mcp_approval_response",
    "multi_agent_call": "multi_agent_call_output",
}
BOUND = {
    "mcp_approval_request": {"id": "mcpr_1"},
    "mcp_approval_response": {"approval_request_id": "mcpr_1", "approve": False},
}
CALLS = {answer: call for call, answer in ANSWERS.items()}


def in_company(kind: str, size: int) -> list[Json]:
    """An example of an item, with the item that it needs beside it."""
    call = CALLS.get(kind, kind)
    if call not in ANSWERS:
        return [with_type(kind, EXAMPLES[kind][size])]
    answer = ANSWERS[call]
    asked = {**with_type(call, EXAMPLES[call][size]), **BOUND.get(call, {"call_id": "call_1"})}
    given = {**with_type(answer, EXAMPLES[answer][size]), **BOUND.get(answer, {"call_id": "call_1"})}
    return [asked, given]


# The largest examples of these name files that nobody has put there.
WITH_FILES = {"function_call_output", "computer_call_output"}
# Each of these has a test of its own below.
OTHERWISE = {"compaction", "compaction_trigger", "item_reference", "message", "additional_tools"}
READ = [row for row in ids_of("item.input", does="acts") if row.split(".")[2] not in OTHERWISE]


@covers(*ids_of("item.input", does="acts"))
@pytest.mark.parametrize(
    "row_id",
    [row_id for row_id in ids_of("item.input", does="acts") if row_id.split(".")[2] not in OTHERWISE],
)
@pytest.mark.parametrize("size", [0, 1], ids=["least", "most"])
def test_an_item_is_read_in_a_later_turn_and_listed_as_its_input(
    bare: httpx2.Client, upstream: Upstream, row_id: str, size: int
) -> None:
    kind = row_id.rpartition(".")[2]
    given = in_company(kind, 0 if {kind, ANSWERS.get(kind)} & WITH_FILES else size)
    upstream.script(Answer("{}"))  # one of the items asks for JSON
    response = ask(bare, input=[*given, QUESTION])
    assert upstream.last.body["messages"][-1] == QUESTION
    page = bare.get(
        f"/v1/responses/{response['id']}/input_items", params={"order": "asc", **EVERYTHING}
    ).json()
    for sent, shown in zip(given, page["data"], strict=False):
        union = BetaResponseItem if kind in OF_THE_BETA else ResponseItem
        assert faults(shown, union) == set()
        assert {name: shown[name] for name in as_shown(sent)} == as_shown(sent)


MESSAGES = [
    case("item.input.message.easy", {"role": "user", "content": "One"}, "user"),
    case("item.input.message.easy", {"type": "message", "role": "assistant", "content": "One"}, "assistant"),
    case("item.input.message.easy", {"role": "developer", "content": "One"}, "developer"),
    case("item.input.message.easy", {"role": "system", "content": "One"}, "system"),
    case(
        "item.input.message.input",
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One"}]},
        "user",
        also=("part.input_text",),
    ),
    case(
        "item.input.message.output",
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [{"type": "output_text", "text": "One", "annotations": [], "logprobs": []}],
        },
        "assistant",
        also=("part.output_text",),
    ),
]


@pytest.mark.parametrize(("message", "role"), MESSAGES)
def test_a_message_reaches_the_model_in_any_of_its_forms(
    http: httpx2.Client, upstream: Upstream, message: Json, role: str
) -> None:
    upstream.script(Answer("Hello"))
    ask(http, input=[message, QUESTION], store=False)
    assert upstream.last.body["messages"] == [{"role": role, "content": "One"}, QUESTION]


@covers("item.input.item_reference")
def test_a_reference_stands_for_an_item_that_is_kept(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"), Answer("Hello"))
    kept = ask(http)["output"][0]
    ask(http, input=[{"type": "item_reference", "id": kept["id"]}, QUESTION])
    assert upstream.last.body["messages"] == [{"role": "assistant", "content": "Hello"}, QUESTION]


@covers("item.input.additional_tools")
def test_tools_may_come_with_the_input(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("look")]))
    tools = {"type": "additional_tools", "role": "developer", "tools": [LOOK]}
    response = ask(http, input=[tools, QUESTION])
    assert upstream.last.body["tools"][0]["function"]["name"] == "look"
    assert response["output"][0]["name"] == "look"


@covers("item.input.configuration_update")
def test_settings_may_change_with_the_input(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    update = {"type": "configuration_update", "reasoning": {"effort": "high"}}
    ask(http, input=[update, QUESTION], reasoning={"effort": "low"})
    assert upstream.last.body["reasoning_effort"] == "high"


@covers("item.input.compaction")
def test_what_this_server_compacted_is_read(http: httpx2.Client, upstream: Upstream, data_dir: Path) -> None:
    upstream.script(Answer("Hello"))
    sealed = Seal.at(data_dir / "sealing.key").seal("default", "compaction", "They spoke of Oslo.")
    ask(http, input=[{"type": "compaction", "encrypted_content": sealed}, QUESTION])
    assert "They spoke of Oslo." in json.dumps(upstream.last.body["messages"])


@covers("item.input.compaction_trigger", "item.output.compaction")
def test_a_compaction_can_be_asked_for(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("They spoke of Oslo."), Answer("Hello"))
    trigger = {"type": "compaction_trigger"}
    (compaction,) = ask(http, input=[QUESTION, trigger])["output"]
    assert compaction["type"] == "compaction"
    ask(http, input=[compaction, QUESTION])
    assert "They spoke of Oslo." in json.dumps(upstream.last.body["messages"])
    answer = http.post("/v1/conversations", json={"items": [trigger]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "items[0]")


@covers("item.output.message", "item.output.reasoning", "item.output.function_call")
def test_these_items_come_from_a_model(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="Hm.", calls=[Called("look")]))
    output = ask(http, tools=[LOOK])["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]


@covers(*ids_of("item.output", does="refuses"))
@pytest.mark.parametrize("row_id", ids_of("item.output", does="refuses"))
def test_no_other_item_comes_from_a_model_whatever_it_calls(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    """A name that is no function's goes to the client as a call of a function of that name."""
    kind = row_id.rpartition(".")[2]
    upstream.script(Answer(calls=[Called(kind.removesuffix("_output").removesuffix("_call"))]))
    assert [item["type"] for item in ask(http, tools=[LOOK])["output"]] == ["function_call"]


# ---- content parts ----------------------------------------------------------------------------------

AUDIO = {"data": "aGVsbG8=", "format": "mp3"}
PARTS = [
    case("part.input_text", "user", {"type": "input_text", "text": "One"}, "One"),
    case(
        "part.input_image",
        "user",
        {"type": "input_image", "image_url": PNG, "detail": "low"},
        [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}],
    ),
    case(
        "part.input_audio",
        "user",
        {"type": "input_audio", "input_audio": AUDIO},
        [{"type": "input_audio", "input_audio": AUDIO}],
    ),
    case("part.output_text", "assistant", {"type": "output_text", "text": "One"}, "One"),
    case("part.refusal", "assistant", {"type": "refusal", "refusal": "No."}, "No."),
]


@pytest.mark.parametrize(("role", "part", "told"), PARTS)
def test_a_content_part_reaches_the_model(
    http: httpx2.Client, upstream: Upstream, role: str, part: Json, told: object
) -> None:
    upstream.script(Answer("Hello"))
    ask(http, input=[{"role": role, "content": [part]}, QUESTION], store=False)
    assert upstream.last.body["messages"][0] == {"role": role, "content": told}


@covers("part.reasoning_text", "part.summary_text")
def test_parts_of_reasoning_are_kept(http: httpx2.Client) -> None:
    thought = with_type("reasoning", EXAMPLES["reasoning"][1])
    conversation = http.post("/v1/conversations", json={"items": [thought]}).json()
    (shown,) = http.get(f"/v1/conversations/{conversation['id']}/items").json()["data"]
    assert (shown["content"], shown["summary"]) == (thought["content"], thought["summary"])
    assert {part["type"] for part in (*shown["content"], *shown["summary"])} == {
        "reasoning_text",
        "summary_text",
    }


REFUSED_PARTS = [
    case("part.text", {"type": "text", "text": "One"}, "input[0].content[0].type"),
    case(
        "part.computer_screenshot",
        {"type": "computer_screenshot", "image_url": PNG},
        "input[0].content[0]",
    ),
    case("part.scoped_content", {"type": "scoped_content"}, "input[0].content[0].type"),
    case(
        "part.encrypted_content",
        {"type": "encrypted_content", "encrypted_content": "x"},
        "input[0].content[0]",
    ),
]


@pytest.mark.parametrize(("part", "param"), REFUSED_PARTS)
def test_what_no_message_has_is_refused(
    http: httpx2.Client, upstream: Upstream, part: Json, param: str
) -> None:
    message = {"role": "user", "content": [part]}
    assert refused(http, input=[message])[:2] == (400, param)
    assert upstream.requests == []
    assert http.post("/v1/conversations", json={"items": [message]}).status_code == 400


ANNOTATIONS = [
    case("annotation.file_citation", {"file_id": "file-1", "filename": "a.txt", "index": 0}),
    case(
        "annotation.url_citation",
        {"url": "https://example.com", "title": "A", "start_index": 0, "end_index": 3},
    ),
    case(
        "annotation.container_file_citation",
        {
            "container_id": "cntr_1",
            "file_id": "cfile_1",
            "filename": "a",
            "start_index": 0,
            "end_index": 3,
        },
    ),
    case("annotation.file_path", {"file_id": "file-1", "index": 0}),
]


@pytest.mark.parametrize("members", ANNOTATIONS)
def test_an_annotation_is_kept(
    http: httpx2.Client, upstream: Upstream, members: Json, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.id.removeprefix("annotation.")
    part = {"type": "output_text", "text": "One", "annotations": [{"type": kind, **members}]}
    message = {"role": "assistant", "content": [part]}
    upstream.script(Answer("Hello"))
    response = ask(http, input=[message, QUESTION])
    page = http.get(f"/v1/responses/{response['id']}/input_items", params={"order": "asc"}).json()
    assert page["data"][0]["content"][0]["annotations"] == part["annotations"]
