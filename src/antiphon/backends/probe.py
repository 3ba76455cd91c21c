"""Which server this is, by asking it (docs/internals/upstreams.md section 6).

Each kind of server answers at a path that no other has, or names itself in its list of models.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.backends.dialects import (
    LITELLM,
    LLAMA_CPP,
    LMSTUDIO,
    OLLAMA,
    SGLANG,
    TRANSFORMERS,
    VLLM,
    Dialect,
)


class Reply(Struct, frozen=True):
    """What a server answers to a GET."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; None when it is no JSON, or no success."""
        if self.status != 200:
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


Ask = Callable[[str], Awaitable[Reply]]
"""GET of a path: `/v1/…` stands below the base URL, anything else beside it."""


class Found(Struct, frozen=True):
    dialect: Dialect
    how: str
    """In words for people."""


class _Mark(Struct, frozen=True):
    """An answer that only one kind of server gives."""

    path: str
    member: str
    dialect: Dialect


_MARKS = (
    _Mark("get_model_info", "model_path", SGLANG),
    _Mark("props", "default_generation_settings", LLAMA_CPP),
    _Mark("version", "version", VLLM),
    _Mark("api/v0/models", "data", LMSTUDIO),
    _Mark("api/version", "version", OLLAMA),
)
_OWNERS = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA_CPP,
    "library": OLLAMA,
    "lmstudio": LMSTUDIO,
}
"""Dialects by the `owned_by` of models."""


async def probe(ask: Ask) -> Found | None:
    """What answers; None: an unknown server. Raises what `ask` raises when the server is away."""
    listed = await ask("v1/models")
    if any(name.lower().startswith("x-litellm") for name in listed.headers):
        return Found(LITELLM, "by its x-litellm headers")
    if (server := listed.headers.get("Server", "")).startswith("llama.cpp"):
        return Found(LLAMA_CPP, f"by its header Server: {server}")
    models = listed.json()
    owner = _owner(models)
    if owner in _OWNERS:
        return Found(_OWNERS[owner], f"by owned_by '{owner}' of its models")
    for mark in _MARKS:
        found = (await ask(mark.path)).json()
        if isinstance(found, dict) and mark.member in found:
            return Found(mark.dialect, f"by asking GET /{mark.path}")
    if b"transformers" in (await ask("openapi.json")).body.lower():  # its models are owned by anybody
        return Found(TRANSFORMERS, "by asking GET /openapi.json")
    return None


def _owner(models: Any) -> str:
    entries = models.get("data") if isinstance(models, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    return str(first.get("owned_by") or "").lower() if isinstance(first, dict) else ""
