"""Models that answer in the place of others, bounds on what is asked at once, and what is said of a model."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from tests import messages_script
from tests.api.asking import hanging_up
from tests.conftest import Running, checked_client, config_for
from tests.papers import picture_url
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.api.protocol import HttpProtocol
from antiphon.config import BackendSettings
from antiphon.config.model_settings import ModelSettings
from antiphon.engine.prepare import preparation

NUMBER = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
ADD = {"type": "function", "name": "add", "parameters": NUMBER, "strict": True}
PICTURE = picture_url()
RESPONSES = "/v1/responses"


class Pair(NamedTuple):
    """Antiphon, in front of two servers of models."""

    url: str
    client: OpenAI
    first: Upstream
    second: Upstream

    def raw(self, **request: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}/v1/responses", json={"input": "hello", "model": "m", **request})


def backend(upstream: Upstream, **members: Any) -> BackendSettings:
    return BackendSettings(**{"base_url": upstream.base_url, "dialect": "generic", **members})


@contextlib.contextmanager
def running(
    data: Path,
    first: dict[str, Any] | None = None,
    second: dict[str, Any] | None = None,
    models: dict[str, ModelSettings] | None = None,
) -> Iterator[Pair]:
    with Upstream() as one, Upstream() as two:
        one.default, two.default = Answer("the first"), Answer("the second")
        config = config_for(one, data)
        config.backends.clear()
        config.backends["one"] = backend(one, default=True, **(first or {"fallbacks": ["two"]}))
        config.backends["two"] = backend(two, **{"models": ["other"], **(second or {})})
        config.models.update(models or {})
        with Running(config) as server, checked_client(server.url) as client:
            yield Pair(server.url, client, one, two)


def breaks(upstream: Upstream, words: str = "broken") -> None:
    """From now on, however often it is asked."""
    upstream.on(lambda _: True, refusal(500, words))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with running(tmp_path) as pair:
        yield pair


@pytest.mark.parametrize("stream", [False, True])
def test_another_backend_answers_what_the_first_does_not(pair: Pair, stream: bool) -> None:
    breaks(pair.first)
    response = pair.raw(stream=stream)
    assert response.status_code == 200
    assert "the second" in response.text
    assert response.headers["x-antiphon-backend"] == "two"
    assert pair.second.last.body["model"] == "m"


def test_the_first_is_asked_first_again_for_the_next_response(pair: Pair) -> None:
    breaks(pair.first)
    pair.raw()
    pair.first.reset()
    pair.first.default = Answer("well again")
    response = pair.raw()
    assert "well again" in response.text
    assert response.headers["x-antiphon-backend"] == "one"


def test_the_first_fault_is_shown_when_nobody_answers(pair: Pair) -> None:
    breaks(pair.first, "the first is broken")
    breaks(pair.second, "the second is too")
    with pytest.raises(openai.APIStatusError) as caught:
        pair.client.responses.create(model="m", input="hello")
    assert "the first is broken" in caught.value.message


def test_what_was_said_is_not_said_again_by_another(pair: Pair) -> None:
    pair.first.script(Answer("The beginning", size=3, cut_after=3))
    assert "event: response.failed" in pair.raw(stream=True).text
    assert pair.second.requests == []


def test_whoever_answered_goes_on_in_the_turns_that_follow(pair: Pair) -> None:
    breaks(pair.first)
    pair.second.script(Answer(calls=[Called("add", '{"a": "one"}')]), Answer("I cannot add"))
    response = pair.client.responses.create(model="m", input="add", tools=[ADD])  # type: ignore[list-item]
    assert response.output_text == "I cannot add"
    assert (len(pair.first.requests), len(pair.second.requests)) == (2, 2)


def test_a_context_that_is_too_long_goes_to_a_larger_window(tmp_path: Path) -> None:
    small = {"context_window": 256, "fallbacks": ["two"]}
    with running(tmp_path, small, {"context_window": 100_000}) as pair:
        response = pair.client.responses.create(model="m", input="word " * 2000)
        assert response.output_text == "the second"
        assert pair.first.requests == []
        assert pair.client.responses.create(model="m", input="word").output_text == "the first"


def test_who_cannot_read_a_picture_is_passed_over(tmp_path: Path) -> None:
    with running(
        tmp_path,
        models={
            "m": ModelSettings(fallbacks=["blind", "two"]),
            "blind": ModelSettings(images=False, aliases=["b"]),
        },
        first={"models": ["m", "blind"]},
    ) as pair:
        pair.first.on(lambda body: body["model"] == "m", refusal(500, "broken"))
        asked = [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]
        response = pair.client.responses.create(model="m", input=asked)  # type: ignore[arg-type]
        assert response.output_text == "the second"
        assert [each.body["model"] for each in pair.first.requests].count("blind") == 0
        assert pair.client.responses.create(model="m", input="hello").output_text == "the first"
        assert pair.first.last.body["model"] == "blind"


def test_who_gives_no_logprobs_is_passed_over(tmp_path: Path) -> None:
    models = {"m": ModelSettings(fallbacks=["curt", "two"]), "curt": ModelSettings(logprobs=False)}
    with running(tmp_path, models=models, first={"models": ["m", "curt"]}) as pair:
        pair.first.on(lambda body: body["model"] == "m", refusal(500, "broken"))
        response = pair.client.responses.create(
            model="m", input="hello", include=["message.output_text.logprobs"], top_logprobs=1
        )
        assert response.output_text == "the second"
        assert pair.client.responses.create(model="m", input="hello").output_text == "the first"


def test_a_response_in_the_background_has_fallbacks_too(pair: Pair) -> None:
    pair.first.script(refusal(401, "no"))
    response = pair.client.responses.create(model="m", input="hello", background=True)
    while response.status in ("queued", "in_progress"):
        response = pair.client.responses.retrieve(response.id)
    assert response.output_text == "the second"


# ---- what goes back as it came ----------------------------------------------------------------------------


@pytest.fixture
def thinkers(tmp_path: Path) -> Iterator[Pair]:
    """Two that want their signatures back."""
    claude = {"type": "anthropic", "dialect": None}
    with running(tmp_path, {**claude, "fallbacks": ["two"]}, claude) as pair:
        pair.first.default = messages_script.answer(messages_script.text("the first"))
        pair.second.default = messages_script.answer(messages_script.text("the second"))
        yield pair


def thoughtful_call(signature: str, arguments: str) -> Answer:
    thought = messages_script.thinking("I had better add.", signature)
    called = messages_script.tool("add", arguments, "toolu_a")
    return messages_script.answer(thought, called, reason="tool_use")


def ask_thinker(pair: Pair, asked: Any, **members: Any) -> Response:
    reasoning: Any = {"effort": "high"}
    found = pair.client.responses.create(model="m", input=asked, tools=[ADD], reasoning=reasoning, **members)  # type: ignore[call-overload]
    assert isinstance(found, Response)
    return found


def down(upstream: Upstream) -> None:
    """Twice: it is asked once more."""
    upstream.script(refusal(503, "away"), refusal(503, "away"))


def test_a_signature_is_the_one_of_who_answered(thinkers: Pair) -> None:
    """Not of who was asked first, who is there again when the response goes on."""
    down(thinkers.first)
    thinkers.second.script(thoughtful_call("of-the-second", '{"a": 1}'))
    first = ask_thinker(thinkers, "add")
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    output = [{"type": "function_call_output", "call_id": "toolu_a", "output": "1"}]
    second = ask_thinker(thinkers, output, previous_response_id=first.id)
    assert second.output_text == "the first"
    assert "of-the-second" not in str(thinkers.first.last.body)


def test_who_answers_has_its_own_signatures_back_and_no_other(thinkers: Pair) -> None:
    """Within one response, in which a call that is not valid is made again."""
    thinkers.first.script(thoughtful_call("of-the-first", '{"a": "one"}'))
    down(thinkers.first)
    thinkers.second.script(
        thoughtful_call("of-the-second", '{"a": "two"}'), refusal(503, "away"), refusal(503, "away")
    )
    assert ask_thinker(thinkers, "add").output_text == "the first"
    to_first = [str(received.body) for received in thinkers.first.requests]
    to_second = [str(received.body) for received in thinkers.second.requests]
    assert ["of-the-first" in body for body in to_first] == [False, True, True, True]
    assert not any("of-the-second" in body for body in to_first)
    assert ["of-the-second" in body for body in to_second] == [False, True, True]
    assert not any("of-the-first" in body for body in to_second)


# ---- what is asked at once -------------------------------------------------------------------------------


def test_what_is_beyond_the_bound_waits_and_is_answered(tmp_path: Path) -> None:
    with running(tmp_path, {"max_concurrency": 1}) as pair:
        gate = Gate(0)
        pair.first.script(Answer("one", gate=gate), Answer("two"))
        answers: list[str] = []

        def ask() -> None:
            answers.append(pair.client.responses.create(model="m", input="hello").output_text)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.wait_reached()
        assert len(pair.first.requests) == 1
        gate.open()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["one", "two"]


def test_who_waited_in_vain_is_answered_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "WAIT_SECONDS", 0.05)
    with running(tmp_path, {"max_concurrency": 1, "fallbacks": ["two"]}) as pair:
        gate = Gate(0)
        pair.first.script(Answer("one", gate=gate))
        answers: list[str] = []
        first = threading.Thread(target=lambda: answers.append(pair.raw().text))
        first.start()
        gate.wait_reached()
        assert "the second" in pair.raw().text
        gate.open()
        first.join()
        assert "one" in answers[0]


@pytest.mark.parametrize("background", [False, True])
def test_what_an_answer_needs_besides_finds_its_place(tmp_path: Path, background: bool) -> None:
    """One place: an answer that has to be repaired, and the summary of its reasoning."""
    with running(tmp_path, {"max_concurrency": 1, "fallbacks": ["two"]}) as pair:
        pair.first.on(lambda body: "sum up the reasoning" in str(body["messages"]), Answer("A summary."))
        pair.first.script(Answer("no JSON", reasoning="I think."), Answer('{"a": 1}', reasoning="I see."))
        response = pair.client.responses.create(
            model="m",
            input="hello",
            reasoning={"summary": "concise"},
            text={"format": {"type": "json_schema", "name": "n", "schema": NUMBER, "strict": True}},
            background=background,
        )
        while response.status in ("queued", "in_progress"):
            response = pair.client.responses.retrieve(response.id)
        assert response.output_text == '{"a": 1}'
        assert "A summary." in response.model_dump_json()
        assert pair.second.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_leaves_the_place_to_the_next(tmp_path: Path, stream: bool) -> None:
    """While the answer is awaited, in the middle of it, and while a place is awaited."""
    with running(tmp_path, {"max_concurrency": 1}) as pair:
        gates = [Gate(0), Gate(2)]
        pair.first.script(*(Answer("a long answer", size=2, gate=gate) for gate in gates), Answer("well"))
        request = {"input": "hello", "model": "m", "stream": stream, "store": False}
        for number, gate in enumerate(gates):
            with hanging_up(pair.url, RESPONSES, request), hanging_up(pair.url, RESPONSES, request):
                gate.wait_reached()
            pair.first.requests[number].wait_gone()
        assert pair.client.responses.create(model="m", input="hello").output_text == "well"


def test_who_reads_nothing_leaves_the_place_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol, "READ_SECONDS", 0.2)
    with running(tmp_path, {"max_concurrency": 1}) as pair:
        pair.first.script(Answer("word " * 2_000_000, size=50_000), Answer("well"))
        request = {"input": "hello", "model": "m", "stream": True, "store": False}
        with hanging_up(pair.url, RESPONSES, request):
            pair.first.wait_requests(1)
            assert pair.client.responses.create(model="m", input="hello").output_text == "well"


@pytest.mark.parametrize(
    ("asked", "used"), [("flex", "flex"), ("fast", "priority"), ("default", "default"), (None, "default")]
)
def test_the_tier_that_acts_is_said(tmp_path: Path, asked: str | None, used: str) -> None:
    with running(tmp_path, {"max_concurrency": 4}) as pair:
        response = pair.raw(service_tier=asked)
        assert response.json()["service_tier"] == used
        assert "service_tier" not in response.headers.get("x-antiphon-warnings", "")


# ---- what is said of a model -----------------------------------------------------------------------------


def test_a_model_has_aliases_defaults_and_words_of_its_own(tmp_path: Path) -> None:
    said = ModelSettings(
        aliases=["gpt-4o", "gpt-5*"],
        instructions="You live in this house.",
        temperature=0.25,
        max_output_tokens=99,
    )
    with running(tmp_path, models={"other": said}) as pair:
        for name in ("other", "gpt-4o", "gpt-5-mini"):
            response = pair.client.responses.create(
                model=name, input="hello", instructions="Be brief.", top_p=0.5
            )
            body = pair.second.last.body
            assert response.output_text == "the second"
            assert body["model"] == "other"
            assert body["messages"][0]["content"] == "You live in this house.\n\nBe brief."
            assert (body["temperature"], body["top_p"]) == (0.25, 0.5)
            assert (response.temperature, response.max_output_tokens) == (0.25, 99)
            assert response.instructions == "Be brief."
        response = pair.client.responses.create(model="other", input="hello", temperature=1.5)
        assert pair.second.last.body["temperature"] == 1.5
        assert "gpt-4o" not in [model.id for model in pair.client.models.list()]


def test_what_a_model_can_is_what_the_configuration_says(tmp_path: Path) -> None:
    with running(tmp_path, models={"other": ModelSettings(images=False)}) as pair:
        asked = [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]
        with pytest.raises(openai.BadRequestError, match="cannot read images"):
            pair.client.responses.create(model="other", input=asked)  # type: ignore[arg-type]
        assert pair.client.responses.create(model="m", input=asked).output_text == "the first"  # type: ignore[arg-type]
