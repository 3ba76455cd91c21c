"""What Anthropic's Messages API refuses of a request, so that our bugs show. None: nothing."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

_MEMBERS = {
    *("model", "max_tokens", "messages", "system", "stream", "tools", "tool_choice", "temperature", "top_p"),
    *("thinking", "output_config", "metadata", "service_tier"),
}


def complaint(body: Any) -> str | None:
    """The first thing that is wrong, in the API's words or nearly so."""
    return next(_complaints(body), None)


def _complaints(body: Any) -> Iterator[str]:
    for name in body.keys() - _MEMBERS:
        yield f"{name}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int):
        yield "max_tokens: Field required"
    yield from _of_messages(body["messages"])
    yield from _of_thinking(body)
    blocks = [*body.get("tools", ()), *body.get("system", ())]
    blocks += [block for message in body["messages"] for block in message["content"]]
    if sum("cache_control" in block for block in blocks) > 4:
        yield "A maximum of 4 blocks with cache_control may be provided."
    if any(block.get("type") == "text" and not block["text"].strip() for block in blocks):
        yield "messages: text content blocks must contain non-whitespace text"


def _of_messages(messages: Any) -> Iterator[str]:
    if not messages or messages[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    if any(first["role"] == second["role"] for first, second in pairwise(messages)):
        yield 'messages: roles must alternate between "user" and "assistant"'
    seen: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] not in ("user", "assistant") or not message["content"]:
            yield f"messages.{at}: all messages must have non-empty content"
        asked = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        if seen & set(asked):
            yield "messages: `tool_use` ids must be unique"
        seen |= set(asked)
        if asked:
            yield from _of_results(at, asked, messages[at + 1 : at + 2])


def _of_results(at: int, asked: list[str], following: Any) -> Iterator[str]:
    content = following[0]["content"] if following else []
    first = [block.get("tool_use_id") for block in content[: len(asked)]]
    if sorted(map(str, first)) != sorted(asked):
        yield f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after"


def _of_thinking(body: Any) -> Iterator[str]:
    kind = body.get("thinking", {}).get("type")
    if kind == "enabled" and not 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`"
    if kind in ("enabled", "adaptive") and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if kind == "enabled" and body["messages"][-1]["content"][0]["type"] == "tool_result":
        before = body["messages"][-2]["content"][0]["type"]
        if before not in ("thinking", "redacted_thinking"):
            yield f"messages: Expected `thinking` or `redacted_thinking`, but found `{before}`"
    for message in body["messages"]:
        for block in message["content"]:
            if block["type"] == "thinking" and not block.get("signature"):
                yield "messages: thinking.signature: Field required"
            if block["type"] in ("thinking", "redacted_thinking") and "after" in block:
                yield "messages: thinking.after: Extra inputs are not permitted"
