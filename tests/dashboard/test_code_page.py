"""Requests as code that can be copied, and that asks the same again."""

import ast
import base64
import inspect
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from openai.resources.responses import Responses
from tests.conftest import Running, config_for
from tests.papers import png
from tests.scripted import Answer, Called, Upstream
from tests.tools.mcp_servers import Toolset, served

from antiphon.config import Outbound
from antiphon.dashboard.asked import request_of
from antiphon.dashboard.snippets import base_url, curl, literal, python
from antiphon.protocol.request import CreateResponse

KEY = "sk-of-this-test"
ADD = {
    "type": "function",
    "name": "add",
    "description": 'Adds, "it\'s" said.',
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
PNG = png(2, 2) + random.Random(1).randbytes(6000)
PICTURE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def run(language: str, code: str) -> str:
    command = [sys.executable, "-"] if language == "python" else ["sh"]
    env = {**os.environ, "OPENAI_API_KEY": KEY}
    done = subprocess.run(command, input=code, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def chained(client: OpenAI, upstream: Upstream) -> str:
    """The id of a response with a lot that can be asked for."""
    upstream.script(Answer(calls=[Called("add")]), Answer("**Three**, isn't it?"))
    first = client.responses.create(model="m", input="Add.", tools=[ADD])  # type: ignore[list-item]
    (call,) = first.output
    made = client.responses.create(
        model="m-code",
        previous_response_id=first.id,
        input=[
            {"type": "function_call_output", "call_id": call.call_id, "output": "3"},  # type: ignore[union-attr]
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "So?\nJSON\n$HOME `id` 'x' \"y\" \\ é"},
                    {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                ],
            },
        ],
        tools=[ADD],  # type: ignore[list-item]
        tool_choice="none",
        instructions="Be brief.",
        temperature=0.5,
        max_output_tokens=500,
        metadata={"a": "b"},
        text={"verbosity": "low"},
        extra_body={"presence_penalty": 0.5},
    )
    return made.id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("language", ["curl", "python"])
def test_the_code_asks_the_same_again(
    chained: str, pages: httpx2.Client, upstream: Upstream, language: str, stream: bool
) -> None:
    before = upstream.last.body
    upstream.default = Answer("Again.")
    asked = {"stream": "true"} if stream else {}
    code = pages.get(f"/dashboard/responses/{chained}/code/{language}", params=asked).text

    said = run(language, code)

    assert {**upstream.last.body, "stream": 0, "stream_options": 0} == {
        **before,
        "stream": 0,
        "stream_options": 0,
    }
    assert "Again." in said
    assert ("response.created" in said or "ResponseCreatedEvent" in said) is stream
    assert KEY not in code


def test_what_is_made_in_the_background_is_waited_for(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("At last.")
    made = client.responses.create(model="m", input="Hi", background=True)
    assert run("python", pages.get(f"/dashboard/responses/{made.id}/code/python").text) == "At last.\n"


def test_the_page_shows_both_and_its_pictures_as_links(chained: str, pages: httpx2.Client) -> None:
    html = pages.get(f"/dashboard/responses/{chained}/code").text
    assert "inline:" in html
    assert PICTURE[:200] not in html
    data = pages.get(f"/dashboard/responses/{chained}/code.json?stream=true").json()
    assert data["request"]["stream"] is True
    assert "--no-buffer" in data["curl"]
    assert "for event in stream" in data["python"]
    assert pages.get(f"/dashboard/responses/{chained}/code/cobol").status_code == 404


def test_a_plain_request_is_plain_again(client: OpenAI, pages: httpx2.Client, upstream: Upstream) -> None:
    upstream.default = Answer("Yes")
    made = client.responses.create(model="m", input="Hi there.")
    found = pages.get(f"/dashboard/responses/{made.id}/code.json").json()["request"]
    assert found == {"model": "m", "input": "Hi there."}


def test_secrets_are_neither_kept_nor_shown(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Yes")
    config = replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))
    with Running(config) as server, served(Toolset().server()) as mcp:
        tool = {
            "type": "mcp",
            "server_label": "wiki",
            "server_url": f"{mcp.url}/mcp",
            "authorization": "hidden-word",
        }
        with httpx2.Client(base_url=server.url) as pages:
            body = {"model": "m", "input": "Hi", "tools": [tool]}
            made = pages.post("/v1/responses", json=body, timeout=30).json()
            html = pages.get(f"/dashboard/responses/{made['id']}/code").text
    assert "hidden-word" not in html
    assert "Secrets are not kept" in html
    assert "only the host is kept" in html


def test_the_python_client_knows_all_that_is_not_extra() -> None:
    known = inspect.signature(Responses.create).parameters
    code = python("http://h/v1", dict.fromkeys(CreateResponse.__struct_fields__, 1))
    shown = re.findall(r"^    (\w+)=", code, re.MULTILINE)
    assert set(shown) <= {*known}
    assert "extra_body" in shown


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example:8000", "http://a.example:8000/v1"),
        ("[::1]:80", "http://[::1]:80/v1"),
        ("a'; rm -rf /", "http://localhost/v1"),
        ("", "http://localhost/v1"),
    ],
)
def test_only_a_host_is_written_as_one(host: str, expected: str) -> None:
    assert base_url("http", host) == expected


def test_texts_stay_what_they_are_in_either_language() -> None:
    text = "'''\"\"\"\nJSON\n\\ $(id) `id` \u2028 é \x00"
    body: dict[str, Any] = {"model": "m", "input": [{"role": "user", "content": text}] * 3}
    namespace: dict[str, Any] = {}
    exec(f"found = {literal(body)}", namespace)
    assert namespace["found"] == body
    shell = curl("http://h/v1", body)
    assert json.loads(shell.partition("<<'JSON'\n")[2].removesuffix("\nJSON\n")) == body


def test_what_a_template_said_is_not_asked_for_again() -> None:
    prompt = {"id": "pmpt_1", "version": "2"}
    response = {"model": "m", "prompt": prompt, "instructions": [{"role": "system"}], "top_p": 1.0}
    assert request_of(response, []) == {"model": "m", "input": [], "prompt": prompt}


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        found = {"type": "object", "properties": {"a": found}}
    return found


def test_what_is_nested_deeply_is_written_in_time_of_its_length() -> None:
    assert ast.literal_eval(literal(nested(40))) == nested(40)
    deep: Any = "x" * 1_000_000
    for _ in range(400):
        deep = [deep]
    begun = time.process_time()
    literal(deep)
    assert time.process_time() - begun < 5


def test_what_is_nested_too_deeply_to_be_written_is_no_fault_of_ours(
    client: OpenAI, pages: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Hi")
    tool = {"type": "function", "name": "f", "parameters": nested(120), "strict": False}
    made = client.responses.create(model="m", input="Hi", tools=[tool])  # type: ignore[list-item]
    for page in ("", "/code", "/code/python", "/turns", "/again"):
        assert pages.get(f"/dashboard/responses/{made.id}{page}").status_code in (200, 400), page
