"""`truncation`: what is told to a model whose window is too small for all of it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, OpenAI
from tests.api.asking import ADD, Json, refused
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.scripted import Answer, Upstream, refusal

from antiphon.config import BackendSettings, Config, Server

WINDOW = 2048
WORDS = "word " * 200  # 1,000 bytes; 200 words for the scripted tokenizer, 250 tokens by our estimate


def config(upstream: Upstream, data_dir: Path, **settings: Any) -> Config:
    backend = BackendSettings(base_url=upstream.base_url, default=True, **settings)
    return Config(data_dir=str(data_dir), server=Server(verify=True), backends={"upstream": backend})


@pytest.fixture(scope="module")
def counted(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose upstream has a window, and counts."""
    settings = config(_upstream, tmp_path_factory.mktemp("data"), context_window=WINDOW, dialect="vllm")
    with Running(settings) as running:
        yield running


@pytest.fixture(scope="module")
def guessed(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose upstream has a window, and cannot count."""
    with Running(config(_upstream, tmp_path_factory.mktemp("data"), context_window=WINDOW)) as running:
        yield running


@pytest.fixture
def asking(upstream: Upstream) -> Callable[[Running], contextlib.AbstractContextManager[OpenAI]]:
    upstream.default = Answer("ok")
    upstream.tokenizer = "messages"
    upstream.lenient = True
    return lambda server: checked_client(server.url)


def turns(count: int) -> list[Json]:
    """A conversation of so many long turns, and a question."""
    said = [
        message
        for number in range(count)
        for message in (
            {"role": "user", "content": f"{number} {WORDS}"},
            {"role": "assistant", "content": f"Answer {number}"},
        )
    ]
    return [*said, {"role": "user", "content": "And now?"}]


def told(upstream: Upstream) -> list[str]:
    """The beginnings of the messages that the upstream got last."""
    return [str(message["content"]).partition(" word")[0] for message in upstream.last.body["messages"]]


@covers("param.truncation.auto", "param.truncation")
def test_auto_drops_the_oldest_until_the_rest_fits(asking: Any, upstream: Upstream, counted: Running) -> None:
    with asking(counted) as client:
        answer = client.responses.create(
            model="m", instructions="Be brief.", input=turns(10), truncation="auto", max_output_tokens=1000
        )

    # 1,048 tokens are left, of which the model counts 202 for a long message: five of them.
    assert told(upstream) == ["Be brief.", *told(upstream)[1:-1], "And now?"]
    assert told(upstream)[-3:] == ["9", "Answer 9", "And now?"]
    assert sum(text.isdigit() for text in told(upstream)) in (4, 5)
    assert (answer.status, answer.truncation) == ("completed", "auto")


def test_what_was_dropped_is_kept_all_the_same(asking: Any, upstream: Upstream, counted: Running) -> None:
    with asking(counted) as client:
        answer = client.responses.create(model="m", input=turns(10), truncation="auto")
        listed = client.responses.input_items.list(answer.id, limit=100)

    assert len(listed.data) == 21


def test_a_short_context_is_not_even_counted(asking: Any, upstream: Upstream, counted: Running) -> None:
    with asking(counted) as client:
        client.responses.create(model="m", input=turns(1), truncation="auto")

    assert upstream.others == []


@covers("param.truncation.disabled", "error.context_length_exceeded")
@pytest.mark.parametrize("stream", [False, True])
def test_disabled_refuses_what_is_too_long_before_the_model_is_asked(
    asking: Any, upstream: Upstream, counted: Running, stream: bool
) -> None:
    with asking(counted) as client, refused(400, "context_length_exceeded", "input"):
        client.responses.create(model="m", input=turns(11), stream=stream)

    assert upstream.requests == []


def test_disabled_uses_the_whole_window(asking: Any, upstream: Upstream, counted: Running) -> None:
    with asking(counted) as client:
        client.responses.create(model="m", input=turns(9))

    assert len(told(upstream)) == 19


def test_auto_refuses_what_cannot_be_dropped(asking: Any, upstream: Upstream, counted: Running) -> None:
    with asking(counted) as client, refused(400, "context_length_exceeded", "input"):
        client.responses.create(model="m", input=WORDS * 11, truncation="auto")

    assert upstream.requests == []


def test_without_a_tokenizer_the_estimate_counts(asking: Any, upstream: Upstream, guessed: Running) -> None:
    with asking(guessed) as client:
        client.responses.create(model="m", input=turns(10), truncation="auto", max_output_tokens=1000)
        kept = told(upstream)
        with refused(400, "context_length_exceeded", "input"):
            client.responses.create(model="m", input=turns(9))

    assert kept[-3:] == ["9", "Answer 9", "And now?"]
    assert sum(text.isdigit() for text in kept) in (3, 4)


def test_a_tokenizer_that_fails_is_replaced_by_the_estimate(
    asking: Any, upstream: Upstream, counted: Running
) -> None:
    upstream.tokenizer = ""
    with asking(counted) as client:
        client.responses.create(model="m", input=turns(10), truncation="auto", max_output_tokens=1000)

    assert told(upstream)[-3:] == ["9", "Answer 9", "And now?"]


def test_a_call_is_never_split_from_its_output(asking: Any, upstream: Upstream, counted: Running) -> None:
    steps: list[Any] = [{"role": "user", "content": "Go on"}]
    for number in range(10):
        call = {"type": "function_call", "call_id": f"call_{number}", "name": "add", "arguments": "{}"}
        steps += [call, {"type": "function_call_output", "call_id": f"call_{number}", "output": WORDS}]

    with asking(counted) as client:
        client.responses.create(model="m", input=steps, tools=[ADD], truncation="auto")

    said = upstream.last.body["messages"]
    calls = [call["id"] for message in said for call in message.get("tool_calls", ())]
    assert said[0] == {"role": "user", "content": "Go on"}
    assert calls == [message["tool_call_id"] for message in said if message["role"] == "tool"]
    assert calls[-1] == "call_9"
    assert 0 < len(calls) < 10


# ---- a window that only the upstream knows ----------------------------------------------------------

TOO_LONG = refusal(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded")


def longer_than(count: int) -> Callable[[Any], bool]:
    return lambda body: sum(len(str(message["content"])) for message in body["messages"]) > count


@covers("param.truncation.auto")
@pytest.mark.parametrize("stream", [False, True])
def test_auto_drops_until_the_upstream_takes_it(client: OpenAI, upstream: Upstream, stream: bool) -> None:
    upstream.on(longer_than(3000), TOO_LONG)
    upstream.script(Answer("ok"))

    answer: Any = client.responses.create(model="m", input=turns(10), truncation="auto", stream=stream)
    status = [event.type for event in answer][-1] if stream else answer.status

    assert status in ("completed", "response.completed")
    assert told(upstream)[-3:] == ["9", "Answer 9", "And now?"]
    assert 2 <= len(upstream.requests) <= 7


@covers("param.truncation.auto")
@pytest.mark.parametrize("stream", [False, True])
def test_auto_also_hears_it_inside_an_answer_that_has_begun(
    client: OpenAI, upstream: Upstream, stream: bool
) -> None:
    """Some servers accept the turn, with status 200, before they count its tokens."""
    upstream.on(longer_than(3000), Answer(error=TOO_LONG.error))
    upstream.script(Answer("ok"))

    answer: Any = client.responses.create(model="m", input=turns(10), truncation="auto", stream=stream)
    status = [event.type for event in answer][-1] if stream else answer.status

    assert status in ("completed", "response.completed")
    assert told(upstream)[-3:] == ["9", "Answer 9", "And now?"]


def test_what_has_been_said_is_not_said_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("half", error=TOO_LONG.error))

    with pytest.raises(APIError, match="context window"):
        list(client.responses.create(model="m", input=turns(10), truncation="auto", stream=True))

    assert len(upstream.requests) == 1


def test_what_the_upstream_takes_is_learnt_for_later_turns(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(longer_than(3000), TOO_LONG)
    upstream.script(Answer("ok"), Answer("ok"))

    first = client.responses.create(model="m", input=turns(10), truncation="auto")
    client.responses.create(model="m", input="More?", truncation="auto", previous_response_id=first.id)

    assert told(upstream)[-3:] == ["And now?", "ok", "More?"]


@covers("param.truncation.disabled")
def test_disabled_reports_what_the_upstream_says(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(longer_than(3000), TOO_LONG)

    with refused(400, "context_length_exceeded", "input"):
        client.responses.create(model="m", input=turns(10))

    assert len(upstream.requests) == 1


def test_an_upstream_that_takes_nothing_is_not_asked_for_ever(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(lambda _: True, TOO_LONG)

    with refused(400, "context_length_exceeded", "input"):
        client.responses.create(model="m", input=turns(40), truncation="auto")

    assert len(upstream.requests) <= 7


def test_other_refusals_are_reported_at_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(400, "No."))

    with refused(400):
        client.responses.create(model="m", input=turns(3), truncation="auto")

    assert len(upstream.requests) == 1
