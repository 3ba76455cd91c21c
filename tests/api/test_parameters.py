"""Parameters that the dialect of an upstream does not know: told in words, or echoed for what they are."""

from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import message, response, whole
from tests.ledger import covers
from tests.scripted import Answer, Upstream


@covers("param.text.verbosity")
@pytest.mark.parametrize(
    ("verbosity", "words"), [("low", "Answer briefly"), ("medium", None), ("high", "Answer at length")]
)
def test_verbosity_is_told_in_words(
    client: OpenAI, upstream: Upstream, verbosity: Any, words: str | None
) -> None:
    upstream.script(Answer("ok"))

    client.responses.create(model="m", input="Hi", text={"verbosity": verbosity}, instructions="Be kind.")

    first = upstream.last.body["messages"][0]["content"]
    assert first == "Be kind." if words is None else first.startswith(words) and first.endswith("Be kind.")


@covers("param.prompt_cache_options", "param.prompt_cache_options.mode", "param.prompt_cache_options.ttl")
def test_cache_options_are_echoed_filled_in(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("ok")

    for asked, shown in (
        ({}, {"mode": "implicit", "ttl": "30m"}),
        ({"mode": "explicit", "ttl": "12h"}, {"mode": "explicit", "ttl": "12h"}),
        (
            {"comparison_response_id": "resp_1", "prewarm": False},
            {"mode": "implicit", "ttl": "30m", "comparison_response_id": "resp_1"},
        ),
    ):
        told = client.responses.create(model="m", input="Hi", extra_body={"prompt_cache_options": asked})
        assert whole(told) == response(message("ok"), prompt_cache_options=shown)


@covers("param.access_programs", "param.access_programs.cyber")
def test_access_programs_are_echoed(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("ok")

    told = client.responses.create(
        model="m", input="Hi", extra_body={"access_programs": {"cyber": "daybreak_blue"}}
    )
    nothing = client.responses.create(model="m", input="Hi", extra_body={"access_programs": {}})

    assert whole(told) == response(message("ok"), access_programs={"cyber": "daybreak_blue"})
    assert whole(nothing) == response(message("ok"))


@covers("param.image", "param.image.context_compression")
@pytest.mark.parametrize("asked", [{}, {"context_compression": "auto"}, {"context_compression": "disabled"}])
def test_that_images_are_not_compressed_is_told(client: OpenAI, upstream: Upstream, asked: Any) -> None:
    upstream.script(Answer("ok"))

    told = client.responses.create(model="m", input="Hi", extra_body={"image": asked})

    assert whole(told) == response(message("ok"), image={"context_compression": "disabled"})
