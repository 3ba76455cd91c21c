"""What a real Chat Completions server refuses: the rules that `scripted.Upstream` holds requests to."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

# The parameters of POST /v1/chat/completions in OpenAI's reference.
KNOWN = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}


def complaint(
    body: Any, extensions: frozenset[str] = frozenset(), strict_template: bool = False
) -> str | None:
    """The first thing that is wrong with a request."""
    rules = [_parameters(body, extensions)]
    if isinstance(body, dict):
        rules += [_messages(body), _tools(body), _sampling(body), _format(body)]
        if strict_template:
            rules.append(_template(body))
    return next((wrong for rule in rules for wrong in rule), None)


def _parameters(body: Any, extensions: frozenset[str]) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "We could not parse the JSON body of your request."
        return
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "you must provide a model parameter"
    for name in body:
        if name not in KNOWN | extensions:
            yield f"Unrecognized request argument supplied: {name}"
        if body[name] is None:
            yield f"'{name}' is null"
    if "stream_options" in body and not body.get("stream"):
        yield "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."


# ---- messages ---------------------------------------------------------------------------------------


def _messages(body: Any) -> Iterator[str]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1."
        return
    for at, message in enumerate(messages):
        yield from (f"messages[{at}]: {wrong}" for wrong in _message(message))
    yield from _pairs(messages)


def _message(message: Any) -> Iterator[str]:
    role = message.get("role")
    if role not in _PARTS:
        yield f"Invalid value: '{role}'."
        return
    content = message.get("content")
    if content is None and not (role == "assistant" and message.get("tool_calls")):
        yield "Invalid value for 'content': expected a string, got null."
    if isinstance(content, list):
        yield from _content(content, _PARTS[role])
    elif content is not None and not isinstance(content, str):
        yield "Invalid type for 'content'."
    for call in message.get("tool_calls", ()):
        yield from _call(call)
    if "tool_calls" in message and (role != "assistant" or not message["tool_calls"]):
        yield "Invalid 'tool_calls'."
    if ("tool_call_id" in message) != (role == "tool"):
        yield "'tool_call_id' belongs to messages with role 'tool'."


def _content(parts: list[Any], allowed: set[str]) -> Iterator[str]:
    if not parts:
        yield "Invalid 'content': empty array."
    for part in parts:
        kind = part.get("type")
        if kind not in allowed:
            yield f"Invalid content type '{kind}'."
        elif kind not in part:
            yield f"Missing required parameter: '{kind}'."
        elif kind == "image_url" and not re.match("https?:|data:image/", part["image_url"]["url"]):
            yield "Invalid image URL."


def _call(call: Any) -> Iterator[str]:
    function = call.get("function")
    if call.get("type") != "function" or not call.get("id") or not isinstance(function, dict):
        yield "Invalid tool call."
    elif not _NAME.fullmatch(str(function.get("name"))) or not isinstance(function.get("arguments"), str):
        yield "Invalid function of a tool call."


def _pairs(messages: list[Any]) -> Iterator[str]:
    """Every call is answered, at once, and nothing else is."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                yield "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            open_calls.discard(message.get("tool_call_id"))
            continue
        if open_calls:
            break
        open_calls = {call.get("id") for call in message.get("tool_calls", ())}
    if open_calls:
        missing = ", ".join(sorted(map(str, open_calls)))
        yield f"An assistant message with 'tool_calls' must be followed by tool messages: {missing}"


def _template(body: Any) -> Iterator[str]:
    """What the chat templates of Qwen, Mistral and Gemma raise."""
    said = body["messages"]
    roles = [message["role"] for message in said]
    if "developer" in roles:
        yield "Unexpected message role."
    if "system" in roles[1:]:
        yield "System message must be at the beginning."
    if "user" not in roles:
        yield "No user query found in messages."
    spoken = [role for role in roles if role in ("user", "assistant")]
    if any(a == b == "user" for a, b in pairwise(spoken)):
        yield "Conversation roles must alternate user/assistant/user/assistant/..."
    for call in (call for message in said for call in message.get("tool_calls", ())):
        try:
            fits = isinstance(json.loads(call["function"]["arguments"]), dict)
        except ValueError:
            fits = False
        if not fits:
            yield "invalid tool call arguments"


# ---- the rest ---------------------------------------------------------------------------------------


def _tools(body: Any) -> Iterator[str]:
    tools = body.get("tools")
    if not tools:
        yield from (
            f"'{name}' is only allowed when 'tools' are specified."
            for name in ("tool_choice", "parallel_tool_calls")
            if name in body
        )
        if tools is not None:
            yield "Invalid 'tools': empty array. Expected an array with minimum length 1."
        return
    names = [tool.get("function", {}).get("name") for tool in tools]
    for tool, name in zip(tools, names, strict=True):
        if tool.get("type") != "function" or not _NAME.fullmatch(str(name)):
            yield f"Invalid tool '{name}'."
        if tool["function"].get("parameters", {"type": "object"}).get("type") != "object":
            yield f"Invalid schema for function '{name}': schema must be of type 'object'."
    if len(set(names)) < len(names):
        yield "Tool names must be unique."
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        if choice.get("type") != "function" or choice.get("function", {}).get("name") not in names:
            yield "Invalid 'tool_choice': not found in 'tools'."
    elif choice not in ("none", "auto", "required"):
        yield f"Invalid value for 'tool_choice': '{choice}'."


_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}


def _sampling(body: Any) -> Iterator[str]:
    for name, (least, most) in _RANGES.items():
        if name in body and not least <= body[name] <= most:
            yield f"Invalid '{name}'."
    if "top_logprobs" in body and not body.get("logprobs"):
        yield "'top_logprobs' needs 'logprobs'."
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        yield "Invalid 'top_logprobs'."


def _format(body: Any) -> Iterator[str]:
    form = body.get("response_format", {"type": "text"})
    kind = form.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        yield f"Invalid 'response_format' type '{kind}'."
    if kind == "json_schema":
        schema = form.get("json_schema")
        if not isinstance(schema, dict) or not _NAME.fullmatch(str(schema.get("name"))):
            yield "Missing required parameter: 'response_format.json_schema.name'."
        elif not isinstance(schema.get("schema"), dict):
            yield "Missing required parameter: 'response_format.json_schema.schema'."
