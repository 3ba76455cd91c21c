"""Who is asked, by the names of OpenTelemetry's conventions for generative AI (`gen_ai.provider.name`)."""

from collections.abc import Mapping
from typing import Final

from yarl import URL

_BY_TYPE: Final[Mapping[str, str]] = {"anthropic": "anthropic", "llama": "llama.cpp"}
_BY_HOST: Final[Mapping[str, str]] = {
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
_AZURE: Final = ".openai.azure.com"


def provider_of(kind: str, base_url: str | None) -> str:
    """`kind` is the type of the backend. A server that is nobody's we know goes by whose API it speaks."""
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    host = (URL(base_url).host if base_url else None) or ""
    return "azure.ai.openai" if host.endswith(_AZURE) else _BY_HOST.get(host, "openai")
