"""What the head of an answer says: who answered, and what of the request went unheeded."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.scripted import Answer, Upstream, refusal
from websockets.sync.client import connect

from antiphon.config import BackendSettings, Server

LOGPROBS = ["message.output_text.logprobs"]
MUCH: dict[str, Any] = {
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit", "comparison_response_id": "resp_1"},
    "service_tier": "flex",
    "top_logprobs": 2,
    "access_programs": {"cyber": "standard"},
    "reasoning": {"mode": "pro", "effort": "low"},
    "parallel_tool_calls": False,
    "tools": [
        {"type": "web_search"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
    ],
}
# RFC 9651: a list of tokens, each with a string as its parameter.
ITEM = r'[a-z][a-z_.]*;why="[ !#-\[\]-~]*"'


def post(http: httpx2.Client, **members: Any) -> httpx2.Response:
    answer = http.post("/v1/responses", json={"model": "m", "input": "Hi", **members})
    assert answer.status_code == 200, answer.text
    return answer


def warned(answer: httpx2.Response) -> list[str]:
    return re.findall(r"([a-z_.]+);", answer.headers.get("x-antiphon-warnings", ""))


@pytest.mark.parametrize(
    "mode", [{}, {"stream": True}, {"background": True}, {"background": True, "stream": True}]
)
def test_every_answer_says_who_gave_it_and_what_was_not_heeded(
    mode: dict[str, Any], http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    answer = post(http, prompt_cache_key="k", **mode)
    assert answer.headers["x-antiphon-backend"] == "upstream"
    told = 'prompt_cache_key;why="not known to the upstream"'
    assert answer.headers["x-antiphon-warnings"] == told


@pytest.mark.parametrize("mode", [{}, {"stream": True}])
def test_a_request_of_which_all_is_heeded_has_no_warnings(
    mode: dict[str, Any], http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    assert "x-antiphon-warnings" not in post(http, temperature=0.5, **mode).headers


def test_the_header_is_well_formed_and_bounded_however_much_goes_unheeded(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_for(upstream, tmp_path)
    ollama = {"upstream": BackendSettings(base_url=upstream.base_url, default=True, dialect="ollama")}
    upstream.script(Answer("Hello"))
    with Running(replace(config, backends=ollama)) as running, httpx2.Client(base_url=running.url) as http:
        header = post(http, **MUCH).headers["x-antiphon-warnings"]
    assert header.isascii()
    assert len(header) <= 1024
    assert re.fullmatch(rf"{ITEM}(, {ITEM})*", header)
    assert header.count(";why=") > 10


def test_a_backend_with_a_name_that_no_header_can_have_is_percent_encoded(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_for(upstream, tmp_path)
    backends = {'größe"\n': BackendSettings(base_url=upstream.base_url, default=True, dialect="generic")}
    upstream.script(Answer("Hello"))
    with Running(replace(config, backends=backends)) as running, httpx2.Client(base_url=running.url) as http:
        assert post(http).headers["x-antiphon-backend"] == "gr%C3%B6%C3%9Fe%22%0A"


@pytest.mark.parametrize("mode", [{}, {"stream": True}])
def test_what_a_refusal_teaches_is_warned_of_in_the_same_answer(
    mode: dict[str, Any], upstream: Upstream, fresh: httpx2.Client
) -> None:
    upstream.script(refusal(400, "Unrecognized request argument supplied: reasoning_effort"), Answer("Hello"))
    answer = post(fresh, reasoning={"effort": "low"}, **mode)
    assert warned(answer) == ["reasoning.effort"]
    assert "reasoning_effort" not in upstream.last.body


@pytest.fixture
def fresh(upstream: Upstream, tmp_path: Path) -> Iterator[httpx2.Client]:
    """A server that has learned nothing yet."""
    with Running(config_for(upstream, tmp_path)) as running, httpx2.Client(base_url=running.url) as http:
        yield http


# ---- logprobs ---------------------------------------------------------------------------------------

BARE = [
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


def test_logprobs_that_do_not_come_are_warned_of_and_not_an_empty_list_in_silence(
    upstream: Upstream, fresh: httpx2.Client
) -> None:
    upstream.default = Answer(raw=BARE)
    assert warned(post(fresh, include=LOGPROBS)) == ["top_logprobs"]
    assert warned(post(fresh, include=LOGPROBS, stream=True)) == ["top_logprobs"]
    upstream.default = Answer("Hello")
    assert warned(post(fresh, include=LOGPROBS)) == []


# ---- pages, logs, sockets ---------------------------------------------------------------------------


def test_web_pages_can_read_both_headers(upstream: Upstream, tmp_path: Path) -> None:
    app = "https://app.example.com"
    upstream.script(Answer("Hello"))
    config = config_for(upstream, tmp_path, Server(allowed_origins=[app]))
    with Running(config) as running, httpx2.Client(base_url=running.url, headers={"origin": app}) as http:
        headers = post(http, user="u").headers
    exposed = headers["access-control-expose-headers"]
    assert exposed == "*", "a wildcard covers them, since pages bring no cookies"
    assert {"x-antiphon-backend", "x-antiphon-warnings"} <= headers.keys()


def test_each_kind_is_logged_once(
    upstream: Upstream, fresh: httpx2.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.default = Answer("Hello")
    for _ in range(3):
        post(fresh, user="u")
    logged = [line for line in capsys.readouterr().out.splitlines() if "unheeded" in line]
    assert len(logged) == 1
    assert "user" in logged[0]


def test_a_socket_has_no_place_for_warnings_they_are_logged(
    upstream: Upstream, fresh: httpx2.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.default = Answer("Hello")
    url = str(fresh.base_url).replace("http", "ws") + "/v1/responses"
    with connect(url) as socket:
        socket.send('{"type": "response.create", "model": "m", "input": "Hi", "user": "u"}')
        while "response.completed" not in str(socket.recv(timeout=60)):
            pass
        socket.send('{"type": "nothing"}')
        socket.recv(timeout=60)
    assert "unheeded" in capsys.readouterr().out
