"""What servers refuse, in their own words, and what a client is told (docs/internals/upstreams.md)."""

import json
import time
from typing import Any

import pytest
from openai import APIError, APIStatusError, BadRequestError, OpenAI, RateLimitError
from tests.scripted import Answer, Upstream, refusal

from antiphon.backends.faults import read
from antiphon.backends.http import Patience
from antiphon.backends.upstream import Upstream as Server
from antiphon.backends.upstream_errors import from_stream, refused, retry_after
from antiphon.protocol.errors import InvalidRequest, UpstreamError

F: Any = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
SCHEMA: Any = {
    "format": {
        "type": "json_schema",
        "name": "answer",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "strict": True,
    }
}


def said(status: int, body: Any) -> Answer:
    return Answer(status=status, error=body)


def behind(status: int, raw: Any) -> Answer:
    """A proxy that says of a provider only that it failed, and has its words beside."""
    return said(
        status,
        {"error": {"message": "Provider returned error", "code": status, "metadata": {"raw": raw}}},
    )


# ---- the context is too long ----

TOO_LONG = [
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Input length (5000 tokens) exceeds the maximum allowed length (4000 tokens).",
    "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)",
    "Prompt exceeds max length",
    "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 and 500",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "The number of tokens to keep from the initial prompt is greater than the context length",
    "prompt too long; exceeded max context length by 100 tokens",
    "the input length exceeds the context length",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 280000 tokens.",
    "Context size has been exceeded.",
    "Prompt length 5000 is greater than max_seq_len 4096",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
]


@pytest.mark.parametrize("words", TOO_LONG)
def test_a_context_that_is_too_long_is_that_in_any_words(
    words: str, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(refusal(400, words))
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="m", input="Hi")
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


@pytest.mark.parametrize(
    "words",
    [
        "messages.0.name: string exceeds the maximum allowed length (64)",
        "Malformed input request: expected maxLength: 64, actual: 70",
        "temperature: expected a number",
    ],
)
def test_what_else_is_too_long_is_no_context(words: str, client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(400, words))
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="m", input="Hi")
    assert caught.value.code is None


