"""/v1/chat/completions, /v1/completions and /v1/embeddings: what programs look for on the same base URL."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import APIError, APIStatusError, AsyncOpenAI, OpenAI
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.api.asking import JSON_TYPE, Json, fault, hanging_up, refused, whole
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Gate, Upstream, refusal
from tests.sdk_types import check

from antiphon.api import neighbours, opening
from antiphon.backends.replicas import Replicas
from antiphon.backends.router import MAKERS, Maker
from antiphon.config import BackendSettings, Config, Limits, Server, hash_key
from antiphon.guard.turns import Turns
from antiphon.model import Backend, Capabilities, Delta, Finished, Model, Passthrough, TextDelta, Turn
from antiphon.protocol.tiers import TIERS, Tier

HI: list[Any] = [{"role": "user", "content": "Hi"}]
ASKED: Json = {"model": "m", "messages": HI}
CHAT = "/v1/chat/completions"
ALL = (CHAT, "/v1/completions", "/v1/embeddings")


def said(value: Json, **members: Any) -> Answer:
    """An answer in one piece, byte by byte as it stands here."""
    return Answer(raw=[json.dumps(value).encode()], content_type="application/json", **members)


EMBEDDED: Json = {
    "object": "list",
    "model": "e",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
COMPLETED: Json = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1700000000,
    "model": "m",
    "choices": [{"index": 0, "text": " there", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


# ---- what comes back --------------------------------------------------------------------------------


def test_a_chat_completion_comes_as_the_upstream_writes_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a": 1}')], reasoning="Hm."))

    told = client.chat.completions.create(
        model="m", messages=HI, tools=[{"type": "function", "function": {"name": "add"}}], user="u"
    )

    assert not check(whole(told), ChatCompletion) or told.choices[0].message.to_dict()["reasoning_content"]
    assert told.choices[0].message.tool_calls is not None
    assert told.usage is not None
    assert told.usage.total_tokens == 12
    assert upstream.last.path == CHAT
    assert upstream.last.body == {
        "model": "m",
        "messages": HI,
        "tools": [{"type": "function", "function": {"name": "add"}}],
        "user": "u",
    }


def test_a_stream_comes_as_the_upstream_writes_it(http: httpx2.Client, upstream: Upstream) -> None:
    written = [b": comment\n\n", b'data: {"odd": 1}\n', b"\ndata: x\r\n\r\n", b"event: y\ndata: [DONE]\n\n"]
    upstream.script(Answer(raw=written))

    told = http.post(CHAT, json=ASKED | {"stream": True})

    assert told.content == b"".join(written)
    assert told.headers["content-type"] == "text/event-stream"
    assert told.headers["cache-control"] == "no-cache"


def test_each_piece_of_a_stream_comes_when_it_is_written(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.script(Answer("abc", size=1, gate=gate))

    with client.chat.completions.create(model="m", messages=HI, stream=True) as stream:
        texts = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(texts), next(texts), next(texts)] == ["", "a", "b"]
        gate.open()
        assert next(texts) == "c"


def test_chunks_are_those_of_the_api(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", size=2))

    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="m", messages=HI, stream=True, stream_options=options))

    assert [line for chunk in chunks for line in check(whole(chunk), ChatCompletionChunk)] == []
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage is not None


def test_completions_and_embeddings_come_as_the_upstream_writes_them(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(said(COMPLETED), said(EMBEDDED))

    completed = client.completions.create(model="m", prompt="Hello")
    embedded = client.embeddings.create(model="e", input="Hello", encoding_format="float")

    assert (whole(completed), check(COMPLETED, Completion)) == (COMPLETED, [])
    assert (whole(embedded), check(EMBEDDED, CreateEmbeddingResponse)) == (EMBEDDED, [])
    assert [(asked.path, asked.body) for asked in upstream.requests] == [
        ("/v1/completions", {"model": "m", "prompt": "Hello"}),
        ("/v1/embeddings", {"model": "e", "input": "Hello", "encoding_format": "float"}),
    ]


def test_vectors_in_base64_are_not_touched(client: OpenAI, upstream: Upstream) -> None:
    """The official client asks for them, and unpacks them itself."""
    packed = [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAgL4="}]
    upstream.script(said(EMBEDDED | {"data": packed}))

    assert client.embeddings.create(model="e", input="Hello").data[0].embedding == [0.5, -0.25]
    assert upstream.last.body["encoding_format"] == "base64"


def test_of_the_upstreams_head_comes_what_is_about_the_body(http: httpx2.Client, upstream: Upstream) -> None:
    head = {
        "X-RateLimit-Remaining-Tokens": "17",
        "Set-Cookie": "a=b",
        "Keep-Alive": "timeout=5",
        "Access-Control-Allow-Origin": "*",
        "X-Request-Id": "theirs",
        "OpenAI-Organization": "acme",
    }
    upstream.script(said(EMBEDDED, headers=head))

    told = http.post("/v1/embeddings", json={"model": "e", "input": "x"})

    assert told.headers["x-ratelimit-remaining-tokens"] == "17"
    assert told.headers["x-request-id"].startswith("req_")
    absent = ("set-cookie", "keep-alive", "access-control-allow-origin", "openai-organization")
    assert [name for name in absent if name in told.headers] == []


def test_an_answer_that_comes_packed_is_handed_on_unpacked(http: httpx2.Client, upstream: Upstream) -> None:
    packed = gzip.compress(json.dumps(EMBEDDED).encode())
    head = {"Content-Encoding": "gzip"}
    upstream.script(Answer(raw=[packed], content_type="application/json", headers=head))

    told = http.post("/v1/embeddings", json={"model": "e", "input": "x"})

    assert told.json() == EMBEDDED
    assert "content-encoding" not in told.headers


# ---- who is asked -----------------------------------------------------------------------------------


class Echo(Backend):
    """A backend without a server behind it."""

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def stream(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        yield []
        yield [TextDelta("echo"), Finished("stop")]

    async def models(self) -> Sequence[Model]:
        return []

    async def count_tokens(self, turn: Turn) -> int | None:
        return None

    async def close(self) -> None:
        pass


def several(upstream: Upstream, data_dir: Path, **members: Any) -> Config:
    """Two names of one upstream, one of an upstream that is away, and one without any."""
    renamed = BackendSettings(
        base_url=upstream.base_url, models={"gpt-5": "scripted", "o*": ""}, dialect="generic"
    )
    backends = {
        "renamed": renamed,
        "away": BackendSettings(base_url="http://127.0.0.1:9/v1", models=["lost"]),
    }
    return Config(data_dir=str(data_dir), server=Server(verify=True), backends=backends, **members)


def test_the_models_name_says_who_is_asked_and_under_which_name(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    with Running(several(upstream, tmp_path)) as running, checked_client(running.url) as client:
        client.chat.completions.create(model="gpt-5", messages=HI)
        client.chat.completions.create(model="o3", messages=HI)
        for ask in (
            lambda: client.chat.completions.create(model="claude", messages=HI),
            lambda: client.completions.create(model="claude", prompt="x"),
            lambda: client.embeddings.create(model="claude", input="x"),
        ):
            with refused(404, "model_not_found", "model") as told:
                ask()
            assert "models and default of [backends.NAME]" in told.message
        with refused(502, kind="server_error") as lost:
            client.chat.completions.create(model="lost", messages=HI)

    assert "cannot be reached" in lost.message
    assert [received.body["model"] for received in upstream.requests] == ["scripted", "o3"]


def test_without_a_model_the_default_is_asked_where_it_has_a_name(
    http: httpx2.Client, upstream: Upstream, tmp_path: Path
) -> None:
    assert fault(http.post(CHAT, json={"messages": HI})) == (
        400,
        "invalid_request_error",
        "missing_required_parameter",
        "model",
    )
    upstream.script(Answer("Hello"))
    named = BackendSettings(base_url=upstream.base_url, default="big", dialect="generic")
    with Running(Config(data_dir=str(tmp_path), backends={"a": named})) as running:
        assert httpx2.post(f"{running.url}{CHAT}", json={"messages": HI}).status_code == 200
    assert upstream.last.body["model"] == "big"


def test_a_backend_without_a_server_says_what_is_served(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers: dict[str, Maker] = {**MAKERS, "llama": lambda _: Echo()}
    monkeypatch.setattr(opening, "MAKERS", makers)
    backends = {"mirror": BackendSettings(type="llama", default=True)}
    with Running(Config(data_dir=str(tmp_path), backends=backends)) as running:
        for path in ALL:
            told = httpx2.post(f"{running.url}{path}", json=ASKED)
            assert fault(told) == (404, "invalid_request_error", "unknown_url", "model")
            for word in ("'mirror'", "/v1/responses", path, 'type = "chat_completions"', "[backends.NAME]"):
                assert word in told.json()["error"]["message"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404, error={"detail": "Not Found"}),
        Answer(status=404, error="404 page not found", content_type="text/plain"),
        Answer(status=404, error={"error": {"message": "File Not Found", "type": "not_found_error"}}),
        Answer(status=405, error={"detail": "Method Not Allowed"}),
        Answer(status=501, error={"error": {"message": "This server does not support embeddings."}}),
    ],
)
def test_an_upstream_that_serves_no_such_thing_says_so_once(
    client: OpenAI, upstream: Upstream, answer: Answer
) -> None:
    upstream.script(answer)

    with refused(404, "unknown_url") as told:
        client.embeddings.create(model="m", input="x")

    assert f"The upstream at {upstream.base_url} serves no /v1/embeddings." in told.message
    assert "[backends.NAME]" in told.message
    assert len(upstream.requests) == 1


# ---- keys, limits, counts ---------------------------------------------------------------------------


def test_the_upstream_gets_its_own_key_and_nothing_of_the_clients_head(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")
    config = config_for(upstream, tmp_path, Server(verify=True, keys={"one": hash_key("sk-one-secret")}))
    settings = replace(config.backends["upstream"], api_key_env="UPSTREAM_KEY")
    upstream.default = Answer("Hello")
    sent = {"cookie": "a=b", "openai-organization": "acme", "x-own": "1", "te": "trailers"}
    with Running(replace(config, backends={"upstream": settings})) as running:
        for path in ALL:
            told = httpx2.post(f"{running.url}{path}", json=ASKED)
            assert fault(told) == (401, "invalid_request_error", "invalid_api_key", None)
        assert upstream.requests == []
        with checked_client(running.url, "sk-one-secret") as client:
            client.chat.completions.create(model="m", messages=HI, extra_headers=sent)

    head = {name.lower(): value for name, value in upstream.last.headers.items()}
    assert head["authorization"] == "Bearer sk-upstream"
    assert "one-secret" not in str(head)
    assert set(head) & set(sent) == set()


def test_limits_of_bodies_hold_here_too(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path, Server(verify=True, max_body_bytes=200_000))
    with (
        Running(replace(config, limits=Limits(held_bytes=100_000))) as running,
        httpx2.Client(base_url=running.url) as http,
    ):
        too_large = http.post(CHAT, json=ASKED | {"user": "x" * 300_000})
        no_room = http.post(CHAT, json=ASKED | {"user": "x" * 150_000})
        no_json = http.post(CHAT, content=json.dumps(ASKED), headers={"content-type": "text/plain"})

    assert fault(too_large)[::2] == (413, "request_too_large")
    assert fault(no_room)[::2] == (503, "server_overloaded")
    assert fault(no_json)[::2] == (400, "unsupported_content_type")
    assert upstream.requests == []


def test_a_large_body_arrives_as_it_was(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(said(EMBEDDED))
    asked = {"model": "e", "input": [[n, n + 1] for n in range(20_000)], "user": "ä\u2028" * 1_000_000}

    told = http.post("/v1/embeddings", json=asked)

    assert told.json() == EMBEDDED
    assert upstream.last.body == asked


def test_a_packed_body_arrives_unpacked(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    packed = gzip.compress(json.dumps(ASKED).encode())

    assert (
        http.post(CHAT, content=packed, headers=JSON_TYPE | {"content-encoding": "gzip"}).status_code == 200
    )
    assert upstream.last.body == ASKED


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", None, None),
        (b"{", None, None),
        (b"[]", None, None),
        (b'{"model": 1}', "invalid_type", "model"),
        (b'{"model": null}', "missing_required_parameter", "model"),
        (b'{"model": "\xff"}', None, None),
        (b'{"model": "m", "messages": ' + b"[" * 100_000, None, None),
    ],
    ids=["nothing", "cut", "list", "number", "null", "no-text", "deep"],
)
def test_a_body_that_makes_no_sense_is_refused(
    http: httpx2.Client, upstream: Upstream, body: bytes, code: str | None, param: str | None
) -> None:
    for path in ALL:
        told = http.post(path, content=body, headers=JSON_TYPE)
        assert fault(told) == (400, "invalid_request_error", code, param)
    assert upstream.requests == []


def test_requests_that_are_passed_on_are_counted(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    def count() -> dict[str, float]:
        lines = [line.rpartition(" ") for line in http.get("/metrics").text.splitlines()]
        return {name: float(value) for name, _, value in lines if 'POST",route="/v1/chat/' in name}

    upstream.script(Answer("Hello"), refusal(400, "no"))
    before = count()
    client.chat.completions.create(model="m", messages=HI)
    with pytest.raises(APIStatusError):
        client.chat.completions.create(model="m", messages=HI)

    grown = {name: value - before.get(name, 0) for name, value in count().items() if "_created" not in name}
    assert grown == {
        f'antiphon_http_requests_total{{method="POST",route="{CHAT}",status="{status}"}}': 1
        for status in (200, 400)
    } | {name: 0 for name in grown if 'status="200"' not in name and 'status="400"' not in name}


def test_an_answer_of_no_stated_length_is_bounded_where_the_operator_says_so(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default, upstream.lenient = said(COMPLETED), True
    bounded = BackendSettings(
        base_url=upstream.base_url, default=True, dialect="generic", max_output_tokens=20
    )
    with (
        Running(Config(data_dir=str(tmp_path), backends={"a": bounded})) as running,
        httpx2.Client(base_url=running.url) as http,
    ):
        for path, asked in (
            (CHAT, {}),
            (CHAT, {"max_tokens": 5}),
            (CHAT, {"max_tokens": None, "max_completion_tokens": 6}),
            ("/v1/completions", {"max_tokens": None}),
            ("/v1/embeddings", {}),
        ):
            assert http.post(path, json=ASKED | asked).status_code == 200

    lengths = [
        {name: value for name, value in asked.body.items() if name.startswith("max_")}
        for asked in upstream.requests
    ]
    assert lengths == [
        {"max_tokens": 20},
        {"max_tokens": 5},
        {"max_tokens": None, "max_completion_tokens": 6},
        {"max_tokens": 20},
        {},
    ]


# ---- what goes wrong --------------------------------------------------------------------------------


def test_an_error_in_the_apis_envelope_comes_as_it_is(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(422, "No such voice.", "bad_voice"))

    with refused(422, "bad_voice") as told:
        client.chat.completions.create(model="m", messages=HI)

    assert told.message == "No such voice."


def test_an_upstream_that_is_busy_says_when_to_come_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(429, "Slow down.", "rate_limit_exceeded", Retry_After="30"))

    with refused(429, "rate_limit_exceeded") as told:
        client.chat.completions.create(model="m", messages=HI)

    assert told.headers["retry-after"] == "30"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "first", [refusal(503, "Loading.", Retry_After="0"), Answer(raw=[]), refusal(429, "x")]
)
def test_an_upstream_that_cannot_just_now_is_asked_once_more(
    client: OpenAI, upstream: Upstream, first: Answer
) -> None:
    upstream.script(first, Answer("Hello"))

    told = client.chat.completions.create(model="m", messages=HI)

    assert told.choices[0].message.content == "Hello"
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer(status=500, error={"detail": "Worker died"}), 502, "Worker died"),
        (Answer(status=500, error="<html>oops</html>"), 502, "HTTP 500"),
        (Answer(status=400, error={"message": "no such thing"}), 400, "no such thing"),
        (Answer(status=302, error="", headers={"Location": "http://127.0.0.1:9/"}), 502, "HTTP 302"),
        (Answer(raw=[b"<html>"], content_type="text/html"), 502, "a web page"),
        (Answer(raw=[]), 502, "an empty answer"),
        (refusal(401, "Incorrect API key provided: sk-upstream."), 502, "refuses our API key"),
    ],
    ids=["detail", "page", "bare", "redirect", "web page", "nothing", "key"],
)
def test_an_odd_refusal_becomes_an_error_of_the_api(
    client: OpenAI, upstream: Upstream, answer: Answer, status: int, words: str
) -> None:
    upstream.default = answer

    kind = "invalid_request_error" if status == 400 else "server_error"
    with refused(status, kind=kind) as told:
        client.chat.completions.create(model="m", messages=HI)

    assert words in told.message


def test_an_upstream_that_repeats_its_key_does_not_give_it_away(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream-secret")
    config = config_for(upstream, tmp_path)
    settings = replace(config.backends["upstream"], api_key_env="UPSTREAM_KEY")
    upstream.default = refusal(400, "Wrong use of sk-upstream-secret.")
    with (
        Running(replace(config, backends={"upstream": settings})) as running,
        checked_client(running.url) as client,
        refused(400) as told,
    ):
        client.chat.completions.create(model="m", messages=HI)

    assert told.message == "Wrong use of ***."


def test_an_upstream_that_is_silent_is_not_waited_for_without_end(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))
    config = config_for(upstream, tmp_path)
    settings = replace(config.backends["upstream"], timeout=0.2)
    with (
        Running(replace(config, backends={"upstream": settings})) as running,
        checked_client(running.url) as client,
        refused(504, kind="server_error") as told,
    ):
        client.chat.completions.create(model="m", messages=HI, stream=True)
    gate.open()

    assert "silent for more than 0.2 seconds" in told.message


def test_a_stream_that_breaks_between_two_events_says_why(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("abc", size=1, cut_after=2))

    with (
        client.chat.completions.create(model="m", messages=HI, stream=True) as stream,
        pytest.raises(APIError, match="broke off the connection"),
    ):
        list(stream)


def test_a_stream_that_breaks_within_an_event_is_cut_off(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer(raw=[b'data: {"a": 1}\n\n', b'data: {"a"', b""], cut_after=2))

    with pytest.raises(httpx2.RemoteProtocolError):
        http.post(CHAT, json=ASKED | {"stream": True})


def test_an_answer_in_one_piece_that_breaks_is_cut_off(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", cut_after=0))

    with pytest.raises(httpx2.RemoteProtocolError):
        http.post(CHAT, json=ASKED)


def test_an_answer_without_end_is_ended(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(Answer("x" * 200_000, size=100))
    config = replace(config_for(upstream, tmp_path), limits=Limits(answer_bytes=65_536))
    with Running(config) as running, checked_client(running.url) as client:
        stream = client.chat.completions.create(model="m", messages=HI, stream=True)
        with pytest.raises((APIError, httpx2.RemoteProtocolError)):
            list(stream)
    upstream.last.wait_gone()


# ---- what is asked at once --------------------------------------------------------------------------


@pytest.fixture
def bounded(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server whose backend may be asked for one thing at a time."""
    config = config_for(upstream, tmp_path)
    settings = replace(config.backends["upstream"], max_concurrency=1)
    with Running(replace(config, backends={"upstream": settings})) as running:
        yield running


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[Tier]:
    """The tiers of those who begin to wait, as they come."""
    coming: SimpleQueue[Tier] = SimpleQueue()
    take = Turns.take

    async def seen(turns: Turns, owner: str, rank: int = 0) -> None:
        coming.put(TIERS[rank])
        await take(turns, owner, rank)

    monkeypatch.setattr(Turns, "take", seen)
    return coming


