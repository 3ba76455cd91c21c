"""Items: what clients send, what is stored, and what the SDK reads."""

import gc
import json
from typing import Any

import msgspec
import pytest
from openai.types.beta import BetaResponseItem
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseItem
from tests.papers import picture_url
from tests.sdk_types import check, models

from antiphon.protocol import items
from antiphon.protocol.ids import new_item_id
from antiphon.protocol.wire import encode

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
PNG = picture_url()
PROGRAM = {"type": "program", "caller_id": "call_p"}

# For each type of item: what is least, and what is most that a client may send.
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "additional_tools": (
        {"role": "developer", "tools": []},
        {
            "id": "at_1",
            "role": "developer",
            "tools": [{"type": "namespace", "name": "files", "description": "Files.", "tools": [FUNCTION]}],
        },
    ),
    "apply_patch_call": (
        {"call_id": "call_1", "operation": {"type": "delete_file", "path": "a"}},
        {
            "id": "apc_1",
            "status": "in_progress",
            "call_id": "call_1",
            "operation": {"type": "create_file", "path": "a", "diff": "+a"},
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "apply_patch_call_output": (
        {"call_id": "call_1", "status": "failed"},
        {
            "id": "apco_1",
            "call_id": "call_1",
            "status": "completed",
            "output": "done",
            "caller": {"type": "direct"},
            "created_by": "me",
        },
    ),
    "code_interpreter_call": (
        {"container_id": "cntr_1"},
        {
            "id": "ci_1",
            "status": "interpreting",
            "container_id": "cntr_1",
            "code": "1 + 1",
            "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": PNG}],
        },
    ),
    "agent_message": (
        {"author": "/root", "recipient": "/root/a", "content": [{"type": "text", "text": "x"}]},
        {
            "id": "amsg_1",
            "agent": {"agent_name": "/root"},
            "author": "/root",
            "recipient": "/root/a",
            "content": [{"type": "encrypted_content", "encrypted_content": "x"}],
        },
    ),
    "multi_agent_call": (
        {"action": "wait_agent", "arguments": "{}", "call_id": "call_1"},
        {
            "id": "mac_1",
            "agent": {"agent_name": "/root"},
            "action": "wait_agent",
            "arguments": "{}",
            "call_id": "call_1",
        },
    ),
    "multi_agent_call_output": (
        {"action": "wait_agent", "call_id": "call_1", "output": []},
        {
            "id": "maco_1",
            "agent": {"agent_name": "/root"},
            "action": "wait_agent",
            "call_id": "call_1",
            "output": [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}],
        },
    ),
    "compaction": (
        {"encrypted_content": "x"},
        {"id": "cmp_1", "encrypted_content": "x", "created_by": "me"},
    ),
    "computer_call": (
        {"call_id": "call_1", "action": {"type": "screenshot"}},
        {
            "id": "cu_1",
            "status": "completed",
            "call_id": "call_1",
            "actions": [
                {"type": "click", "button": "left", "x": 1, "y": 2, "keys": ["SHIFT"]},
                {"type": "double_click", "x": 1, "y": 2},
                {"type": "drag", "path": [{"x": 1, "y": 2}]},
                {"type": "keypress", "keys": ["A"]},
                {"type": "move", "x": 1, "y": 2},
                {"type": "scroll", "x": 1, "y": 2, "scroll_x": 0, "scroll_y": 9},
                {"type": "type", "text": "hello"},
                {"type": "wait"},
            ],
            "pending_safety_checks": [{"id": "sc_1", "code": "c", "message": "m"}],
        },
    ),
    "computer_call_output": (
        {"call_id": "call_1", "output": {"type": "computer_screenshot", "image_url": PNG}},
        {
            "id": "cuo_1",
            "status": "completed",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "file_id": "file-1"},
            "acknowledged_safety_checks": [{"id": "sc_1"}],
            "created_by": "me",
        },
    ),
    "configuration_update": (
        {},
        {
            "id": "cu_1",
            "reasoning": {"effort": "max"},
            "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}},
        },
    ),
    "custom_tool_call": (
        {"call_id": "call_1", "name": "exec", "input": "ls"},
        {
            "id": "ctc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec",
            "namespace": "functions",
            "input": "ls",
            "async": True,
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "custom_tool_call_output": (
        {"call_id": "call_1", "output": "a b"},
        {
            "id": "ctco_1",
            "status": "incomplete",
            "call_id": "call_1",
            "output": [{"type": "input_image", "image_url": PNG}],
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "file_search_call": (
        {"queries": ["a"]},
        {
            "id": "fs_1",
            "status": "completed",
            "queries": ["a", "b"],
            "results": [
                {"attributes": {"a": 1, "b": "x", "c": True, "d": 0.5}, "file_id": "file-1", "score": 0.5},
                {"filename": "a.txt", "text": "t"},
            ],
        },
    ),
    "function_call": (
        {"call_id": "call_1", "name": "look", "arguments": "{}"},
        {
            "id": "fc_1",
            "status": "in_progress",
            "call_id": "call_1",
            "name": "look",
            "namespace": "files",
            "arguments": "{}",
            "async": False,
            "caller": {"type": "direct"},
            "created_by": "me",
        },
    ),
    "function_call_output": (
        {"call_id": "call_1", "output": "seen"},
        {
            "id": "fco_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "look",
            "namespace": "files",
            "output": [
                {"type": "input_text", "text": "seen"},
                {"type": "input_image", "detail": None, "file_id": "file-1"},
                {"type": "input_file", "file_data": "aGk=", "filename": "a.txt", "detail": "low"},
            ],
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "image_generation_call": (
        {"result": None},
        {
            "id": "ig_1",
            "status": "failed",
            "result": "aGk=",
            "action": "edit",
            "background": "opaque",
            "error": {
                "type": "image_error",
                "code": None,
                "message": "no",
                "param": None,
                "moderation_details": {"categories": ["a"], "moderation_stage": "output"},
            },
            "output_format": "svg",
            "quality": "max",
            "revised_prompt": "a cat",
            "size": "1024x1024",
            "svg_usage": {
                "model": "m",
                "input_tokens": 1,
                "output_tokens": 2,
                "reasoning_tokens": 0,
                "total_tokens": 3,
            },
        },
    ),
    "local_shell_call": (
        {"call_id": "call_1", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {
            "id": "lsh_1",
            "status": "completed",
            "call_id": "call_1",
            "action": {
                "type": "exec",
                "command": ["ls", "-l"],
                "env": {"A": "b"},
                "timeout_ms": 10,
                "user": "me",
                "working_directory": "/",
            },
        },
    ),
    "local_shell_call_output": (
        {"id": "lsh_1", "output": "a"},
        {"id": "lsh_1", "output": "a", "status": "incomplete"},
    ),
    "mcp_approval_request": (
        {"server_label": "s", "name": "n", "arguments": "{}"},
        {"id": "mcpr_1", "server_label": "s", "name": "n", "arguments": "{}"},
    ),
    "mcp_approval_response": (
        {"approval_request_id": "mcpr_1", "approve": True},
        {"id": "mcprr_1", "approval_request_id": "mcpr_1", "approve": False, "reason": "no"},
    ),
    "mcp_call": (
        {"server_label": "s", "name": "n", "arguments": "{}"},
        {
            "id": "mcp_1",
            "status": "failed",
            "server_label": "s",
            "name": "n",
            "arguments": "{}",
            "approval_request_id": "mcpr_1",
            "output": "o",
            "error": {"type": "http_error", "code": 500, "message": "no"},
        },
    ),
    "mcp_list_tools": (
        {"server_label": "s", "tools": []},
        {
            "id": "mcpl_1",
            "server_label": "s",
            "tools": [{"name": "n", "description": "d", "input_schema": {}, "annotations": {"a": 1}}],
            "error": "none",
        },
    ),
    "message": (
        {"role": "user", "content": "hi"},
        {
            "id": "msg_1",
            "status": "completed",
            "role": "developer",
            "content": [
                {
                    "type": "input_text",
                    "text": "hi",
                    "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"},
                },
                {"type": "input_image", "detail": "original", "image_url": PNG},
                {"type": "input_file", "file_url": "https://example.com/a.pdf"},
            ],
        },
    ),
    "program": (
        {"call_id": "call_p", "code": "look()", "fingerprint": "f"},
        {"id": "cm_1", "call_id": "call_p", "code": "look()", "fingerprint": "f"},
    ),
    "program_output": (
        {"call_id": "call_p", "result": "r"},
        {"id": "cmo_1", "call_id": "call_p", "result": "r", "status": "incomplete"},
    ),
    "reasoning": (
        {"summary": []},
        {
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "s"}],
            "content": [{"type": "reasoning_text", "text": "t"}],
            "encrypted_content": "x",
            "status": "completed",
        },
    ),
    "shell_call": (
        {"call_id": "call_1", "action": {"commands": ["ls"]}},
        {
            "id": "sh_1",
            "status": "completed",
            "call_id": "call_1",
            "action": {"commands": ["ls"], "timeout_ms": 10, "max_output_length": 100},
            "environment": {"type": "container_reference", "container_id": "cntr_1"},
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "shell_call_output": (
        {"call_id": "call_1", "output": []},
        {
            "id": "sho_1",
            "status": "completed",
            "call_id": "call_1",
            "output": [
                {"outcome": {"type": "timeout"}, "stdout": "", "stderr": "", "created_by": "me"},
                {"outcome": {"type": "exit", "exit_code": 1}, "stdout": "a", "stderr": "b"},
            ],
            "max_output_length": 100,
            "caller": PROGRAM,
            "created_by": "me",
        },
    ),
    "tool_search_call": (
        {"arguments": {"query": "weather"}},
        {
            "id": "tsc_1",
            "status": "completed",
            "call_id": "call_1",
            "execution": "client",
            "arguments": {},
            "created_by": "me",
        },
    ),
    "tool_search_output": (
        {"tools": [FUNCTION]},
        {
            "id": "tso_1",
            "status": "completed",
            "call_id": "call_1",
            "execution": "client",
            "tools": [FUNCTION],
            "created_by": "me",
        },
    ),
    "web_search_call": (
        {"action": {"type": "open_page"}},
        {
            "id": "ws_1",
            "status": "completed",
            "action": {
                "type": "search",
                "query": "a",
                "queries": ["a"],
                "sources": [{"type": "url", "url": "https://example.com"}],
            },
        },
    ),
}

ASSISTANT_MESSAGES: list[dict[str, Any]] = [
    {"role": "assistant", "content": "hello"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "incomplete",
        "phase": "commentary",
        "content": [
            {"type": "output_text", "text": "bare"},
            {"type": "output_text", "text": "nulls", "annotations": [], "logprobs": None},
            {
                "type": "output_text",
                "text": "full",
                "annotations": [
                    {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 1},
                    {"type": "file_path", "file_id": "file-1", "index": 1},
                    {
                        "type": "url_citation",
                        "url": "https://example.com",
                        "title": "t",
                        "start_index": 0,
                        "end_index": 1,
                    },
                    {
                        "type": "container_file_citation",
                        "container_id": "cntr_1",
                        "file_id": "cfile_1",
                        "filename": "a.png",
                        "start_index": 0,
                        "end_index": 1,
                    },
                ],
                "logprobs": [
                    {
                        "token": "f",
                        "bytes": [102],
                        "logprob": -0.5,
                        "top_logprobs": [{"token": "f", "bytes": [102], "logprob": -0.5}],
                    }
                ],
            },
            {"type": "refusal", "refusal": "no"},
        ],
    },
]

EXAMPLE_ITEMS = [
    pytest.param({"type": name, **example}, id=f"{name}-{size}")
    for name, pair in EXAMPLES.items()
    for size, example in zip(("least", "most"), pair, strict=True)
] + [pytest.param(message, id="assistant") for message in ASSISTANT_MESSAGES]

OF_THE_BETA = {"agent_message", "multi_agent_call", "multi_agent_call_output"}
IN_CONVERSATIONS = [
    param for param in EXAMPLE_ITEMS if str(param.values[0].get("type", "")) not in OF_THE_BETA
]

# The SDK's item of a conversation knows no status of custom tools, though the API shows one.
CONVERSATION_DIVERGENCES = {
    "custom_tool_call": {"$.status", "$.created_by"},
    "custom_tool_call_output": {"$.status", "$.created_by"},
}


def read(value: dict[str, Any]) -> items.InputItem:
    return items.decode_item(json.dumps(value).encode())


def stored(value: dict[str, Any]) -> dict[str, Any]:
    """The item as it is shown after it was stored."""
    item = read(value)
    assert isinstance(item, items.Item)
    return json.loads(encode(item.stored(new_item_id)))


def test_every_item_type_has_an_example() -> None:
    assert set(EXAMPLES) == set(items.INPUT_ITEMS) - {"item_reference", "compaction_trigger"}


def test_every_stored_item_type_is_one_that_the_sdk_lists() -> None:
    for union in (ResponseItem, ConversationItem):
        listed = {model.model_fields["type"].annotation.__args__[0] for model in models(union)}
        assert set(EXAMPLES) - OF_THE_BETA == listed


def test_every_item_type_has_an_id_prefix() -> None:
    assert all(items.INPUT_ITEMS[name].prefix for name in EXAMPLES)


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_a_stored_item_is_exactly_what_the_sdk_expects_in_a_list_of_input_items(
    value: dict[str, Any],
) -> None:
    shown = stored(value)
    union = BetaResponseItem if shown["type"] in OF_THE_BETA else ResponseItem
    assert check(shown, union) == []


@pytest.mark.parametrize("value", IN_CONVERSATIONS)
def test_a_stored_item_is_exactly_what_the_sdk_expects_in_a_conversation(value: dict[str, Any]) -> None:
    shown = stored(value)
    tolerated = CONVERSATION_DIVERGENCES.get(shown["type"], set())
    assert [fault for fault in check(shown, ConversationItem) if fault.split(":")[0] not in tolerated] == []


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_a_stored_item_reads_back_as_itself_and_is_stored_but_once(value: dict[str, Any]) -> None:
    item = read(value)
    assert isinstance(item, items.Item)
    kept = item.stored(new_item_id)
    assert items.decode_stored(encode(kept)) == kept
    assert kept.stored(new_item_id) == kept


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_what_a_client_sends_is_in_the_stored_item_unchanged(value: dict[str, Any]) -> None:
    shown = stored(value)
    for name in value.keys() - {"content", "output", "tools", "text"}:
        if isinstance(value[name], str | bool):
            assert shown[name] == value[name]


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_null_is_as_good_as_absent_for_id_and_status(value: dict[str, Any]) -> None:
    bare = {name: member for name, member in value.items() if name not in ("id", "status")}
    nulls: dict[str, Any] = {**bare, "id": None}
    if "status" in items.item_class(value).__struct_fields__:  # type: ignore[union-attr]
        nulls["status"] = None
    assert read(nulls) == read(bare)


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_the_type_found_in_json_and_in_decoded_json_is_the_same(value: dict[str, Any]) -> None:
    assert type(read(value)) is items.item_class(value)


@pytest.mark.parametrize("value", EXAMPLE_ITEMS)
def test_an_unknown_member_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `bogus`"):
        read({**value, "bogus": 1})


def test_storing_leaves_the_item_itself_as_it_was() -> None:
    message = read({"role": "user", "content": "hi"})
    assert isinstance(message, items.InputMessage)
    message.stored(new_item_id)
    assert message == items.InputMessage(role="user", content="hi")


def test_text_of_a_user_becomes_an_input_text() -> None:
    shown = stored({"id": "msg_1", "role": "user", "content": "hi"})
    assert shown == {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "hi"}],
    }


def test_text_of_the_assistant_becomes_an_output_text_with_empty_annotations_and_logprobs() -> None:
    shown = stored({"id": "msg_1", "role": "assistant", "content": "hi"})
    part = {"type": "output_text", "annotations": [], "text": "hi", "logprobs": []}
    assert shown == {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def test_what_parts_may_share_when_it_is_empty_cannot_be_changed() -> None:
    part = read({"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}).content[0]  # type: ignore[attr-defined]
    assert (part.annotations, part.logprobs) == ((), ())


def test_reasoning_shows_no_status_unless_it_came_with_one() -> None:
    assert "status" not in stored({"type": "reasoning", "summary": []})


def test_an_error_text_of_an_mcp_call_becomes_a_structured_error() -> None:
    shown = stored({"type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}", "error": "no"})
    assert shown["error"] == {"type": "mcp_tool_execution_error", "content": "no"}
    assert shown["status"] == "failed"
    assert check(shown, ResponseItem) == []


@pytest.mark.parametrize(("call_id", "execution"), [(None, "server"), ("call_1", "client")])
def test_a_tool_search_with_a_call_id_is_the_clients(call_id: str | None, execution: str) -> None:
    shown = stored({"type": "tool_search_call", "call_id": call_id, "arguments": {}})
    assert shown["execution"] == execution


def test_the_skills_of_a_local_shell_are_not_shown() -> None:
    skill = {"name": "n", "description": "d", "path": "/p"}
    shown = stored(
        {
            "type": "shell_call",
            "call_id": "call_1",
            "action": {"commands": []},
            "environment": {"type": "local", "skills": [skill]},
        }
    )
    assert shown["environment"] == {"type": "local"}
    assert check(shown, ResponseItem) == []


@pytest.mark.parametrize("value", [{"id": "msg_1"}, {"id": "msg_1", "type": None}])
def test_an_id_alone_is_a_reference(value: dict[str, Any]) -> None:
    assert read(value) == items.ItemReference(id="msg_1")
    assert items.item_class(value) is items.ItemReference


def test_what_is_not_kept_has_no_stored_form() -> None:
    assert not isinstance(read({"type": "compaction_trigger"}), items.Item)
    assert not isinstance(read({"type": "item_reference", "id": "msg_1"}), items.Item)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"type": "bogus"},
        {"type": 7},
        {"role": "bogus", "content": "x"},
        {"role": 7, "content": "x"},
        {"id": "msg_1", "content": "x"},
    ],
)
def test_an_item_of_no_known_type_or_role_is_refused(value: dict[str, Any]) -> None:
    assert items.item_class(value) is None
    with pytest.raises(msgspec.ValidationError):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        {"role": "user"},
        {"role": "user", "content": "x", "phase": "commentary"},
        {"role": "user", "content": [{"type": "output_text", "text": "x"}]},
        {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
        {"role": "assistant", "content": "x", "phase": "bogus"},
        {"type": "function_call", "call_id": "", "name": "n", "arguments": ""},
        {"type": "function_call", "call_id": "c" * 65, "name": "n", "arguments": ""},
        {"type": "additional_tools", "role": "user", "tools": []},
    ],
)
def test_an_item_that_breaks_a_rule_is_refused(value: dict[str, Any]) -> None:
    assert items.item_class(value) is not None
    with pytest.raises(msgspec.ValidationError):
        read(value)


def test_audio_in_a_message_of_the_user_is_accepted() -> None:
    """The SDK has the part, but no union that holds it."""
    part = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    assert stored({"role": "user", "content": [part]})["content"] == [part]


def _text_parts(count: int) -> bytes:
    parts = b",".join([b'{"type":"input_text","text":"a"}'] * count)
    return b"[" + parts + b"]"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"message","role":"user","content":' + _text_parts(2) + b"}",
        b'{"type":"message","role":"user","content":"a"}',
        b'{"type":"function_call_output","call_id":"c","output":' + _text_parts(2) + b"}",
        b'{"type":"custom_tool_call_output","call_id":"c","output":' + _text_parts(2) + b"}",
    ],
)
def test_a_long_context_of_items_that_clients_write_is_nothing_for_the_garbage_collector(raw: bytes) -> None:
    gc.collect()
    before = len(gc.get_objects())
    kept = [items.decode_item(raw).stored(new_item_id) for _ in range(1_000)]
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(kept) == 1_000