def test_a_limit_of_tokens_in_time_is_no_context_that_is_too_long(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = refusal(429, "Quota exceeded for input token count per minute. Please retry in 20s.")
    with pytest.raises(RateLimitError) as caught:
        client.responses.create(model="m", input="Hi")
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "20"


def test_a_limit_that_is_too_large_is_asked_for_once_and_told_in_the_servers_words(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = refusal(
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is "
        "2048 tokens and your request has 13 input tokens (4096 > 2048 - 13).",
    )
    with pytest.raises(BadRequestError, match="4096 > 2048 - 13") as caught:
        client.responses.create(model="m", input="Hi", max_output_tokens=4096)
    assert caught.value.code == "context_length_exceeded"
    assert len(upstream.requests) == 1


# ---- what a client is told ----

TOLD: dict[str, tuple[Answer, int, str | None, str]] = {
    "the provider's words behind a proxy": (
        behind(400, json.dumps({"error": {"message": "at most 1 image per prompt"}})),
        400,
        None,
        "at most 1 image per prompt",
    ),
    "a context that is too long for the provider": (
        behind(400, 'data: {"error": {"message": "maximum context length is 10 tokens"}}'),
        400,
        "context_length_exceeded",
        "context window",
    ),
    "a provider that speaks in words alone": (
        behind(429, "m is temporarily rate-limited upstream."),
        429,
        "rate_limit_exceeded",
        "rate-limited upstream",
    ),
    "words beside a flag": (said(400, {"error": True, "message": "the reason"}), 400, None, "the reason"),
    "words beside a title": (
        said(400, {"statusCode": 400, "error": "Bad Request", "message": "the reason"}),
        400,
        None,
        "the reason",
    ),
    "a list of errors": (
        said(400, {"success": False, "errors": [{"code": 7000, "message": "No route"}]}),
        400,
        None,
        "No route",
    ),
    "more than the tokens of a minute": (
        refusal(413, "Request too large on tokens per minute: Limit 6000", "rate_limit_exceeded"),
        429,
        "rate_limit_exceeded",
        "tokens per minute",
    ),
    "no credit": (refusal(402, "Insufficient credits."), 429, "insufficient_quota", "Insufficient credits"),
    "no credit, as a request that is wrong": (
        refusal(400, "Your credit balance is too low to access the API."),
        429,
        "insufficient_quota",
        "credit balance",
    ),
    "what moderation refuses": (
        refusal(403, 'm requires moderation on P. Your input was flagged for "violence"'),
        400,
        "invalid_prompt",
        "flagged",
    ),
    "a model that is not ours to use": (
        refusal(403, "Project p does not have access to model m"),
        502,
        None,
        "does not have access",
    ),
    "no provider that may be asked": (
        refusal(404, "No endpoints found matching your data policy (Free model publication)."),
        502,
        None,
        "data policy",
    ),
    "no provider that sees": (
        refusal(404, "No endpoints found that support image input"),
        400,
        "unsupported_value",
        "image input",
    ),
    "an effort that the model does not have": (
        refusal(400, "Unsupported value: 'reasoning_effort' does not support 'low'. Supported values are: …"),
        400,
        None,
        "Supported values",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_a_client_is_told_what_was_refused(case: str, client: OpenAI, upstream: Upstream) -> None:
    upstream.default, status, code, words = TOLD[case]
    with pytest.raises(APIStatusError, match=words) as caught:
        client.responses.create(model="m", input="Hi", reasoning={"effort": "low"})
    assert (caught.value.status_code, caught.value.code) == (status, code)


# ---- what is asked for in another way ----

TAUGHT: dict[str, tuple[Answer, dict[str, Any], str]] = {
    "a model without tools": (
        refusal(400, "library/gemma:latest does not support tools"),
        {"tools": F},
        "tools",
    ),
    "a server that reads no calls": (
        refusal(
            400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        ),
        {"tools": F},
        "tools",
    ),
    "providers without tools": (
        refusal(404, "No endpoints found that support tool use."),
        {"tools": F},
        "tools",
    ),
    "a model that does not think": (
        refusal(400, '"llama3.2" does not support thinking'),
        {"reasoning": {"effort": "low"}},
        "reasoning_effort",
    ),
    "an effort in another spelling": (
        said(400, {"code": "invalid", "error": "Model m does not support parameter reasoningEffort."}),
        {"reasoning": {"effort": "low"}},
        "reasoning_effort",
    ),
    "a form beside functions": (
        refusal(400, "Function calling with a response mime type: 'application/json' is unsupported"),
        {"tools": F, "text": SCHEMA},
        "response_format",
    ),
    "JSON mode beside functions": (
        refusal(400, "json mode cannot be combined with tool/function calling"),
        {"tools": F, "text": SCHEMA},
        "response_format",
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", TAUGHT)
def test_what_a_model_does_not_take_is_asked_for_in_another_way(
    case: str, stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    refused, asked, member = TAUGHT[case]
    model = f"{case}, {stream}"
    upstream.script(refused, Answer('{"a": 1}'))
    if stream:
        with client.responses.stream(model=model, input="Hi", **asked) as events:
            response = events.get_final_response()
    else:
        response = client.responses.create(model=model, input="Hi", **asked)
    assert response.output_text == '{"a": 1}'
    assert [member in request.body for request in upstream.requests] == [True, False]


def test_a_call_of_a_model_without_tools_is_a_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        refusal(400, "does not support tools"),
        Answer('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'),
    )
    [call] = client.responses.create(model="no tools", input="Hi", tools=F).output
    assert (call.type, call.arguments) == ("function_call", '{"a": 1}')  # type: ignore[union-attr]


# ---- what is asked for once more ----

FAILED: dict[str, Answer] = {
    "a call that Groq could not read": said(
        400,
        {
            "error": {
                "message": "Failed to call a function. See 'failed_generation' for more details.",
                "type": "invalid_request_error",
                "code": "tool_use_failed",
                "failed_generation": "<function=f{}</function>",
            }
        },
    ),
    "no capacity": refusal(498, "Flex tier capacity exceeded"),
    "an overload, told in the stream": Answer(
        raw=[b'data: {"error": {"message": "Overloaded", "code": 503}}\n\n']
    ),
    "a failed call, told in the stream": Answer(
        raw=[
            b'event: error\ndata: {"error": {"message": "Failed to call a function.", '
            b'"type": "invalid_request_error", "failed_generation": "f(", "status_code": 400}}\n\n'
        ]
    ),
    "a call that Gemini could not read": Answer(
        raw=[
            b'data: {"choices": [{"delta": {}, "finish_reason": "MALFORMED_FUNCTION_CALL"}]}\n\n',
            b"data: [DONE]\n\n",
        ]
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAILED)
def test_what_fails_before_anything_was_said_is_asked_for_once_more(
    case: str, stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(FAILED[case], Answer("There."))
    response: Any
    if stream:
        with client.responses.stream(model="m", input="Hi", tools=F) as events:
            response = events.get_final_response()
    else:
        response = client.responses.create(model="m", input="Hi", tools=F)
    assert response.output_text == "There."


def test_what_the_model_wrote_is_told_when_it_fails_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = FAILED["a call that Groq could not read"]
    with pytest.raises(APIStatusError, match=r"The model wrote: <function=f\{\}") as caught:
        client.responses.create(model="m", input="Hi", tools=F)
    assert (caught.value.status_code, len(upstream.requests)) == (502, 2)


def test_a_request_that_is_wrong_is_not_asked_again_when_the_stream_tells_it(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = Answer(raw=[b'data: {"error": {"message": "bad schema", "code": 400}}\n\n'])
    with (
        pytest.raises(APIError, match="bad schema"),
        client.responses.stream(model="m", input="Hi") as events,
    ):
        list(events)
    assert len(upstream.requests) == 1
    assert isinstance(from_stream(b'{"error": {"message": "bad schema", "code": 400}}'), InvalidRequest)


# ---- when to come back ----

WAITS: dict[str, tuple[Any, float | None]] = {
    "words": ({"error": {"message": "Please try again in 7.66s. Visit …"}}, 7.66),
    "minutes": ({"error": {"message": "Please try again in 1m2.5s."}}, 62.5),
    "milliseconds": ({"error": {"message": "Please try again in 350ms."}}, 0.35),
    "seconds, after": ({"error": {"message": "Please retry after 26 seconds."}}, 26),
    "Google's details": (
        [
            {
                "error": {
                    "code": 429,
                    "message": "Quota",
                    "details": [{"@type": "…RetryInfo", "retryDelay": "39s"}],
                }
            }
        ],
        39,
    ),
    "a member": ({"error": {"message": "Slow", "metadata": {"raw": "Slow", "retry_after_seconds": 12}}}, 12),
    "nothing": ({"error": {"message": "You can retry your request."}}, None),
}


@pytest.mark.parametrize("case", WAITS)
def test_a_body_may_say_when_to_come_back(case: str) -> None:
    body, seconds = WAITS[case]
    assert read(json.dumps(body).encode()).wait == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "20"}, 20),
        ({"Retry-After": "20s"}, 20),
        ({"Retry-After-Ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_a_head_may_say_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_client_is_told_to_come_back_when_the_body_says(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = refusal(429, "Rate limit reached. Please try again in 7.66s.")
    with pytest.raises(RateLimitError) as caught:
        client.responses.create(model="m", input="Hi")
    assert caught.value.response.headers["retry-after"] == "8"


# ---- where it is asked ----


def test_what_a_base_url_asks_for_is_asked_with_every_path() -> None:
    azure = Server(
        "https://r.openai.azure.com/openai/v1/?api-version=preview",
        speaks="Chat Completions",
        headers={},
        patience=Patience(1, 1),
    )
    assert str(azure.url("chat/completions")) == (
        "https://r.openai.azure.com/openai/v1/chat/completions?api-version=preview"
    )
    assert azure.where == "https://r.openai.azure.com/openai/v1"


def test_what_a_base_url_asks_for_keeps_its_escapes() -> None:
    server = Server(
        "http://h/v1?key=a%2Bb%26c", speaks="Chat Completions", headers={}, patience=Patience(1, 1)
    )
    assert str(server.url("models")) == "http://h/v1/models?key=a%2Bb%26c"


# ---- what costs time ----


@pytest.mark.parametrize(("model", "words"), [("-", "model" + "-" * 30_000), ("-", "-" * 30_000)])
def test_a_model_is_looked_for_in_no_more_than_a_sentence(model: str, words: str) -> None:
    begun = time.process_time()
    fault = refused(400, json.dumps({"error": {"message": words}}).encode(), {}, where="w", model=model)
    assert isinstance(fault, InvalidRequest)
    assert time.process_time() - begun < 1.0


def test_what_stands_behind_more_proxies_than_there_are_is_left_there() -> None:
    depth = 320
    nested = b'{"error":' + b'{"metadata":{"raw":' * depth + b'"words"' + b"}}" * depth + b"}"
    begun = time.process_time()
    assert isinstance(from_stream(nested), UpstreamError)
    assert time.process_time() - begun < 0.05
