"""Keys with limits: what is refused, in whose words, and what answers say of what is left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
import openai
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Gate, Upstream, Usage
from tests.tools.libraries import FILES, shelve
from websockets.sync.client import ClientConnection, connect

from antiphon.api import callers
from antiphon.config import Config, FileSearchSettings, KeySettings, Server, Tools, hash_key
from antiphon.keys.issuing import Issuer
from antiphon.store.activity import ActivityQuery
from antiphon.store.keys import KeyLimits
from antiphon.store.open import open_store
from antiphon.store.store import Store

Keys = dict[str, KeySettings]
T = TypeVar("T")


class Limited(Running):
    """A server whose store can be opened beside it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config = config


Make = Callable[[Keys], Limited]


def key(name: str, **limits: Any) -> Keys:
    """The key `sk-NAME`."""
    return {name: KeySettings(project="shop", **limits)}


@pytest.fixture
def start(upstream: Upstream, tmp_path: Path) -> Iterator[Make]:
    """Starts servers with keys, which stop when the test ends."""
    upstream.default = Answer("Hello", usage=Usage(60, 40))
    begun: list[Limited] = []

    def starting(keys: Keys) -> Limited:
        hashed = {name: hash_key(f"sk-{name}") for name in keys}
        config = config_for(upstream, tmp_path, Server(verify=True, keys=hashed))
        tools = Tools(file_search=FileSearchSettings(rewrite_model="m"))
        begun.append(Limited(replace(config, keys=keys, tools=tools)))
        begun[-1].__enter__()
        return begun[-1]

    yield starting
    for running in begun:
        running.stop()


def ask(running: Running, name: str, **body: Any) -> httpx2.Response:
    """The answer to a request, whatever it is."""
    with checked_client(running.url, f"sk-{name}") as client:
        request = {"model": "m", "input": "Hi", **body}
        try:
            answer = client.responses.with_raw_response.create(**request).http_response
            answer.read()
            return answer
        except openai.APIStatusError as refused:
            return refused.response


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"]


def limits_in(answer: httpx2.Response) -> Json:
    head = "x-ratelimit-"
    return {name.removeprefix(head): value for name, value in answer.headers.items() if name.startswith(head)}


# ---- requests ---------------------------------------------------------------------------------------


@covers("error.rate_limit_exceeded.requests", "header.x-ratelimit-limit-requests", "header.retry-after")
@covers("header.x-ratelimit-remaining-requests", "header.x-ratelimit-reset-requests")
def test_requests_beyond_those_of_a_minute_are_refused_as_the_sdk_expects(start: Make) -> None:
    running = start(key("three", requests_per_minute=3))
    told = [limits_in(ask(running, "three")) for _ in range(3)]

    assert [each["limit-requests"] for each in told] == ["3"] * 3
    assert [each["remaining-requests"] for each in told] == ["2", "1", "0"]
    assert all(each["reset-requests"].endswith("s") and each["reset-requests"] != "0s" for each in told)
    with checked_client(running.url, "sk-three") as client, pytest.raises(openai.RateLimitError) as refused:
        client.responses.create(model="m", input="Hi")
    answer = refused.value.response
    assert refused.value.code == "rate_limit_exceeded"
    assert refusal(answer) == (429, "requests", "rate_limit_exceeded")
    assert "API key 'three' on requests per min (RPM" in refused.value.message
    assert "Limit 3, Used 3, Requested 1. Please try again in" in refused.value.message
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert limits_in(answer)["remaining-requests"] == "0"


def test_every_answer_of_a_limited_key_says_what_is_left_and_no_other_does(start: Make) -> None:
    running = start(key("limited", requests_per_minute=9, tokens_per_minute=9000) | key("free"))
    created = ask(running, "limited").json()["id"]
    with httpx2.Client(base_url=running.url, headers={"authorization": "Bearer sk-limited"}) as http:
        answers = [http.get(f"/v1/responses/{created}"), http.get("/v1/models"), http.get("/v1/nowhere")]

    for answer in answers:
        assert limits_in(answer)["remaining-requests"] == "8"
        assert limits_in(answer)["limit-tokens"] == "9000"
    assert limits_in(ask(running, "free")) == {}


