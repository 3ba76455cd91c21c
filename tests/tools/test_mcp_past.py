"""What past items of MCP servers read as."""

import pytest
from openai import OpenAI
from tests.api.asking import Json
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, read

from antiphon.model import TextPart
from antiphon.protocol.hosted_items import McpCall
from antiphon.tools.registry import REGISTRY

REQUEST: Json = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "files",
    "name": "rm",
    "arguments": '{"path":"a"}',
}
CALL: Json = {
    "type": "mcp_call",
    "id": "mcp_1",
    "server_label": "files",
    "name": "rm",
    "arguments": '{"path":"a"}',
    "approval_request_id": "mcpr_1",
    "output": "Removed.",
}
QUESTION: Json = {"role": "user", "content": "And now?"}


def response(approve: bool, **members: str) -> Json:
    return {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": approve, **members}


@pytest.fixture(params=[False, True], ids=["", "strict template"])
def strict(upstream: Upstream, request: pytest.FixtureRequest) -> None:
    """Servers of either kind refuse a call without its result."""
    upstream.strict_template = request.param


@covers("item.input.mcp_approval_request", "item.input.mcp_call")
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("before", [[REQUEST, response(True)], [response(True)], []], ids=len)
def test_an_approved_call_reads_as_one_call_with_its_result(
    client: OpenAI, upstream: Upstream, before: list[Json]
) -> None:
    upstream.script(Answer("Done."))

    ask(client, given=[*before, CALL, QUESTION])

    called, answered, asked = read(upstream)
    assert [call["function"]["name"] for call in called["tool_calls"]] == ["files__rm"]
    assert (answered["role"], answered["content"]) == ("tool", "Removed.")
    assert answered["tool_call_id"] == called["tool_calls"][0]["id"]
    assert asked == QUESTION


@covers("item.input.mcp_approval_request")
@pytest.mark.usefixtures("strict")
def test_a_call_that_nobody_decided_on_reads_as_nothing(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Done."))

    ask(client, given=[REQUEST, QUESTION])

    assert read(upstream) == [QUESTION]


@covers("item.input.mcp_approval_response")
@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(("reason", "words"), [({}, "call."), ({"reason": "Too risky"}, "call: Too risky")])
def test_a_denial_reads_as_the_result_of_the_call(
    client: OpenAI, upstream: Upstream, reason: dict[str, str], words: str
) -> None:
    upstream.script(Answer("Then not."))

    ask(client, given=[{"role": "user", "content": "Remove a"}, REQUEST, response(False, **reason), QUESTION])

    _, called, answered, _ = read(upstream)
    assert [call["function"]["name"] for call in called["tool_calls"]] == ["files__rm"]
    assert answered["tool_call_id"] == called["tool_calls"][0]["id"]
    assert answered["content"] == f"The user did not approve this {words}"


def test_a_model_without_eyes_reads_of_images_in_words() -> None:
    content = '[{"type":"text","text":"A dot:"},{"type":"image","data":"AAAA","mimeType":"image/png"}]'
    call = McpCall(id="mcp_1", server_label="s", name="draw", arguments="{}", output=content)

    _, answered = REGISTRY.to_messages_without_images(call) or ()

    assert answered.parts == (TextPart("A dot:"), TextPart("[image image/png that this model cannot read]"))
