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
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.config import BackendSettings
from antiphon.config.settings import ModelSettings

NUMBER = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
ADD = {"type": "function", "name": "add", "parameters": NUMBER, "strict": True}
PICTURE = "data:image/png;base64,iVBORw0KGgo="


class Pair(NamedTuple):
    """Antiphon, in front of two servers of models."""

    url: str
    client: OpenAI
    first: Upstream
    second: Upstream

    def raw(self, **request: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}/v1/responses", json={"input": "hello", "model": "m", **request})


def backend(upstream: Upstream, **members: Any) -> BackendSettings:
    return BackendSettings(base_url=upstream.base_url, dialect="generic", **members)


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


def test_a_response_in_the_background_has_fallbacks_too(pair: Pair) -> None:
    pair.first.script(refusal(401, "no"))
    response = pair.client.responses.create(model="m", input="hello", background=True)
    while response.status in ("queued", "in_progress"):
        response = pair.client.responses.retrieve(response.id)
    assert response.output_text == "the second"


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