def test_a_request_that_cannot_be_read_is_not_counted(start: Make) -> None:
    running = start(key("one", requests_per_minute=1))

    assert ask(running, "one", input=7).status_code == 400
    assert ask(running, "one").status_code == 200
    assert ask(running, "one").status_code == 429


# ---- tokens -----------------------------------------------------------------------------------------


@covers("error.rate_limit_exceeded.tokens", "header.x-ratelimit-limit-tokens")
@covers("header.x-ratelimit-remaining-tokens", "header.x-ratelimit-reset-tokens")
def test_tokens_are_reserved_by_an_estimate_and_settled_by_the_usage(start: Make) -> None:
    running = start(key("t", tokens_per_minute=1000))
    used = [ask(running, "t", max_output_tokens=50)]
    first = limits_in(used[0])
    while used[-1].status_code == 200:
        used.append(ask(running, "t"))

    assert first["limit-tokens"] == "1000"
    assert 900 <= int(first["remaining-tokens"]) < 950, "reserved: the body and the output that it may have"
    assert 7 <= len(used) - 1 <= 10, "each takes 100"
    assert refusal(used[-1]) == (429, "tokens", "rate_limit_exceeded")
    assert "on tokens per min (TPM" in used[-1].json()["error"]["message"]


@pytest.mark.parametrize("how", [{}, {"stream": True}, {"store": False}])
def test_however_it_is_answered_what_it_took_is_counted(start: Make, how: Json) -> None:
    running = start(key("t", tokens_per_minute=100_000))
    ask(running, "t", **how)

    assert left(running, "t") == 99_900


def left(running: Running, name: str) -> int:
    with httpx2.Client(base_url=running.url, headers={"authorization": f"Bearer sk-{name}"}) as http:
        return int(limits_in(http.get("/v1/models"))["remaining-tokens"])


def test_what_the_model_refuses_takes_nothing(start: Make, upstream: Upstream) -> None:
    running = start(key("t", tokens_per_minute=100_000))
    upstream.default = Answer(status=400, error={"error": {"message": "no"}})

    assert ask(running, "t").status_code >= 400
    assert left(running, "t") == 100_000


def test_who_goes_away_before_the_usage_is_known_has_used_what_was_reserved(
    start: Make, upstream: Upstream
) -> None:
    running = start(key("t", tokens_per_minute=100_000, concurrency=1))
    upstream.script(Answer("Hello you", size=3, gate=Gate(after=3)))
    with (
        checked_client(running.url, "sk-t") as client,
        client.responses.create(model="m", input="Hi", stream=True) as stream,
    ):
        assert any(event.type == "response.output_text.delta" for event in stream)
    while ask(running, "t").status_code != 200:
        """Until its place is free."""

    assert left(running, "t") < 99_000


@covers("error.insufficient_quota.budget")
def test_a_budget_ends_with_openais_code_for_a_quota(start: Make) -> None:
    running = start(key("b", token_budget=250, budget_window="month"))
    answers = [ask(running, "b") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429], "50 are no answer any more"
    assert refusal(answers[-1]) == (429, "insufficient_quota", "insufficient_quota")
    assert (
        "may use 250 tokens a month (its token_budget): Used 200, Requested"
        in answers[-1].json()["error"]["message"]
    )
    assert int(answers[-1].headers["retry-after"]) <= 31 * 86400
    assert limits_in(answers[0]) == {}, "the real API has no headers for it"


def test_a_budget_is_kept_when_the_server_starts_anew(start: Make) -> None:
    keys = key("b", token_budget=250, budget_window="day")
    first = start(keys)
    assert [ask(first, "b").status_code for _ in range(2)] == [200, 200]
    first.stop()
    second = start(keys)

    assert [ask(second, "b").status_code for _ in range(2)] == [200, 429]


# ---- at once ----------------------------------------------------------------------------------------