async def next_of(line: SimpleQueue[Tier]) -> Tier:
    return await asyncio.to_thread(line.get, timeout=60)


@pytest.mark.parametrize("path", ALL)
async def test_they_wait_with_responses_for_a_backend_that_is_asked_for_one_thing_at_a_time(
    bounded: Running, upstream: Upstream, line: SimpleQueue[Tier], path: str
) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("first", gate=gate), said(EMBEDDED), Answer("third"))
    async with AsyncOpenAI(base_url=f"{bounded.url}/v1", api_key="k") as asking:
        first = asyncio.create_task(asking.responses.create(model="m", input="Hi"))
        await gate.reached()
        second = asyncio.create_task(asking.post(path.removeprefix("/v1"), body=ASKED, cast_to=object))
        await next_of(line)
        third = asyncio.create_task(asking.responses.create(model="m", input="Hi"))
        await next_of(line)
        assert len(upstream.requests) == 1
        gate.open()
        assert (await first).output_text == "first"
        await second
        assert (await third).output_text == "third"
    assert upstream.requests[1].path == path


async def test_the_tier_that_they_ask_for_says_who_goes_first(
    bounded: Running, upstream: Upstream, line: SimpleQueue[Tier]
) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("first", gate=gate), Answer("fast"), Answer("slow"))
    async with AsyncOpenAI(base_url=f"{bounded.url}/v1", api_key="k") as asking:

        async def ask(tier: Any) -> str | None:
            told = await asking.chat.completions.create(model="m", messages=HI, service_tier=tier)
            return told.choices[0].message.content

        first = asyncio.create_task(asking.responses.create(model="m", input="Hi"))
        await gate.reached()
        others = []
        for tier in ("flex", "priority"):
            others.append(asyncio.create_task(ask(tier)))
            assert await next_of(line) == tier
        gate.open()
        await first
        assert await asyncio.gather(*others) == ["slow", "fast"]


