"""What a refusal teaches about a server, and what becomes of the turn that was refused."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from tests.papers import picture_url
from tests.scripted import Answer, Called, Upstream, refusal

from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import DIALECTS, GENERIC, OPENAI, Dialect
from antiphon.backends.emulated import EmulatedTools
from antiphon.model import (
    Backend,
    CallStarted,
    Delta,
    Finished,
    Function,
    JsonSchema,
    Message,
    Overrated,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.protocol.errors import InvalidRequest

F = Function("f")
SCHEMA = JsonSchema("answer", {"type": "object"})

Connect = Callable[[Dialect], ChatCompletions]


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncIterator[Connect]:
    made: list[ChatCompletions] = []

    def make(dialect: Dialect) -> ChatCompletions:
        made.append(ChatCompletions(upstream.base_url, dialect=dialect))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


def turn(**more: Any) -> Turn:
    return Turn("m", (Message("user", (TextPart("Hi"),)),), **more)


async def collect(backend: Backend, asked: Turn) -> list[Delta]:
    return [delta async for batch in backend.stream(asked) for delta in single(batch)]


# What is refused, in the words of servers; the dialect that sends it, the turn, and the member that goes.
REFUSALS: dict[str, tuple[str, Dialect, Turn, str]] = {
    "max_tokens": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
        GENERIC,
        turn(max_tokens=5),
        "max_tokens",
    ),
    "max_completion_tokens": (
        "Unrecognized request argument supplied: max_completion_tokens. Did you mean max_tokens?",
        OPENAI,
        turn(max_tokens=5),
        "max_completion_tokens",
    ),
    "stream_options": (
        "[{'type': 'extra_forbidden', 'loc': ['body', 'stream_options']}]",
        GENERIC,
        turn(),
        "stream_options",
    ),
    "parallel_tool_calls": (
        'Invalid JSON payload received. Unknown name "parallel_tool_calls": Cannot find field.',
        GENERIC,
        turn(functions=(F,), parallel=False),
        "parallel_tool_calls",
    ),
    "reasoning_effort": (
        "Unrecognized request argument supplied: reasoning_effort",
        DIALECTS["litellm"],
        turn(effort="low"),
        "reasoning_effort",
    ),
    "service_tier": (
        "service_tier is not supported by this provider",
        OPENAI,
        turn(service_tier="flex"),
        "service_tier",
    ),
    "safety_identifier": (
        "Unrecognized request argument supplied: safety_identifier",
        OPENAI,
        turn(safety_identifier="s"),
        "safety_identifier",
    ),
    "prompt_cache_options": (
        "Unknown parameter: 'prompt_cache_options'.",
        OPENAI,
        turn(cache_options={"mode": "explicit"}),
        "prompt_cache_options",
    ),
}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("case", REFUSALS)
async def test_what_a_server_refuses_by_name_is_not_sent_again(
    case: str, status: int, upstream: Upstream, connect: Connect
) -> None:
    words, dialect, asked, member = REFUSALS[case]
    upstream.script(refusal(status, words), Answer("one"), Answer("two"))
    backend = connect(dialect)
    assert TextDelta("one") in await collect(backend, asked)
    assert TextDelta("two") in await collect(backend, asked)
    assert [member in request.body for request in upstream.requests] == [True, False, False]


async def test_the_limit_is_sent_under_the_other_name(upstream: Upstream, connect: Connect) -> None:
    words, dialect, asked, _ = REFUSALS["max_tokens"]
    upstream.script(refusal(400, words), Answer("one"))
    await collect(connect(dialect), asked)
    assert upstream.last.body["max_completion_tokens"] == 5


async def test_what_one_model_refuses_another_is_still_sent(upstream: Upstream, connect: Connect) -> None:
    words, dialect, asked, member = REFUSALS["service_tier"]
    upstream.script(refusal(400, words), Answer("one"), Answer("two"))
    backend = connect(dialect)
    await collect(backend, asked)
    await collect(backend, Turn("other", asked.messages, service_tier="flex"))
    assert member in upstream.last.body


async def test_a_refusal_that_teaches_nothing_is_the_clients(upstream: Upstream, connect: Connect) -> None:
    upstream.script(refusal(400, "temperature must be at most 1"))
    with pytest.raises(InvalidRequest, match="temperature"):
        await collect(connect(GENERIC), turn())
    assert len(upstream.requests) == 1


async def test_a_server_that_refuses_all_that_it_is_sent_is_not_asked_for_ever(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.default = refusal(400, "stream_options, user and parallel_tool_calls are not supported")
    with pytest.raises(InvalidRequest):
        await collect(connect(OPENAI), turn(user="u", functions=(F,), parallel=False))
    assert len(upstream.requests) <= 4


async def test_a_forced_call_that_is_refused_is_emulated(upstream: Upstream, connect: Connect) -> None:
    upstream.script(refusal(400, "tool_choice is not supported"), Answer('{"name": "f", "arguments": {}}'))
    backend = EmulatedTools(connect(GENERIC))
    assert CallStarted(0, "f") in await collect(backend, turn(functions=(F,), choice="required"))
    assert "tools" not in upstream.last.body


async def test_a_forced_call_that_is_not_made_is_emulated(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("I would rather not."), Answer('{"name": "f", "arguments": {}}'))
    deltas = await collect(EmulatedTools(connect(GENERIC)), turn(functions=(F,), choice="required"))
    assert CallStarted(0, "f") in deltas
    assert not any(isinstance(delta, TextDelta) for delta in deltas)
    assert UsageDelta(14, 10) in deltas


async def test_what_a_model_says_before_its_forced_call_stays(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("Let me see.", calls=[Called("f")]))
    deltas = await collect(EmulatedTools(connect(GENERIC)), turn(functions=(F,), choice="required"))
    assert deltas[:2] == [TextDelta("Let me see."), CallStarted(0, "f", "call_0")]


async def test_a_forced_call_that_is_cut_short_is_not_asked_for_again(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer("I was about to", finish="length"))
    deltas = await collect(EmulatedTools(connect(GENERIC)), turn(functions=(F,), choice="required"))
    assert deltas[0] == TextDelta("I was about to")
    assert deltas[-1] == Finished("length")


@pytest.mark.parametrize(
    "words",
    ["This response_format type is unavailable now", "json_schema is not supported", "Unknown json_schema"],
)
async def test_a_schema_that_is_refused_is_known_to_be_beyond_the_model(
    words: str, upstream: Upstream, connect: Connect
) -> None:
    upstream.script(refusal(400, words))
    backend = connect(GENERIC)
    with pytest.raises(Overrated):
        await collect(backend, turn(format=SCHEMA))
    assert not backend.capabilities("m").json_schema
    assert backend.capabilities("other").json_schema


@pytest.mark.parametrize("status", [400, 500])
def test_an_image_for_a_model_that_reads_text_is_the_clients_fault(
    status: int, client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = refusal(
        status, "image input is not supported - hint: you may need to provide the mmproj"
    )
    image: Any = {"type": "input_image", "image_url": picture_url()}
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="m", input=[{"role": "user", "content": [image]}])
    assert (caught.value.param, caught.value.code) == ("input", "unsupported_value")


def test_a_model_that_a_proxy_does_not_know_does_not_exist(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        refusal(400, "Invalid model name passed in model=m. Call `/v1/models` to view available models")
    )
    with pytest.raises(NotFoundError) as caught:
        client.responses.create(model="m", input="Hi")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