@covers("error.rate_limit_exceeded.concurrency")
def test_requests_at_once_are_bounded_and_a_place_is_free_when_one_is_answered(
    start: Make, upstream: Upstream
) -> None:
    running = start(key("c", concurrency=1))
    gate = Gate(after=2)
    upstream.default = Answer("Hello", gate=gate)
    with (
        checked_client(running.url, "sk-c") as client,
        client.responses.create(model="m", input="Hi", stream=True) as stream,
    ):
        gate.wait_reached()
        refused = ask(running, "c")
        gate.open()
        list(stream)

    assert refusal(refused) == (429, "requests", "rate_limit_exceeded")
    assert "requests at once (its concurrency): Limit 1" in refused.json()["error"]["message"]
    assert [ask(running, "c").status_code for _ in range(5)] == [200] * 5


def test_who_is_refused_or_fails_leaves_his_place(start: Make) -> None:
    running = start(key("c", concurrency=1, requests_per_minute=3))

    assert ask(running, "c", previous_response_id="resp_none").status_code == 400
    assert [ask(running, "c").status_code for _ in range(4)] == [200, 200, 429, 429]


# ---- models -----------------------------------------------------------------------------------------


@covers("error.model_not_found.key")
def test_a_model_that_a_key_may_not_use_is_refused_and_not_listed(start: Make, upstream: Upstream) -> None:
    upstream.models = ["gpt-a", "gpt-b", "other"]
    running = start(key("k", models=["gpt-*"]) | key("free"))
    with checked_client(running.url, "sk-k") as client:
        client.responses.create(model="gpt-a", input="Hi")
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.responses.create(model="other", input="Hi")
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")
        listed = [model.id for model in client.models.list()]

    assert refused.value.code == "model_not_found"
    assert "API key 'k' does not have access to model 'other'" in refused.value.message
    assert listed == ["gpt-a", "gpt-b"]
    assert ask(running, "free", model="other").status_code == 200


# ---- other endpoints --------------------------------------------------------------------------------


def chat(client: OpenAI, **body: Any) -> object:
    made = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], **body)
    return list(made) if body.get("stream") else made


@pytest.mark.parametrize("streams", [False, True])
def test_what_is_passed_on_counts_by_the_usage_in_its_answer(start: Make, streams: bool) -> None:
    running = start(key("t", tokens_per_minute=100_000, requests_per_minute=100))
    more: Json = {"stream": True, "stream_options": {"include_usage": True}} if streams else {}
    with checked_client(running.url, "sk-t") as client:
        chat(client, **more)

    assert left(running, "t") == 99_900


def test_a_limited_key_hears_of_its_own_limits_and_not_of_an_upstreams(
    start: Make, upstream: Upstream
) -> None:
    running = start(key("k", requests_per_minute=3) | key("free"))
    upstream.default = Answer("Hello", headers={"x-ratelimit-limit-requests": "7777"})
    told = {}
    for name in ("k", "free"):
        with checked_client(running.url, f"sk-{name}") as client:
            raw = client.chat.completions.with_raw_response
            head = raw.create(model="m", messages=[{"role": "user", "content": "Hi"}]).http_response.headers
            told[name] = head.get_list("x-ratelimit-limit-requests")

    assert told == {"k": ["3"], "free": ["7777"]}


def test_of_a_stream_without_usage_each_event_is_a_token(start: Make, upstream: Upstream) -> None:
    running = start(key("t", tokens_per_minute=100_000))
    upstream.default = Answer("Hello you there", size=1)
    with checked_client(running.url, "sk-t") as client:
        chat(client, stream=True)

    assert 15 <= 100_000 - left(running, "t") <= 60


def test_a_compaction_counts_by_its_usage(start: Make) -> None:
    running = start(key("t", tokens_per_minute=100_000))
    with checked_client(running.url, "sk-t") as client:
        client.responses.compact(model="m", input="Hi")

    assert left(running, "t") == 99_900


def test_a_search_whose_question_a_model_rewrites_counts_by_its_usage(start: Make) -> None:
    running = start(key("t", models=["other"], tokens_per_minute=100_000))
    with checked_client(running.url, "sk-t") as client:
        store = shelve(client, FILES)
        client.vector_stores.search(store, query="ducks")
        plain = left(running, "t")
        client.vector_stores.search(store, query="ducks", rewrite_query=True)

    assert (plain, left(running, "t")) == (100_000, 99_900)


