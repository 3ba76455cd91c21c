"""Answers of a scripted upstream in the form of Anthropic's Messages API.

The events are those of its reference, down to their members; `Upstream` gives them out as they are (`raw`).
"""

import json
from collections.abc import Sequence
from typing import Any

from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings, Config
from antiphon.config.settings import Sandbox, Server

Json = dict[str, Any]
USAGE: Json = {"input_tokens": 7, "output_tokens": 1}


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def text(said: str, size: int = 0) -> list[Any]:
    return [{"type": "text", "text": ""}, *({"type": "text_delta", "text": p} for p in _pieces(said, size))]


def thinking(thought: str, signature: str = "c2lnbmVk", size: int = 0) -> list[Any]:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(thought, size)]
    signed = [{"type": "signature_delta", "signature": signature}] if signature else []
    return [{"type": "thinking", "thinking": "", "signature": ""}, *deltas, *signed]


def redacted(data: str) -> list[Any]:
    return [{"type": "redacted_thinking", "data": data}]


def tool(name: str, arguments: str, call_id: str, size: int = 0) -> list[Any]:
    deltas = [{"type": "input_json_delta", "partial_json": p} for p in ("", *_pieces(arguments, size))]
    return [{"type": "tool_use", "id": call_id, "name": name, "input": {}}, *deltas]


def began(**usage: Any) -> bytes:
    message = {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-opus-4-6",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**USAGE, **usage},
    }
    return event("message_start", message=message)


def blocks(*said: list[Any]) -> list[bytes]:
    found: list[bytes] = []
    for index, (block, *deltas) in enumerate(said):
        found.append(event("content_block_start", index=index, content_block=block))
        found += (event("content_block_delta", index=index, delta=delta) for delta in deltas)
        found.append(event("content_block_stop", index=index))
    return found


def ended(reason: str, details: Json | None = None, **usage: Any) -> list[bytes]:
    delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": details}
    return [
        event("message_delta", delta=delta, usage={"output_tokens": 5, **usage}),
        event("message_stop"),
    ]


def stream(
    *said: list[Any], reason: str = "end_turn", usage: Json | None = None, details: Json | None = None
) -> list[bytes]:
    return [began(**(usage or {})), event("ping"), *blocks(*said), *ended(reason, details)]


def answer(*said: list[Any], reason: str = "end_turn", **more: Any) -> Answer:
    """An answer for `Upstream.script`."""
    return Answer(raw=stream(*said, reason=reason, **more))


def config(upstream: Upstream, data_dir: str, **settings: Any) -> Config:
    """Antiphon in front of it."""
    backend = BackendSettings(type="anthropic", base_url=upstream.base_url, default=True, **settings)
    return Config(
        data_dir=data_dir,
        server=Server(verify=True),
        backends={"claude": backend},
        sandbox=Sandbox(driver="none"),
    )


def _pieces(said: str, size: int) -> Sequence[str]:
    size = size or len(said) or 1
    return [said[at : at + size] for at in range(0, len(said), size)]
