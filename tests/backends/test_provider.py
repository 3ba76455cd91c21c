"""Who is asked, as traces call it."""

import pytest

from antiphon.backends.provider import provider_of


@pytest.mark.parametrize(
    ("kind", "base_url", "provider"),
    [
        ("chat_completions", "https://api.groq.com/openai/v1", "groq"),
        ("chat_completions", "https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("chat_completions", "http://127.0.0.1:8080/v1", "openai"),
        ("responses", "https://api.x.ai/v1", "x_ai"),
        ("anthropic", None, "anthropic"),
        ("llama", None, "llama.cpp"),
    ],
)
def test_a_provider_goes_by_its_host_or_by_whose_api_it_speaks(
    kind: str, base_url: str | None, provider: str
) -> None:
    assert provider_of(kind, base_url) == provider
