"""How a model is named: on the command line, and by `model` of a backend."""

import re
from typing import Final

from msgspec import Struct

from antiphon.weights.errors import WeightsError

DEFAULT_NAME: Final = "SmolLM2-135M-Instruct"
FORMS: Final = "hf:OWNER/REPO, hf:OWNER/REPO:Q4_K_M, hf:OWNER/REPO:FILE.gguf or FILE.gguf"
_HUB: Final = re.compile(
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?(?::(?P<wanted>\w[\w.+/-]*))?", re.ASCII
)


class Default(Struct, frozen=True):
    """The model that everybody has, from a Python package."""

    def __str__(self) -> str:
        return DEFAULT_NAME


class OnHub(Struct, frozen=True):
    """A model of a repository of Hugging Face's hub, or of a server that speaks like it."""

    repo: str
    """OWNER/REPO"""
    revision: str = "main"
    wanted: str = ""
    """The name of a file, or of a quantization; empty: what the repository has, when that is clear."""

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf:{self.repo}{revision}{f':{self.wanted}' if self.wanted else ''}"


class OnDisk(Struct, frozen=True):
    """A file, by its path."""

    path: str

    def __str__(self) -> str:
        return self.path


class Named(Struct, frozen=True):
    """A model that was fetched before, by its name."""

    name: str

    def __str__(self) -> str:
        return self.name


Reference = Default | OnHub | OnDisk | Named


def parse(text: str) -> Reference:
    """What a text names. Raises `WeightsError` for one that names nothing."""
    text = text.strip()
    if text.lower() in ("", "default", DEFAULT_NAME.lower()):
        return Default()
    if text.startswith("hf:"):
        return _on_hub(text)
    if text.lower().endswith(".gguf"):
        return OnDisk(text)
    if not re.fullmatch(r"\w[\w .+-]*", text):
        raise WeightsError(f"'{text}' names no model. A model is {FORMS}.")
    return Named(text)


def _on_hub(text: str) -> OnHub:
    found = _HUB.fullmatch(text.removeprefix("hf:"))
    if found is None or ".." in text:
        raise WeightsError(f"'{text}' names no model. A model is {FORMS}.")
    return OnHub(found["repo"], found["revision"] or "main", found["wanted"] or "")