def test_frames_of_a_websocket_are_limited_like_requests(start: Make) -> None:
    running = start(key("w", requests_per_minute=2, tokens_per_minute=100_000))
    with socket_of(running, "sk-w") as socket:
        assert socket.response is not None
        assert socket.response.headers["x-ratelimit-limit-requests"] == "2"
        ends = [answered(socket) for _ in range(3)]

    assert [event["type"] for event in ends] == ["response.completed", "response.completed", "error"]
    assert (ends[-1]["status"], ends[-1]["error"]["code"]) == (429, "rate_limit_exceeded")
    assert left(running, "w") == 99_800


def socket_of(running: Running, secret: str) -> ClientConnection:
    url = running.url.replace("http", "ws") + "/v1/responses"
    return connect(url, additional_headers={"authorization": f"Bearer {secret}"})


def answered(socket: ClientConnection) -> Json:
    """The last event of what a frame is answered with."""
    socket.send('{"type": "response.create", "model": "m", "input": "Hi"}')
    while True:
        event: Json = msgspec.json.decode(socket.recv())
        if event["type"] in ("response.completed", "error"):
            return event


# ---- in the background ------------------------------------------------------------------------------


def test_what_runs_in_the_background_counts_when_it_ends_and_is_the_keys(
    start: Make, upstream: Upstream
) -> None:
    running = start(key("t", token_budget=150, requests_per_minute=9) | key("free"))
    upstream.script(Answer("Hello", usage=Usage(100, 60)))
    with checked_client(running.url, "sk-t") as client:
        ended(client, begin(client).id)
        refused = ask(running, "t")
    with checked_client(running.url, "sk-free") as client:
        ended(client, begin(client).id)
    ask(running, "free")

    page = asyncio.run(with_store(running, lambda store: store.activity.page(ActivityQuery())))

    assert refusal(refused) == (429, "insufficient_quota", "insufficient_quota")
    assert [entry.row.api_key for entry in page.rows] == ["free", "free", "t"]


# ---- made at run time, and changed ------------------------------------------------------------------


@pytest.fixture
def _forgotten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store says of a key holds for no longer than one request."""
    monkeypatch.setattr(callers, "REMEMBERED_SECONDS", 0.0)


@pytest.mark.usefixtures("_forgotten_at_once")
def test_a_key_made_at_run_time_is_limited_and_new_limits_hold_at_once(start: Make) -> None:
    running = start({})
    new = issue(running, lambda issuer: issuer.create("p", "one", KeyLimits(requests_per_minute=1)))
    name = new.secret.removeprefix("sk-")

    assert [ask(running, name).status_code for _ in range(2)] == [200, 429]
    issue(running, lambda issuer: issuer.limit(new.row.id, KeyLimits(requests_per_minute=3), None))
    assert [ask(running, name).status_code for _ in range(3)] == [200, 200, 429]
    issue(running, lambda issuer: issuer.limit(new.row.id, KeyLimits(models=("m",)), None))
    assert [ask(running, name).status_code for _ in range(3)] == [200] * 3
    assert [ask(running, "anything").status_code for _ in range(3)] == [200] * 3, "nobody is locked out"


@pytest.mark.usefixtures("_forgotten_at_once")
def test_a_connection_outlives_its_key_and_answers_no_more_frames(start: Make) -> None:
    running = start({})
    new = issue(running, lambda issuer: issuer.create("p", "one", KeyLimits()))
    with socket_of(running, new.secret) as socket:
        completed = answered(socket)
        issue(running, lambda issuer: issuer.revoke(new.row.id))
        refused = answered(socket)

    assert completed["type"] == "response.completed"
    assert (refused["status"], refused["error"]["message"]) == (401, "This API key was revoked.")


def issue(running: Limited, do: Callable[[Issuer], Awaitable[T]]) -> T:
    return asyncio.run(with_store(running, lambda store: do(Issuer(store.keys, None))))


async def with_store(running: Limited, do: Callable[[Store], Awaitable[T]]) -> T:
    store = await open_store(running.config.store_url)
    try:
        return await do(store)
    finally:
        await store.close()
