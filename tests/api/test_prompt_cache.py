"""Prewarming, diagnostics and counts of prompt caches, through the official client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests import messages_script, responses_script
from tests.api.asking import Json, refused, whole
from tests.api.test_service_tiers import chat
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream

from antiphon.config import BackendSettings, Config, Server, hash_key
from antiphon.config.model_settings import ModelSettings

ADD: Any = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
LONG = "Tell me about the river that rises in the east. " * 8


@pytest.fixture(scope="module")
def caching(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose model's server keeps prompts."""
    with Running(with_dialect(_upstream, tmp_path_factory.mktemp("caching"), "vllm")) as running:
        yield running


@pytest.fixture
def warm(caching: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(caching.url) as client:
        yield client


def with_dialect(upstream: Upstream, data_dir: Path, dialect: str, **members: Any) -> Config:
    backend = BackendSettings(base_url=upstream.base_url, default=True, dialect=dialect)
    return replace(config_for(upstream, data_dir), backends={"upstream": backend}, **members)


def prewarm(client: OpenAI, given: Any = LONG, **members: Any) -> Any:
    options = {"prompt_cache_options": {"prewarm": True}}
    return client.responses.create(model="m", input=given, extra_body=options, **members)


# ---- prewarming -------------------------------------------------------------------------------------------


@covers("param.prompt_cache_options.prewarm")
def test_a_prewarmed_prompt_is_read_and_nothing_is_answered(warm: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("The", finish="length")
    asked: Any = {"instructions": "Be brief.", "tools": [ADD]}

    told = prewarm(warm, **asked)
    warm.responses.create(model="m", previous_response_id=told.id, input="Go on.", **asked)

    assert (told.status, told.output, told.usage.input_tokens) == ("completed", [], 7)
    first, second = (each.body for each in upstream.requests)
    assert first["max_tokens"] == 1
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][1]["content"].startswith(first["messages"][1]["content"])
    assert first["tools"] == second["tools"]
    assert "max_tokens" not in second


@covers("param.prompt_cache_options.prewarm")
@pytest.mark.parametrize("mode", [{}, {"background": True}, {"store": False}], ids=str)
def test_a_stream_of_a_prewarmed_prompt_has_no_output(warm: OpenAI, upstream: Upstream, mode: Json) -> None:
    upstream.default = Answer("The", finish="length")

    events = list(prewarm(warm, stream=True, **mode))

    kinds = [event.type for event in events if event.type != "response.queued"]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    assert events[-1].response.output == []
    assert [each.body["max_tokens"] for each in upstream.requests] == [1]


@covers("param.prompt_cache_options.prewarm")
def test_an_answer_that_would_not_do_is_no_fault_of_a_prewarmed_prompt(
    warm: OpenAI, upstream: Upstream
) -> None:
    """One token is no JSON that fits a schema."""
    upstream.default = Answer("{", finish="stop")
    form = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": False}

    assert prewarm(warm, text={"format": form}, reasoning={"summary": "concise"}).status == "completed"
    assert len(upstream.requests) == 1


@covers("param.prompt_cache_options.prewarm")
def test_a_prewarmed_prompt_costs_what_it_took_although_the_call_that_must_be_made_is_not(
    warm: OpenAI, upstream: Upstream
) -> None:
    upstream.default = Answer("The", finish="stop")

    told = prewarm(warm, tools=[ADD], tool_choice="required")

    assert (told.status, told.output) == ("completed", [])
    assert told.usage.input_tokens == 7 * len(upstream.requests) > 0


@covers("param.prompt_cache_options.prewarm")
def test_what_warms_no_cache_is_refused_and_the_setting_named(
    client: OpenAI, upstream: Upstream, tmp_path: Path
) -> None:
    with refused(400, "unsupported_parameter", "prompt_cache_options.prewarm") as refusal:
        prewarm(client)
    assert "caches_prompts" in refusal.message
    assert upstream.requests == []

    upstream.default = Answer("The", finish="length")
    models = {"m": ModelSettings(caches_prompts=True)}
    with (
        Running(with_dialect(upstream, tmp_path, "generic", models=models)) as running,
        checked_client(running.url) as knowing,
    ):
        assert prewarm(knowing).output == []
        with refused(400, "unsupported_parameter", "prompt_cache_options.prewarm"):
            knowing.responses.create(
                model="other", input="Hi", extra_body={"prompt_cache_options": {"prewarm": True}}
            )


@covers("param.prompt_cache_options.prewarm")
@pytest.mark.parametrize("script", [messages_script, responses_script])
def test_other_apis_are_prewarmed_in_their_own_way(upstream: Upstream, tmp_path: Path, script: Any) -> None:
    upstream.script(script.answer(script.text("The")))
    with Running(script.config(upstream, str(tmp_path))) as running, checked_client(running.url) as client:
        assert prewarm(client).output == []

    body = upstream.last.body
    if script is messages_script:
        assert body["max_tokens"] == 1
    else:
        assert (body["max_output_tokens"], body["prompt_cache_options"]) == (16, {"prewarm": True})


# ---- diagnostics ------------------------------------------------------------------------------------------


def diagnosis(client: OpenAI, compared: str, given: Any = LONG, **members: Any) -> Any:
    """What is told of a request beside another response."""
    options = {"comparison_response_id": compared, **members.pop("prompt_cache_options", {})}
    body = {"prompt_cache_options": options, **members.pop("extra_body", {})}
    told = client.responses.create(
        **{"model": "m", "input": given, "extra_body": body, **members}  # type: ignore[arg-type]
    )
    assert whole(client.responses.retrieve(told.id)) == whole(told)
    shown = whole(told)
    assert shown["prompt_cache_options"]["comparison_response_id"] == compared
    return shown["prompt_cache_diagnostics"]


HIT = {"type": "cache_hit"}


@covers("param.prompt_cache_options.comparison_response_id", "field.prompt_cache_diagnostics")
def test_a_prompt_that_begins_with_all_of_another_is_a_hit(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("It is long.")
    first = client.responses.create(model="m", input=LONG, store=True)
    again = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": "It is long."},
        {"role": "user", "content": "How long?"},
    ]

    assert diagnosis(client, first.id) == HIT, "the same again"
    assert diagnosis(client, first.id, again) == HIT, "sent by the client in full"
    assert diagnosis(client, first.id, "How long?", previous_response_id=first.id) == HIT, "continued"
    edited = [again[0], {"role": "assistant", "content": "Short."}, again[2]]
    assert diagnosis(client, first.id, edited) == HIT, "what the model answered was not in its prompt"


@covers("field.prompt_cache_diagnostics")
@pytest.mark.parametrize(
    ("reason", "members"),
    [
        ("model_changed", {"model": "n"}),
        ("prompt_cache_key_changed", {"prompt_cache_key": "k"}),
        ("tools_changed", {"tools": [ADD]}),
        ("text_format_changed", {"text": {"format": {"type": "json_object"}}}),
        ("reasoning_effort_changed", {"reasoning": {"effort": "low"}}),
        ("verbosity_changed", {"text": {"verbosity": "high"}}),
        ("input_changed", {"instructions": "Be brief."}),
    ],
)
def test_a_setting_that_changed_is_why_a_prompt_is_a_miss(
    client: OpenAI, upstream: Upstream, reason: str, members: Json
) -> None:
    upstream.default = Answer("{}")
    first = client.responses.create(model="m", input=LONG)

    told = diagnosis(client, first.id, **members)

    missed = told.pop("cache_missed_tokens")
    assert told == {"type": "cache_miss", "reason": reason, "comparison_reusable_tokens": 0}
    assert missed >= len(LONG) // 4


@covers("field.prompt_cache_diagnostics")
def test_a_service_tier_that_changed_is_told_where_tiers_count(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("ok")
    config = with_dialect(upstream, tmp_path, "generic")
    gated = replace(config, backends={"upstream": replace(config.backends["upstream"], max_concurrency=4)})
    with Running(gated) as running, checked_client(running.url) as client:
        first = client.responses.create(model="m", input=LONG)

        assert diagnosis(client, first.id) == HIT
        assert diagnosis(client, first.id, service_tier="flex")["reason"] == "service_tier_changed"


@covers("field.prompt_cache_diagnostics")
@pytest.mark.parametrize(
    ("asked", "served", "now", "changed"),
    [
        ("flex", "flex", "flex", False),
        ("flex", "default", "flex", False),
        ("flex", None, "flex", False),
        ("ultrafast", "ultrafast", "ultrafast", False),
        ("auto", "priority", "auto", False),
        (None, "priority", None, False),
        ("flex", "flex", "default", True),
        ("flex", "flex", "priority", True),
    ],
)
def test_a_service_tier_that_the_models_server_chose_or_would_serve_again_has_not_changed(
    client: OpenAI, upstream: Upstream, asked: Any, served: str | None, now: Any, changed: bool
) -> None:
    upstream.default = chat(served)
    first = client.responses.create(model="m", input=LONG, service_tier=asked)
    assert first.service_tier == (served or "default")

    told = diagnosis(client, first.id, service_tier=now)

    assert told.get("reason") == ("service_tier_changed" if changed else None)
    assert (told == HIT) is not changed


@covers("field.prompt_cache_diagnostics")
def test_how_much_of_a_prompt_could_be_used_again_is_told_in_tokens(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = Answer("ok")
    begin = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}]
    first = client.responses.create(model="m", input=[*begin, {"role": "user", "content": "A" * 400}])  # type: ignore[list-item]
    counted = client.responses.input_tokens.count(model="m", input=begin).input_tokens  # type: ignore[arg-type]

    for content, more, missed in (("B" * 800, 0, 204), ("A" * 200 + "B" * 200, 54, 50), ("A" * 200, 54, 0)):
        told = diagnosis(client, first.id, [*begin, {"role": "user", "content": content}])
        assert told == {
            "type": "cache_miss",
            "reason": "input_changed",
            "comparison_reusable_tokens": counted + more,
            "cache_missed_tokens": missed,
        }


@covers("field.prompt_cache_diagnostics")
def test_a_busy_tokenizer_is_no_reason_to_refuse_what_is_diagnosed(warm: OpenAI, upstream: Upstream) -> None:
    upstream.default, upstream.tokenizer = Answer("ok"), "busy"
    first = warm.responses.create(model="m", input=LONG)
    upstream.others.clear()

    told = diagnosis(warm, first.id, "Something else. " * 40)

    assert (told["reason"], told["cache_missed_tokens"] > 100) == ("input_changed", True)
    assert upstream.others == []


@covers("field.prompt_cache_diagnostics")
def test_a_context_that_was_compacted_since_is_told(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("A summary")
    first = client.responses.create(model="m", input=LONG)
    compacted = client.responses.compact(model="m", previous_response_id=first.id)
    [*_, item] = compacted.output
    given = [whole(item), {"role": "user", "content": "Go on."}]

    assert diagnosis(client, first.id, given)["reason"] == "context_compacted"


@covers("field.prompt_cache_diagnostics")
def test_what_cannot_be_compared_is_told(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("ok")
    keys = {"one": hash_key("sk-one"), "two": hash_key("sk-two")}
    config = with_dialect(upstream, tmp_path, "generic", server=Server(verify=True, keys=keys))
    with (
        Running(config) as running,
        checked_client(running.url, "sk-one") as client,
        checked_client(running.url, "sk-two") as stranger,
    ):
        first = client.responses.create(model="m", input=LONG)
        unkept = client.responses.create(model="m", input=LONG, store=False)
        nothing = {"type": "comparison_response_not_found"}
        assert diagnosis(stranger, first.id) == nothing
        assert diagnosis(client, unkept.id) == nothing
        client.responses.delete(first.id)
        assert diagnosis(client, first.id) == nothing

        gate = Gate()
        upstream.script(Answer("ok", gate=gate))
        events = client.responses.create(model="m", input=LONG, background=True, stream=True)
        running_still = next(events).response.id  # type: ignore[union-attr]
        gate.wait_reached()
        assert diagnosis(client, running_still) == {"type": "unavailable"}
        gate.open()
        assert [event.type for event in events][-1] == "response.completed"
        assert diagnosis(client, running_still) == HIT


@covers("field.prompt_cache_diagnostics")
def test_calls_and_their_outputs_are_compared_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", "{}")]), Answer("3"), Answer("3"), Answer("4"))
    first = client.responses.create(model="m", input=LONG, tools=[ADD])
    call_id = whole(first)["output"][0]["call_id"]

    def output(said: str) -> Any:
        return [{"type": "function_call_output", "call_id": call_id, "output": said}]

    second = client.responses.create(model="m", previous_response_id=first.id, input=output("3"), tools=[ADD])

    continued: Any = {"previous_response_id": first.id, "tools": [ADD]}
    assert diagnosis(client, second.id, output("3"), **continued) == HIT
    assert diagnosis(client, second.id, output("4"), **continued)["reason"] == "input_changed"


# ---- counts -----------------------------------------------------------------------------------------------


@covers("field.usage")
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 5}},
        {"prompt_tokens_details": {"cached_tokens": 2, "cache_creation_tokens": 5}},
        {"prompt_tokens_details": {"cached_tokens": 2}, "cache_creation_input_tokens": 5},
    ],
    ids=["OpenAI", "LiteLLM", "before Anthropic"],
)
def test_what_was_written_to_a_cache_is_told_where_the_server_tells(
    client: OpenAI, upstream: Upstream, usage: Json
) -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, **usage}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": counts}).encode()
    upstream.script(Answer(raw=[body], content_type="application/json"))

    told = client.responses.create(model="m", input="Hi")

    assert told.usage is not None
    details = told.usage.input_tokens_details
    assert (details.cached_tokens, details.cache_write_tokens) == (2, 5)
