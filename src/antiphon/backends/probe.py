"""Which server this is, by asking it (docs/internals/upstreams.md section 6).

Each kind of server answers at a path that no other has, or names itself in its list of models.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

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
from antiphon.model.json_text import read_json


class Reply(Struct, frozen=True):
    """What a server answers to a GET."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; None when it is no JSON, or no success."""
        return read_json(self.body) if self.status == 200 else None


Ask = Callable[[str], Awaitable[Reply]]
"""GET of a path: `/v1/…` stands below the base URL, anything else beside it."""


class Found(Struct, frozen=True):
    dialect: Dialect
    how: str
    """In words for people."""
    context_window: int | None = None
    """Tokens of the context of its models, if it says so."""


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
_NOWHERE = "no/such/path"
_OWNERS = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA_CPP,
    "library": OLLAMA,
    "lmstudio": LMSTUDIO,
}
"""Dialects by the `owned_by` of models."""
_DESCRIBED = (
    (b"litellm", LITELLM),
    (b"transformers", TRANSFORMERS),
    (b'"/load_model"', TRANSFORMERS),
)
"""Words of the description that servers give whose models are owned by anybody: LiteLLM 1.108 has no header
of its own on the list of its models, `transformers serve` 5.24 does not write its name."""


async def probe(ask: Ask) -> Found | None:
    """What answers; None: an unknown server. Raises what `ask` raises when the server is away."""
    listed = await ask("v1/models")
    found = await _kind(ask, listed)
    if found is None:
        return None
    if found.dialect is LLAMA_CPP:
        return _as_llama_says(found, (await ask("props")).json())
    entry = _first(listed.json())
    return replace(
        found, context_window=_number(entry.get("max_model_len") or entry.get("max_context_length"))
    )


async def _kind(ask: Ask, listed: Reply) -> Found | None:
    if any(name.lower().startswith("x-litellm") for name in listed.headers):
        return Found(LITELLM, "by its x-litellm headers")
    if (server := listed.headers.get("Server", "")).startswith("llama.cpp"):
        return Found(LLAMA_CPP, f"by its header Server: {server}")
    owner = str(_first(listed.json()).get("owned_by") or "").lower()
    if owner in _OWNERS:
        return Found(_OWNERS[owner], f"by owned_by '{owner}' of its models")
    if (await ask(_NOWHERE)).json() is not None:
        return None  # it answers whatever it is asked: that says nothing
    for mark in _MARKS:
        found = (await ask(mark.path)).json()
        if isinstance(found, dict) and mark.member in found:
            return Found(mark.dialect, f"by asking GET /{mark.path}")
    described = (await ask("openapi.json")).body.lower()
    by_words = (dialect for word, dialect in _DESCRIBED if word in described)
    dialect = next(by_words, None)
    return None if dialect is None else Found(dialect, "by asking GET /openapi.json")


def _as_llama_says(found: Found, properties: Any) -> Found:
    """A template without tools ignores them, and forced calls too; then they are emulated."""
    if not isinstance(properties, dict):
        return found
    caps = properties.get("chat_template_caps")
    tools = not (isinstance(caps, dict) and caps.get("supports_tools") is False)
    modalities = properties.get("modalities")
    sees = not (isinstance(modalities, dict) and modalities.get("vision") is False)
    hears = not (isinstance(modalities, dict) and modalities.get("audio") is False)
    settings = properties.get("default_generation_settings")
    return replace(
        found,
        dialect=replace(found.dialect, tools=tools, images=sees, audio=hears and found.dialect.audio),
        context_window=_number(settings.get("n_ctx")) if isinstance(settings, dict) else None,
    )


def _first(models: Any) -> dict[str, Any]:
    """The first entry of a list of models."""
    entries = models.get("data") if isinstance(models, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