def test_who_hangs_up_leaves_the_place_to_the_next(bounded: Running, upstream: Upstream) -> None:
    gates = [Gate(after=0), Gate(after=2)]
    upstream.script(*(Answer("abc", size=1, gate=gate) for gate in gates), Answer("well"))
    for number, gate in enumerate(gates):
        with hanging_up(bounded.url, CHAT, ASKED | {"stream": True}):
            gate.wait_reached()
        upstream.requests[number].wait_gone()

    with checked_client(bounded.url) as client:
        assert client.chat.completions.create(model="m", messages=HI).choices[0].message.content == "well"


async def test_of_several_servers_one_is_asked_that_is_well_when_a_place_comes_free(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: SimpleQueue[Tier]
) -> None:
    chosen: list[Replicas] = []
    choose = Replicas.passthrough

    def seen(several: Replicas) -> Passthrough | None:
        chosen.append(several)
        return choose(several)

    monkeypatch.setattr(Replicas, "passthrough", seen)
    gate = Gate(after=0)
    upstream.script(Answer("first", gate=gate), Answer("second"))
    urls = [upstream.base_url, "http://127.0.0.1:9/v1"]
    settings = BackendSettings(base_urls=urls, default=True, dialect="generic", max_concurrency=1)
    config = replace(config_for(upstream, tmp_path), backends={"two": settings})
    with Running(config) as running:
        async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key="k") as asking:
            first = asyncio.create_task(asking.responses.create(model="m", input="Hi"))
            await gate.reached()
            second = asyncio.create_task(asking.chat.completions.create(model="m", messages=HI))
            await next_of(line)
            before = len(chosen)
            gate.open()
            await asyncio.gather(first, second)
    assert len(chosen) == before + 1


