"""Parameters that the dialect of an upstream does not know: told in words, or echoed for what they are."""

from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import message, refused, response, whole
from tests.ledger import covers
from tests.scripted import Answer, Upstream


@covers("param.text.verbosity")
@pytest.mark.parametrize(
    ("verbosity", "words"), [("low", "Answer briefly"), ("medium", None), ("high", "Answer at length")]
)
def test_verbosity_is_sent_in_words(
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
        told = whole(
            client.responses.create(model="m", input="Hi", extra_body={"prompt_cache_options": asked})
        )
        diagnosed = told.pop("prompt_cache_diagnostics", None)
        assert (diagnosed is not None) == ("comparison_response_id" in asked)
        assert told == response(message("ok"), prompt_cache_options=shown)


@covers("param.access_programs", "param.access_programs.cyber")
def test_access_programs_are_shown(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("ok")

    told = client.responses.create(
        model="m", input="Hi", extra_body={"access_programs": {"cyber": "daybreak_blue"}}
    )
    nothing = client.responses.create(model="m", input="Hi", extra_body={"access_programs": {}})

    assert whole(told) == response(message("ok"), access_programs={"cyber": "daybreak_blue"})
    assert whole(nothing) == response(message("ok"))


@covers("param.image", "param.image.context_compression")
@pytest.mark.parametrize("asked", [{}, {"context_compression": "auto"}, {"context_compression": "disabled"}])
def test_that_images_are_not_compressed_is_reported(client: OpenAI, upstream: Upstream, asked: Any) -> None:
    upstream.script(Answer("ok"))

    told = client.responses.create(model="m", input="Hi", extra_body={"image": asked})

    assert whole(told) == response(message("ok"), image={"context_compression": "disabled"})


@covers("item.input.local_shell_call_output")
@pytest.mark.parametrize("answers", [{"id": "lsh_1"}, {"id": "call_1"}, {"call_id": "call_1"}], ids=str)
def test_the_output_of_a_local_shell_names_its_call_in_any_form(
    client: OpenAI, upstream: Upstream, answers: Any
) -> None:
    upstream.script(Answer("ok"))
    action = {"type": "exec", "command": ["ls"], "env": {}}
    call = {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "action": action}
    output = {"type": "local_shell_call_output", "output": "a.txt", **answers}

    client.responses.create(model="m", input=[{"role": "user", "content": "List"}, call, output])  # type: ignore[list-item]

    _, called, answered = upstream.last.body["messages"]
    assert answered == {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "a.txt"}


def test_the_output_of_a_local_shell_that_nobody_called_is_refused(client: OpenAI) -> None:
    output: Any = {"type": "local_shell_call_output", "id": "lsh_1", "output": "a.txt"}

    with refused(400, None, "input"):
        client.responses.create(model="m", input=[{"role": "user", "content": "List"}, output])
