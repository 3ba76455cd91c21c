"""Servers of the images API (`/v1/images/generations`, `/v1/images/edits`): what each takes.

A server is a row. What it does not take is not sent, and the client reads so. Sources: OpenAI's reference of
2026-09; the sources and documents of the servers (upstreams.md section 14).
"""

from collections.abc import Mapping
from dataclasses import dataclass

MASK = "input_image_mask"
_OPENAI = frozenset(
    {
        "n",
        "size",
        "quality",
        "background",
        "output_format",
        "output_compression",
        "partial_images",
        "complexity",
        "frame_count",
        "frame_duration_ms",
        "svg",
    }
)
_COMPRESSED = frozenset({"n", "size", "output_format", "output_compression"})


@dataclass(frozen=True)
class ImageDialect:
    """A row."""

    name: str
    makes: frozenset[str]
    """The parameters that it takes beside prompt and model when it makes a picture."""
    edits: frozenset[str]
    """The same when it changes one. `input_image_mask`: it takes a mask as OpenAI does."""
    response_format: bool = True
    """Whether it is asked for base64. OpenAI's models refuse the parameter, and give nothing else."""
    picture_field: str = "image"
    """The form's field for each picture that is changed."""
    chats: bool = False
    """Whether it is a Chat Completions server, whose model answers with pictures."""
    hosts: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    """How it says in its list of models whose they are."""
    models: tuple[str, ...] = ()
    """How names of models begin that it alone has."""


ROWS: Mapping[str, ImageDialect] = {
    row.name: row
    for row in (
        ImageDialect(
            "openai",
            _OPENAI | {"moderation"},
            _OPENAI | {"input_fidelity", MASK},
            response_format=False,
            picture_field="image[]",
            hosts=("api.openai.com",),
            models=("gpt-image-", "chatgpt-image-"),
        ),
        # Its mask is white where the picture changes, OpenAI's is transparent there.
        ImageDialect(
            "vllm_omni",
            frozenset({"n", "size"}),
            _COMPRESSED | {"background"},
            owners=("vllm", "vllm-omni"),
        ),
        ImageDialect(
            "sglang",
            _COMPRESSED | {"quality", "background"},
            _COMPRESSED | {"background", MASK},
            owners=("sglang",),
        ),
        ImageDialect(
            "sd_cpp",
            _COMPRESSED,
            _COMPRESSED | {MASK},
            response_format=False,
            picture_field="image[]",
            models=("sd-cpp-local",),
        ),
        ImageDialect("localai", frozenset({"n", "size", "quality"}), frozenset({"n", "size", MASK})),
        ImageDialect("generic", frozenset({"n", "size"}), frozenset({"n", "size", MASK})),
        ImageDialect("chat", frozenset(), frozenset(), chats=True),
    )
}
GENERIC = ROWS["generic"]


def known_by_name(host: str | None, model: str) -> ImageDialect | None:
    """The row of a server by its address or its model; None: it must be asked."""
    for row in ROWS.values():
        if host in row.hosts or model.startswith(row.models or ("\0",)):
            return row
    return None


def known_by_listing(owners: set[str], models: set[str]) -> ImageDialect:
    """The row of a server by its list of models."""
    for row in ROWS.values():
        if owners & set(row.owners) or any(model.startswith(row.models or ("\0",)) for model in models):
            return row
    return GENERIC