def test_who_waits_in_vain_is_told_when_to_come_again(
    bounded: Running, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WAIT_SECONDS", 0.05)
    gate = Gate(after=1)
    upstream.script(Answer("abc", gate=gate))
    with httpx2.stream("POST", f"{bounded.url}{CHAT}", json=ASKED | {"stream": True}) as first:
        assert first.status_code == 200
        second = httpx2.post(f"{bounded.url}{CHAT}", json=ASKED)
        gate.open()
        first.read()

    assert (second.status_code, second.headers["retry-after"]) == (503, "5")
    assert second.json()["error"]["code"] == "server_overloaded"


# ---- clients that go, or read slowly ----------------------------------------------------------------


async def test_a_client_that_hangs_up_ends_the_upstreams_work(
    aclient: AsyncOpenAI, upstream: Upstream
) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("abc", size=1, gate=gate))

    async with await aclient.chat.completions.create(model="m", messages=HI, stream=True) as stream:
        await anext(aiter(stream))

    await upstream.last.gone()


@pytest.mark.parametrize("path", ALL)
def test_a_client_that_hangs_up_before_the_answer_ends_the_upstreams_work(
    server: Running, upstream: Upstream, path: str
) -> None:
    gate = Gate(after=0)
    upstream.script(said(EMBEDDED, gate=gate))

    with hanging_up(server.url, path, ASKED):
        gate.wait_reached()

    upstream.requests[0].wait_gone()


