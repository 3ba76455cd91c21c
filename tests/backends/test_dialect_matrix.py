"""No parameter vanishes in silence: it is sent, refused, or a warning says so, in every dialect and API.

The matrix is over all dialects, the two other APIs, and all parameters of a request, over HTTP: what the
upstream is sent with a parameter is held against what it is sent without.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from tests import messages_script, responses_script
from tests.conftest import Running
from tests.scripted import Answer, Upstream

from antiphon.backends.dialects import DIALECTS
from antiphon.config import BackendSettings, Config, Server
from antiphon.protocol import request
from antiphon.protocol.request import CreateResponse

LOGPROBS = {"include": ["message.output_text.logprobs"]}
F = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
TOOLS = {"tools": [F, {**F, "name": "g"}]}
SCHEMA = {"type": "json_schema", "name": "s", "schema": {"type": "object"}}


class Case(NamedTuple):
    """A parameter as it is sent, and what the request has beside it."""

    members: dict[str, Any]
    beside: dict[str, Any] = {}  # noqa: RUF012 (never written to)
    warned_as: str = ""
    """The name in the warning, where it is another one."""
    done: tuple[str, ...] = ()
    """What is done with it, where that is more than one thing."""


def _hosted(tool: dict[str, Any]) -> Case:
    """A tool that is not set up here: the model is not offered it, and the client reads so."""
    return Case({"tools": [F, tool]}, {"tools": [F]}, tool["type"])


CASES: dict[str, Case] = {
    "input": Case({"input": "Another question"}),
    "instructions": Case({"instructions": "Be kind."}),
    "tools": Case({"tools": [F]}),
    "tools: web_search": _hosted({"type": "web_search"}),
    "tools: code_interpreter": _hosted({"type": "code_interpreter", "container": {"type": "auto"}}),
    "tools: image_generation": _hosted({"type": "image_generation"}),
    "tool_choice: none": Case({"tool_choice": "none"}, TOOLS),
    "tool_choice: required": Case({"tool_choice": "required"}, TOOLS),
    "tool_choice: by name": Case({"tool_choice": {"type": "function", "name": "g"}}, TOOLS),
    "tool_choice: allowed_tools": Case(
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "g"}],
            }
        },
        TOOLS,
    ),
    "text.format: json_object": Case({"text": {"format": {"type": "json_object"}}}),
    "text.format: json_schema": Case({"text": {"format": SCHEMA}}),
    "text.verbosity: low": Case({"text": {"verbosity": "low"}}),
    "text.verbosity: high": Case({"text": {"verbosity": "high"}}),
    "temperature": Case({"temperature": 0.5}),
    "top_p": Case({"top_p": 0.5}),
    "presence_penalty": Case({"presence_penalty": 0.5}),
    "frequency_penalty": Case({"frequency_penalty": 0.5}),
    "max_output_tokens": Case({"max_output_tokens": 99}),
    "reasoning.effort: low": Case({"reasoning": {"effort": "low"}}),
    "reasoning.effort: none": Case({"reasoning": {"effort": "none"}}),
    "reasoning.mode": Case({"reasoning": {"mode": "pro"}}),
    "include": Case(LOGPROBS),
    "top_logprobs": Case({"top_logprobs": 3}, LOGPROBS),
    "top_logprobs, not included": Case({"top_logprobs": 3}),
    "user": Case({"user": "u"}),
    "user, beside safety_identifier": Case({"user": "u"}, {"safety_identifier": "s"}),
    "safety_identifier": Case({"safety_identifier": "s"}),
    "prompt_cache_key": Case({"prompt_cache_key": "k"}),
    "prompt_cache_retention": Case({"prompt_cache_retention": "24h"}),
    "prompt_cache_options.mode": Case(
        {"prompt_cache_options": {"mode": "explicit"}}, {}, "prompt_cache_options"
    ),
    "prompt_cache_options.ttl": Case({"prompt_cache_options": {"ttl": "30m"}}, {}, "prompt_cache_options"),
    "prompt_cache_options.prewarm": Case({"prompt_cache_options": {"prewarm": True}}),
    "service_tier": Case({"service_tier": "flex"}),
    "access_programs.cyber": Case({"access_programs": {"cyber": "standard"}}, {}, "access_programs"),
}
OURS = {
    "model": "chooses the backend",
    "previous_response_id": "the history is ours",
    "conversation": "the history is ours",
    "prompt": "templates are ours",
    "metadata": "kept and shown",
    "store": "the store is ours",
    "stream": "answers are streamed as they come",
    "stream_options.include_obfuscation": "so are paddings",
    "background": "runs are ours",
    "background_options": "runs are ours",
    "max_tool_calls": "we count",
    "parallel_tool_calls": "we count too, whatever the model does; servers that know it are told",
    "reasoning.summary": "we have it written",
    "reasoning.generate_summary": "its older name",
    "reasoning.context": "what of the past is read is ours",
    "moderation": "who judges is not who answers",
    "truncation": "the window is ours to keep",
    "context_management": "compaction is ours",
    "prompt_cache_options.comparison_response_id": "contexts are compared here",
    "image.context_compression": "images are made smaller here",
    "client_metadata": "about the client's own session",
    "multi_agent": "agents are ours",
}
"""Parameters that a server of Chat Completions has no part in, and why; the ledger has their proofs."""
NESTED = {
    "reasoning": request.Reasoning,
    "text": request.TextOptions,
    "prompt_cache_options": request.PromptCacheOptions,
    "stream_options": request.StreamOptions,
    "access_programs": request.AccessPrograms,
    "image": request.ImageOptions,
}


def _parameters() -> Iterator[str]:
    for name in CreateResponse.__struct_fields__:
        inner = NESTED.get(name)
        yield from [f"{name}.{member}" for member in inner.__struct_fields__] if inner else [name]


def test_the_matrix_has_every_parameter() -> None:
    known = {re.split("[:,]", name)[0] for name in CASES} | OURS.keys()
    assert set(_parameters()) == known


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a backend for each dialect and API, which answers to its name."""
    backends = {
        name: BackendSettings(base_url=_upstream.base_url, dialect=name, models=[name]) for name in DIALECTS
    }
    backends["anthropic"] = BackendSettings(
        type="anthropic", base_url=_upstream.base_url, models=["anthropic"]
    )
    backends["responses"] = BackendSettings(
        type="responses", base_url=_upstream.base_url, models=["responses"]
    )
    config = Config(
        data_dir=str(tmp_path_factory.mktemp("data")), server=Server(verify=True), backends=backends
    )
    with Running(config) as running:
        yield running


