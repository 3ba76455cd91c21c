"""What a server lists of its models: their names, and how much context each has."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.model import Model
from antiphon.protocol.errors import UpstreamError

# vLLM and SGLang; OpenRouter; Groq; Mistral; LiteLLM.
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens")


class _Models(Struct, frozen=True):
    data: list[dict[str, Any]] | None = None


def listed(body: bytes, *, configured: int | None = None, probed: int | None = None) -> Sequence[Model]:
    """The models in the body of `GET /models`. `configured`: the context of all of them, in tokens, whatever
    the server says; `probed`: what it says elsewhere, for those of which it says nothing here. Raises
    UpstreamError."""
    try:
        entries = msgspec.json.decode(body, type=_Models).data or ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamError("The upstream sent something that we do not understand.") from fault
    return [_model(entry, configured, probed) for entry in entries if isinstance(entry.get("id"), str)]


def _model(entry: dict[str, Any], configured: int | None, probed: int | None) -> Model:
    created, owner, meta = entry.get("created"), entry.get("owned_by"), entry.get("meta")
    told = next((tokens for name in _WINDOWS if (tokens := _tokens(entry.get(name)))), None)
    trained = _tokens(meta.get("n_ctx_train")) if isinstance(meta, dict) else None  # llama.cpp
    return Model(
        # Gemini lists its models as "models/NAME" and answers to both.
        entry["id"].removeprefix("models/"),
        int(created) if isinstance(created, int | float) else 0,
        owner if isinstance(owner, str) and owner else "antiphon",
        configured or told or probed or trained,
    )


def _tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