class Pieces(Sequence[bytes]):
    """Many pieces, of which it counts those that were taken."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index >= self._count:
            raise IndexError
        self.taken = index + 1
        return b"data: " + b"x" * 65_528 + b"\n\n"


def test_nobody_who_reads_slowly_fills_the_servers_memory(server: Running, upstream: Upstream) -> None:
    pieces = Pieces(16_000)
    upstream.script(Answer(raw=pieces))

    with (
        httpx2.Client(base_url=server.url, timeout=30) as http,
        httpx2.Client(base_url=server.url) as other,
        http.stream("POST", CHAT, json=ASKED | {"stream": True}) as told,
    ):
        next(told.iter_raw())
        for _ in range(300):  # meanwhile the server has all the time to read on
            assert other.get("/health").status_code == 200
        assert pieces.taken < 400
    upstream.last.wait_gone()


def test_a_websocket_is_opened_at_no_such_path(server: Running) -> None:
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    told = httpx2.get(f"{server.url}{CHAT}", headers=upgrade)
    assert fault(told) == (404, "invalid_request_error", "unknown_url", None)


def test_nothing_is_kept_of_what_is_passed_on(upstream: Upstream, tmp_path: Path) -> None:
    secret = "a-word-that-nobody-else-says"
    upstream.script(Answer(secret))
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": secret}])

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