class Asked(NamedTuple):
    """What came of a request."""

    body: Any
    """What the upstream was sent first; None: nothing."""
    warned: set[str]
    refused: str | None


def ask(http: httpx2.Client, upstream: Upstream, dialect: str, members: dict[str, Any]) -> Asked:
    upstream.requests.clear()
    answer = http.post("/v1/responses", json={"model": dialect, "input": "Hi", **members})
    body = upstream.requests[0].body if upstream.requests else None
    listed = answer.headers.get("x-antiphon-warnings", "")
    refused = answer.json()["error"]["param"] if answer.status_code == 400 else None
    return Asked(body, set(re.findall(r'([a-z_.]+);why="[^"]+"', listed)), refused)


def came_of(name: str, case: Case, without: Asked, asked: Asked) -> list[str]:
    """What was done with a parameter."""
    param = re.split("[:,]", name)[0]
    done = {
        "sent": asked.body is not None and asked.body != without.body,
        "warned": (case.warned_as or param) in asked.warned - without.warned,
        "refused": asked.refused is not None and asked.refused != without.refused,
    }
    return [what for what, was in done.items() if was]


APIS = {
    "anthropic": messages_script.answer(messages_script.text("{}")),
    "responses": responses_script.answer(responses_script.text("{}")),
}
"""The other APIs, with an answer in each."""


@pytest.mark.parametrize("dialect", [*DIALECTS, *APIS])
def test_every_parameter_is_sent_or_refused_or_warned_of(
    dialect: str, running: Running, upstream: Upstream
) -> None:
    upstream.lenient, upstream.default = True, APIS.get(dialect, Answer("{}"))
    wrong = {}
    with httpx2.Client(base_url=running.url, timeout=30) as http:
        for name, case in CASES.items():
            without = ask(http, upstream, dialect, case.beside)
            asked = ask(http, upstream, dialect, {**case.beside, **case.members})
            done = came_of(name, case, without, asked)
            expected = done == list(case.done) if case.done else len(done) == 1
            if not expected and not (without.refused and asked.refused):
                wrong[name] = done
    assert wrong == {}
