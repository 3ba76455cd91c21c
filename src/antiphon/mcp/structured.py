"""What a tool gives as structured content, as text that a model reads."""

from typing import Any

import msgspec

_WRAPPED = "result"
"""Libraries wrap what is no object in one with this member alone."""


def with_structured(content: list[dict[str, Any]], structured: Any) -> list[dict[str, Any]]:
    """The content, and behind it the structured content, unless a text says the same: servers should send
    both (the MCP specification on tools), and some send a summary and the data."""
    if structured is None or _says(content, structured):
        return content
    return [*content, {"type": "text", "text": msgspec.json.encode(structured).decode()}]


def _says(content: list[dict[str, Any]], structured: Any) -> bool:
    texts = [str(block.get("text", "")) for block in content if block.get("type") == "text"]
    values = [_value(text) for text in texts]
    wrapped = isinstance(structured, dict) and structured.keys() == {_WRAPPED}
    meant = [structured, structured[_WRAPPED]] if wrapped else [structured]
    return any(each in (*values, values, *texts, texts) for each in meant)


def _value(text: str) -> Any:
    """The JSON in a text, or the text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
