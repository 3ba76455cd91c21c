"""What goes wrong with a server of Messages or Responses, and with the connection to it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from tests.joined import joined
from tests.messages_script import stream as said_in_messages
from tests.messages_script import text as messages_text
from tests.responses_script import stream as said_in_responses
from tests.responses_script import text as responses_text
from tests.responses_script import written
from tests.scripted import Answer, Gate, Upstream, refusal

from antiphon.backends.anthropic.backend import Anthropic
from antiphon.backends.responses.backend import Responses
from antiphon.model import Finished, Message, TextPart, Turn
from antiphon.protocol.errors import (
    ApiError,
    InvalidRequest,
    RateLimited,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimeout,
)

Made = Callable[..., Anthropic | Responses]
TURN = Turn("m", (Message("user", (TextPart("Hi"),)),))
KEY = "sk-very-secret"
KINDS: dict[str, tuple[type[Anthropic] | type[Responses], list[bytes]]] = {
    "anthropic": (Anthropic, said_in_messages(messages_text("Hello", 1))),
    "responses": (Responses, written(said_in_responses(responses_text("Hello", 1)))),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hello(kind: str) -> list[bytes]:
    """The bytes of an answer."""
    return KINDS[kind][1]


@pytest.fixture
async def made(kind: str, upstream: Upstream) -> AsyncIterator[Made]:
    """A backend in front of the scripted upstream."""
    backends: list[Anthropic | Responses] = []

    def make(base_url: str = "", **more: Any) -> Anthropic | Responses:
        backend = KINDS[kind][0](base_url or upstream.base_url, api_key=KEY, **more)
        backends.append(backend)
        return backend

    yield make
    for backend in backends:
        await backend.close()


async def said(backend: Anthropic | Responses, turn: Turn = TURN) -> list[Any]:
    async with aclosing(backend.stream(turn)) as batches:
        return joined([delta async for batch in batches for delta in batch])


REFUSALS: dict[str, tuple[Answer, type[ApiError]]] = {
    "a key that is refused": (refusal(401, f"invalid x-api-key: {KEY}"), UpstreamRefusal),
    "too many requests": (refusal(429, f"slow down, {KEY}", retry_after="60"), RateLimited),
    "a request that is refused": (refusal(400, f"you sent {KEY}"), InvalidRequest),
    "a server that fails": (refusal(500, f"boom {KEY}", retry_after="60"), UpstreamError),
    "a gateway that gave up": (refusal(504, "timed out"), UpstreamTimeout),
    "a web page": (Answer(raw=[b"<html>Sign in</html>"], content_type="text/html"), UpstreamError),
    "an error in one piece": (Answer(raw=[b'{"error": {"message": "no"}}']), UpstreamError),
    "a health check": (Answer(raw=[b'{"status": "ok"}']), UpstreamError),
    "an empty object": (Answer(raw=[b"{}"]), UpstreamError),
    "words": (Answer(raw=[b"data: hello\n\n"]), UpstreamError),
}


@pytest.mark.parametrize(("answer", "fault"), REFUSALS.values(), ids=REFUSALS)
async def test_whatever_it_answers_is_told_in_words_without_the_key(
    made: Made, upstream: Upstream, answer: Answer, fault: type[ApiError]
) -> None:
    upstream.default = answer
    with pytest.raises(fault) as raised:
        await said(made())
    assert raised.value.message
    assert KEY not in str(raised.value)


async def test_a_server_that_is_not_there_is_told_as_such(made: Made) -> None:
    with pytest.raises(UpstreamError, match=r"http://127\.0\.0\.1:9/v1 cannot be reached"):
        await said(made("http://127.0.0.1:9/v1"))


async def test_a_server_that_is_silent_is_given_up(
    made: Made, upstream: Upstream, hello: list[bytes]
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer(raw=hello, gate=gate))
    with pytest.raises(UpstreamTimeout, match=r"silent for more than 0\.2 seconds"):
        await said(made(timeout=0.2))
    gate.open()


async def test_an_answer_that_never_ends_is_ended(made: Made, upstream: Upstream, hello: list[bytes]) -> None:
    upstream.default = Answer(raw=hello)

    with pytest.raises(UpstreamError, match=r"more than 500 bytes .*answer_bytes"):
        await said(made(answer_bytes=500))


async def test_who_stops_reading_hangs_up(made: Made, upstream: Upstream, hello: list[bytes]) -> None:
    gate = Gate(after=5)
    upstream.script(Answer(raw=hello, gate=gate))
    async with aclosing(made().stream(TURN)) as batches:
        async for batch in batches:
            if batch:
                break
    await upstream.last.gone()
    gate.open()


async def test_connections_are_used_again(made: Made, upstream: Upstream, hello: list[bytes]) -> None:
    upstream.default = Answer(raw=hello)
    backend = made()

    assert [(await said(backend))[0] for _ in range(3)] == ["Hello"] * 3
    assert len({each.connection for each in upstream.requests}) == 1


async def test_a_refusal_that_teaches_nothing_new_is_not_answered_for_ever(
    made: Made, upstream: Upstream
) -> None:
    upstream.default = refusal(400, "metadata, user: Extra inputs are not permitted")
    turn = Turn("m", TURN.messages, user="ada")
    with pytest.raises(InvalidRequest):
        await said(made(), turn)
    assert len(upstream.requests) <= 2


async def test_an_answer_in_one_piece_is_read(kind: str, made: Made, upstream: Upstream) -> None:
    content = [{"type": "text", "text": "Hello"}]
    whole = {
        "anthropic": {"type": "message", "content": content, "stop_reason": "end_turn"},
        "responses": said_in_responses(responses_text("Hello"))[-1]["response"],
    }
    upstream.script(Answer(raw=[json.dumps(whole[kind]).encode()], content_type="application/json"))
    found = await said(made())

    assert found[0] == "Hello"
    assert found[-1] == Finished("stop")


async def test_models_are_listed(made: Made, upstream: Upstream) -> None:
    upstream.models = ("a", "b")
    upstream.listed = {"max_input_tokens": 4096}

    assert [(each.id, each.context_window) for each in await made().models()] == [("a", 4096), ("b", 4096)]


async def test_tokens_that_nobody_counts_are_not_known(made: Made) -> None:
    assert await made().count_tokens(TURN) is None


async def test_one_of_several_servers_is_asked_once(
    made: Made, upstream: Upstream, hello: list[bytes]
) -> None:
    """What it does not answer is another's at once."""
    upstream.script(refusal(503, "Busy"), Answer(raw=hello))

    with pytest.raises(UpstreamError):
        await said(made(attempts=1))
    assert len(upstream.requests) == 1
