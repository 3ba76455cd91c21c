"""ChatCompletions against a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.responses import ResponseCreatedEvent
from tests.backends.reading import read
from tests.ports import Port
from tests.scripted import Answer, Called, Gate, Upstream, Usage, refusal

from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.chat_stream import ChatStreamParser as Reader
from antiphon.backends.dialects import DIALECTS, GENERIC, LLAMA_CPP, OLLAMA, OPENAI, VLLM, Dialect, known
from antiphon.backends.payload import encode, payload
from antiphon.backends.sse import Events
from antiphon.backends.think import ThinkSplitter
from antiphon.model import (
    Call,
    CallArguments,
    CallStarted,
    Capabilities,
    Delta,
    Finished,
    Function,
    Grammar,
    JsonSchema,
    Message,
    Model,
    NamedFunction,
    ReasoningDelta,
    RefusalDelta,
    Sampling,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.protocol.content import Logprob, TopLogprob
from antiphon.protocol.errors import (
    ApiError,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unavailable,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimeout,
)

ADD = Function("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
SUB = Function("sub")
USAGE = UsageDelta(7, 5)
STOP = [USAGE, Finished("stop")]


def turn(text: str = "Hi", **more: Any) -> Turn:
    return Turn("m", (Message("user", (TextPart(text),)),), **more)


Connect = Callable[..., ChatCompletions]


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncIterator[Connect]:
    """Makes backends for the scripted upstream, and closes them."""
    made: list[ChatCompletions] = []

    def make(base_url: str = "", **options: Any) -> ChatCompletions:
        options.setdefault("dialect", GENERIC)
        made.append(ChatCompletions(base_url or upstream.base_url, **options))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


async def collect(backend: ChatCompletions, asked: Turn) -> list[Delta]:
    return [delta async for batch in backend.stream(asked) for delta in single(batch)]


def merged(deltas: Sequence[Delta]) -> list[Delta]:
    """Adjacent pieces of one kind as one: how the bytes were cut must not show in this."""
    found: list[Delta] = []
    for delta in deltas:
        last = found[-1] if found else None
        match last, delta:
            case (TextDelta(a, p), TextDelta(b, q)):
                found[-1] = TextDelta(a + b, p + q)
            case (ReasoningDelta(a), ReasoningDelta(b)):
                found[-1] = ReasoningDelta(a + b)
            case (CallArguments(i, a), CallArguments(j, b)) if i == j:
                found[-1] = CallArguments(i, a + b)
            case _:
                found.append(delta)
    return found


# ---- answers ----------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[Answer, list[Delta]]] = {
    "text": (Answer("Hello world", size=3), [TextDelta("Hello world"), *STOP]),
    "nothing at all": (Answer(), STOP),
    "reasoning_content": (
        Answer("Yes.", reasoning="Let me see", size=2),
        [ReasoningDelta("Let me see"), TextDelta("Yes."), *STOP],
    ),
    "reasoning": (
        Answer("Yes.", reasoning="Let me see", reasoning_field="reasoning"),
        [ReasoningDelta("Let me see"), TextDelta("Yes."), *STOP],
    ),
    "reasoning in the text": (
        Answer("<think>\nLet me see</think>\n\nYes.", size=1),
        [ReasoningDelta("Let me see"), TextDelta("Yes."), *STOP],
    ),
    "a refusal": (Answer(refusal="I can't."), [RefusalDelta("I can't."), *STOP]),
    "a call": (
        Answer(calls=[Called("add", '{"a": 1}')], size=2),
        [CallStarted(0, "add", "call_0"), CallArguments(0, '{"a": 1}'), USAGE, Finished("calls")],
    ),
    "text and two calls": (
        Answer("Wait.", calls=[Called("add", '{"a": 1}'), Called("sub")]),
        [
            TextDelta("Wait."),
            CallStarted(0, "add", "call_0"),
            CallArguments(0, '{"a": 1}'),
            CallStarted(1, "sub", "call_1"),
            CallArguments(1, "{}"),
            USAGE,
            Finished("calls"),
        ],
    ),
    "whole calls without index": (
        Answer(calls=[Called("add", '{"a": 1}', id=None), Called("add", '{"a": 2}', id=None)], indexed=False),
        [
            CallStarted(0, "add"),
            CallArguments(0, '{"a": 1}'),
            CallStarted(1, "add"),
            CallArguments(1, '{"a": 2}'),
            USAGE,
            Finished("calls"),
        ],
    ),
    "usage with details": (
        Answer("x", usage=Usage(100, 20, cached=64, reasoning=12)),
        [TextDelta("x"), UsageDelta(100, 20, 64, 12), Finished("stop")],
    ),
    "no usage": (Answer("x", usage=None), [TextDelta("x"), Finished("stop")]),
    "no [DONE]": (Answer("x", done=False), [TextDelta("x"), *STOP]),
    "no reason": (Answer("x", finish=None), [TextDelta("x"), *STOP]),
    "length": (Answer("x", finish="length"), [TextDelta("x"), USAGE, Finished("length")]),
    "content_filter": (
        Answer("x", finish="content_filter"),
        [TextDelta("x"), USAGE, Finished("content_filter")],
    ),
    "an unknown reason": (Answer("x", finish="eos"), [TextDelta("x"), *STOP]),
    "tool_calls without calls": (Answer("x", finish="tool_calls"), [TextDelta("x"), *STOP]),
    "calls that end with stop": (
        Answer(calls=[Called("sub")], finish="stop"),
        [CallStarted(0, "sub", "call_0"), CallArguments(0, "{}"), USAGE, Finished("calls")],
    ),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_becomes_deltas(
    case: str, streamed: bool, upstream: Upstream, connect: Connect
) -> None:
    answer, deltas = ANSWERS[case]
    upstream.script(answer if streamed else Answer(**{**vars(answer), "plain": True}))
    assert merged(await collect(connect(), turn(functions=(ADD, SUB)))) == deltas


async def test_what_arrives_in_one_read_leaves_in_one_batch(upstream: Upstream, connect: Connect) -> None:
    gate = Gate(after=1)
    body = b"".join(data({"content": word}) for word in ("a", "b", "c"))
    upstream.script(Answer(raw=[body, body + b"data: [DONE]\n\n"], gate=gate))
    batches = connect().stream(turn())
    assert await anext(batches) == ()
    assert single(await anext(batches)) == [TextDelta("a"), TextDelta("b"), TextDelta("c")]
    gate.open()
    rest = [single(batch) async for batch in batches]
    assert rest == [[TextDelta("a"), TextDelta("b"), TextDelta("c"), Finished("stop")]]


async def test_logprobs_come_with_their_text(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("Hey"))
    first, *_ = await collect(connect(dialect=OPENAI), turn(sampling=Sampling(top_logprobs=1)))
    other = TopLogprob(token="t0", bytes=[116, 48], logprob=-1.0)
    token = Logprob(token="Hey", bytes=[72, 101, 121], logprob=-0.5, top_logprobs=[other])
    assert first == TextDelta("Hey", (token,))


async def test_logprobs_of_reasoning_in_the_text_are_left_out(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("<think>a</think>Hey", size=1))
    deltas = await collect(connect(), turn(sampling=Sampling(top_logprobs=0)))
    told = [delta for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(delta.text for delta in told) == "Hey"
    assert "".join(token.token for delta in told for token in delta.logprobs) == "Hey"


async def test_a_token_without_bytes_has_those_of_its_text() -> None:
    logprobs = {"content": [{"token": "é", "logprob": None, "bytes": None}]}
    event = json.dumps({"choices": [{"delta": {"content": "é"}, "logprobs": logprobs}]}).encode()
    [delta] = Reader(top=0).read(b"data: %b\n\n" % event)
    token = Logprob(token="é", bytes=[195, 169], logprob=-9999.0, top_logprobs=[])
    assert delta == TextDelta("é", (token,))


async def test_content_sent_as_parts_is_understood() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Hello"},
    ]
    event = json.dumps({"choices": [{"delta": {"content": parts}}]}).encode()
    assert Reader().read(b"data: %b\n\n" % event) == [ReasoningDelta("Hm"), TextDelta("Hello")]


# ---- calls ------------------------------------------------------------------------------------------


def piece(
    index: int | None = None, name: str | None = None, arguments: Any = None, id: str | None = None
) -> Any:
    told: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        told["index"] = index
    if id is not None:
        told["id"] = id
    return told


TWO = [
    CallStarted(0, "f", "x"),
    CallArguments(0, '{"a":1}'),
    CallStarted(1, "g", "y"),
    CallArguments(1, '{"b":2}'),
]
ONE = TWO[:2]

PIECES: dict[str, tuple[list[Any], list[Delta]]] = {
    "interleaved": (
        [
            piece(0, "f", '{"a"', "x"),
            piece(1, "g", '{"b"', "y"),
            piece(0, None, ":1}"),
            piece(1, None, ":2}"),
        ],
        TWO,
    ),
    "both begun, then both filled": (
        [
            piece(0, "f", "", "x"),
            piece(1, "g", "", "y"),
            piece(1, None, '{"b":2}'),
            piece(0, None, '{"a":1}'),
        ],
        TWO,
    ),
    "every index is 0": ([piece(0, "f", '{"a":1}', "x"), piece(0, "g", '{"b":2}', "y")], TWO),
    "no index, but ids": (
        [piece(None, "f", '{"a"', "x"), piece(None, None, ":1}", "x"), piece(None, "g", '{"b":2}', "y")],
        TWO,
    ),
    "no index and no id after the first piece": (
        [piece(None, "f", '{"a"', "x"), piece(None, None, ":1}"), piece(None, "g", '{"b":2}', "y")],
        TWO,
    ),
    "a new id for every piece": ([piece(0, "f", "", "x"), piece(0, None, '{"a":1}', "z")], ONE),
    "the name repeated": ([piece(0, "f", '{"a"', "x"), piece(0, "f", ":1}", "x")], ONE),
    "the name in pieces": (
        [piece(0, "get_", "", "x"), piece(0, "time"), piece(0, None, "{}")],
        [CallStarted(0, "get_time", "x"), CallArguments(0, "{}")],
    ),
    "the name growing": (
        [piece(0, "get_", "", "x"), piece(0, "get_time"), piece(0, None, "{}")],
        [CallStarted(0, "get_time", "x"), CallArguments(0, "{}")],
    ),
    "arguments as an object": ([piece(0, "f", {"a": 1}, "x")], ONE),
    "no arguments at all": (
        [piece(0, "f", None, "x")],
        [CallStarted(0, "f", "x"), CallArguments(0, "{}")],
    ),
    "indexes that do not begin at 0": ([piece(3, "f", '{"a":1}', "x"), piece(7, "g", '{"b":2}', "y")], TWO),
}


@pytest.mark.parametrize("case", PIECES)
async def test_calls_are_emitted_one_after_another(case: str, upstream: Upstream, connect: Connect) -> None:
    pieces, deltas = PIECES[case]
    chunks = [data({"tool_calls": [piece]}) for piece in pieces]
    upstream.script(Answer(raw=[*chunks, data({}, "tool_calls"), b"data: [DONE]\n\n"]))
    assert merged(await collect(connect(), turn())) == [*deltas, Finished("calls")]


async def test_the_second_call_streams_too(upstream: Upstream, connect: Connect) -> None:
    gate = Gate(after=2)
    first = data({"tool_calls": [piece(0, "f", '{"a":1}', "x")]})
    second = data({"tool_calls": [piece(1, "g", '{"b"', "y")]})
    upstream.script(Answer(raw=[first, second, data({"tool_calls": [piece(1, None, ":2}")]})], gate=gate))
    batches = connect().stream(turn())
    seen: list[Delta] = []
    while CallArguments(1, '{"b"') not in seen:
        seen += await anext(batches)
    assert seen == [*ONE, CallStarted(1, "g", "y"), CallArguments(1, '{"b"')]
    await batches.aclose()
    gate.open()


async def test_an_old_function_call_is_a_call(upstream: Upstream, connect: Connect) -> None:
    told = data({"function_call": {"name": "f", "arguments": '{"a":1}'}})
    upstream.script(Answer(raw=[told, data({}, "function_call"), b"data: [DONE]\n\n"]))
    assert await collect(connect(), turn()) == [
        CallStarted(0, "f"),
        CallArguments(0, '{"a":1}'),
        Finished("calls"),
    ]


# ---- any bytes, cut anywhere ------------------------------------------------------------------------


def data(delta: Any, reason: str | None = None) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": reason}]}).encode() + b"\n\n"


STREAM = (
    b"\xef\xbb\xbf: a comment\n\n"
    + data({"role": "assistant", "content": ""})
    + data({"content": "<think>h\u00e9"})
    + b": keep-alive\n\n"
    + data({"content": "h</think>\n\nWort \U0001f600"})
    + b'event: message\nid: 1\ndata: {"choices": [{"delta":\ndata:{"content": "!"}}]}\n\n'
    + data({"tool_calls": [piece(0, "f", '{"a"', "x")]})
    + data({"tool_calls": [piece(0, None, ":1}")]}, "tool_calls")
    + b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n'
    + b"data: [DONE]\n\n"
)
DELTAS = [
    ReasoningDelta("héh"),
    TextDelta("Wort \U0001f600!"),
    *ONE,
    UsageDelta(1, 2),
    Finished("calls"),
]


@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(0, len(STREAM)), max_size=30), ending=st.sampled_from([b"\n", b"\r\n", b"\r"])
)
def test_any_chunking_of_the_bytes_gives_the_same_deltas(cuts: list[int], ending: bytes) -> None:
    stream = STREAM.replace(b"\n", ending)
    found = read(stream, cuts, think_tags=True)
    assert merged(found) == DELTAS


@settings(deadline=None)
@given(text=st.text("<>/think ab\n"), cuts=st.lists(st.integers(0, 60)))
def test_any_cut_of_the_text_gives_the_same_reasoning(text: str, cuts: list[int]) -> None:
    def split(pieces: list[str]) -> list[Delta]:
        splitter, found = ThinkSplitter(), list[Delta]()
        for part in pieces:
            found += splitter.feed(part)
        return merged(found + splitter.flush())

    for whole in (text, f"<think>{text}", f" <think>{text}</think>\n{text}"):
        edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
        assert split([whole[a:b] for a, b in pairwise(edges)]) == split([whole])


def test_tags_later_in_the_text_are_text() -> None:
    assert ThinkSplitter().feed("Use <think>x</think>") == [TextDelta("Use <think>x</think>")]


def test_an_event_that_never_ends_is_refused() -> None:
    events = Events(limit=100)
    events.feed(b"data: " + b"x" * 60)
    with pytest.raises(UpstreamError, match="too large"):
        events.feed(b"x" * 60)


# ---- requests ---------------------------------------------------------------------------------------


async def test_a_turn_becomes_a_request(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("ok"))
    asked = turn(
        functions=(ADD, Function("sub", strict=True)),
        choice=NamedFunction("add"),
        parallel=False,
        format=JsonSchema("answer", {"type": "object"}, "What to say.", True),
        sampling=Sampling(0.5, 0.9, 0.1, -0.1, 3),
        max_tokens=99,
        effort="low",
        verbosity="high",
        user="u",
        cache_key="k",
        service_tier="flex",
    )
    await collect(connect(dialect=OPENAI, api_key="sk-1"), asked)
    assert upstream.last.headers["Authorization"] == "Bearer sk-1"
    assert upstream.last.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Adds.", "parameters": ADD.parameters},
            },
            {
                "type": "function",
                "function": {
                    "name": "sub",
                    "strict": True,
                    "parameters": {"type": "object", "properties": {}},
                },
            },
        ],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "description": "What to say.",
                "schema": {"type": "object"},
                "strict": True,
            },
        },
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "logprobs": True,
        "top_logprobs": 3,
        "max_completion_tokens": 99,
        "reasoning_effort": "low",
        "verbosity": "high",
        "user": "u",
        "prompt_cache_key": "k",
        "service_tier": "flex",
    }


def told(dialect: Dialect, **more: Any) -> dict[str, Any]:
    """The members of a request besides those of every request."""
    body = json.loads(encode(payload(turn(**more), dialect)))
    return {
        name: body[name] for name in body if name not in ("model", "messages", "stream", "stream_options")
    }


TOLD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("generic", {"max_tokens": 5}, {"max_tokens": 5}),
    (
        "generic",
        {"effort": "low", "verbosity": "low", "user": "u", "cache_key": "k"},
        {"reasoning_effort": "low"},
    ),
    (
        "openai",
        {"cache_key": "k", "cache_retention": "24h", "cache_options": {"ttl": "30m"}},
        {
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "prompt_cache_options": {"ttl": "30m"},
        },
    ),
    ("generic", {"cache_retention": "24h", "cache_options": {"ttl": "30m"}}, {}),
    ("groq", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("vllm", {"effort": "low"}, {"reasoning_effort": "low"}),
    (
        "vllm",
        {"effort": "none"},
        {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}},
    ),
    ("llama_cpp", {"effort": "low"}, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
    ("llama_cpp", {"effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ("openrouter", {"effort": "low"}, {"reasoning": {"effort": "low"}}),
    ("generic", {"format": "json_object"}, {"response_format": {"type": "json_object"}}),
    (
        "lmstudio",
        {"format": "json_object"},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "object", "schema": {"type": "object"}, "strict": False},
            }
        },
    ),
    ("vllm", {"format": Grammar("lark", "start: X")}, {"structured_outputs": {"grammar": "start: X"}}),
    ("vllm", {"format": Grammar("regex", "a+")}, {"structured_outputs": {"regex": "a+"}}),
    ("sglang", {"format": Grammar("regex", "a+")}, {"regex": "a+"}),
    ("llama_cpp", {"format": Grammar("lark", "start: X")}, {"grammar": "%llguidance {}\nstart: X"}),
    ("llama_cpp", {"format": Grammar("regex", "a/b")}, {"grammar": "%llguidance {}\nstart: /a\\/b/"}),
    ("llama_cpp", {"sampling": Sampling(top_logprobs=0)}, {"logprobs": True, "top_logprobs": 1}),
    ("gemini", {"sampling": Sampling(presence_penalty=0.0)}, {}),
]


@pytest.mark.parametrize(("dialect", "asked", "members"), TOLD)
def test_each_dialect_is_sent_what_it_knows(dialect: str, asked: Any, members: Any) -> None:
    assert told(DIALECTS[dialect], **asked) == members


REFUSED: list[tuple[str, dict[str, Any], str | None]] = [
    ("gemini", {"sampling": Sampling(frequency_penalty=0.5)}, "frequency_penalty"),
    ("groq", {"sampling": Sampling(top_logprobs=2)}, "top_logprobs"),
    ("openai", {"format": Grammar("lark", "start: X")}, "tools"),
    ("sglang", {"format": Grammar("lark", "start: X")}, "tools"),
    ("ollama", {"functions": (ADD,), "choice": "required"}, "tool_choice"),
]


@pytest.mark.parametrize(("dialect", "asked", "param"), REFUSED)
def test_what_cannot_be_sent_is_refused(dialect: str, asked: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        payload(turn(**asked), DIALECTS[dialect])
    assert caught.value.param == param


def test_a_choice_by_name_is_an_only_function_where_names_are_not_known() -> None:
    members = told(LLAMA_CPP, functions=(ADD, SUB), choice=NamedFunction("add"))
    assert [tool["function"]["name"] for tool in members["tools"]] == ["add"]
    assert members["tool_choice"] == "required"
    assert members["parallel_tool_calls"] is True


def test_no_choice_leaves_the_functions_out_where_choices_are_not_known() -> None:
    assert told(OLLAMA, functions=(ADD,), choice="none") == {}


async def test_logprobs_with_tools_are_not_streamed_where_that_is_refused(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer("Hey"))
    asked = turn(functions=(ADD,), sampling=Sampling(top_logprobs=0))
    deltas = await collect(connect(dialect=LLAMA_CPP), asked)
    assert upstream.last.body["stream"] is False
    token = Logprob(token="Hey", bytes=[72, 101, 121], logprob=-0.5, top_logprobs=[])
    assert deltas == [TextDelta("Hey", (token,)), *STOP]


def test_a_backend_says_what_its_dialect_can() -> None:
    assert ChatCompletions("http://x/v1").capabilities("m") == Capabilities()
    assert ChatCompletions("http://x:11434/v1").capabilities("m").parallel_tools is False
    can = Capabilities(tools=False)
    assert ChatCompletions("http://x/v1", can=lambda _: can).capabilities("m") is can


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://gpu:8000/v1", "generic"),
    ],
)
def test_well_known_addresses_have_their_dialect(url: str, name: str) -> None:
    assert (known(url) or GENERIC).name == name


# ---- what goes wrong --------------------------------------------------------------------------------

TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."

NO_MODEL = {
    "message": "The requested model 'm' does not exist.",
    "param": "model",
    "code": "model_not_found",
    "status": 404,
}
REFUSALS: dict[str, tuple[Answer, type[ApiError], dict[str, Any]]] = {
    "too long for OpenAI": (
        refusal(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        InvalidRequest,
        {"message": TOO_LONG, "param": "input", "code": "context_length_exceeded"},
    ),
    "too long for llama.cpp": (
        Answer(
            status=400,
            error={
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            },
        ),
        InvalidRequest,
        {"message": TOO_LONG, "param": "input", "code": "context_length_exceeded"},
    ),
    "a bad request": (refusal(400, "Bad image."), InvalidRequest, {"message": "Bad image.", "code": None}),
    "a bad request to Gemini": (
        Answer(status=400, error=[{"error": {"code": 400, "message": "Bad image."}}]),
        InvalidRequest,
        {"message": "Bad image."},
    ),
    "a bad request to FastAPI": (
        Answer(status=422, error={"detail": [{"loc": ["body"]}]}),
        InvalidRequest,
        {"message": '[{"loc":["body"]}]'},
    ),
    "a bad request to LM Studio": (
        Answer(status=400, error={"error": "Bad image."}),
        InvalidRequest,
        {"message": "Bad image."},
    ),
    "an unknown model": (
        refusal(404, "The model `m` does not exist", "model_not_found"),
        NotFound,
        NO_MODEL,
    ),
    "an unknown model, said to be a bad request": (
        refusal(400, "The model `m` does not exist", "model_not_found"),
        NotFound,
        NO_MODEL,
    ),
    "an unknown model of a proxy": (
        refusal(400, "Invalid model name passed in model=m. Call `/v1/models` to view available models"),
        NotFound,
        NO_MODEL,
    ),
    "an unknown model of OpenRouter": (refusal(400, "m is not a valid model ID"), NotFound, NO_MODEL),
    "an unknown model of Mistral": (refusal(400, "Invalid model: m"), NotFound, NO_MODEL),
    "an unknown model of DeepSeek": (refusal(400, "Model Not Exist"), NotFound, NO_MODEL),
    "a bad request that speaks of the model": (
        refusal(400, "Invalid model output: m is not JSON-serialisable"),
        InvalidRequest,
        {"message": "Invalid model output: m is not JSON-serialisable"},
    ),
    "too many requests": (
        refusal(429, "Slow down", Retry_After="7"),
        RateLimited,
        {"code": "rate_limit_exceeded", "retry_after": 7.0},
    ),
    "no quota": (refusal(429, "Pay", "insufficient_quota"), RateLimited, {"code": "insufficient_quota"}),
    "a crash": (refusal(500, "Out of memory"), UpstreamError, {"status": 502}),
    "a gateway that waits no longer": (
        Answer(status=504, error="<html>"),
        UpstreamTimeout,
        {"status": 504},
    ),
    "a path that is not there": (
        Answer(status=404, error={"detail": "Not Found"}),
        UpstreamRefusal,
        {"status": 502},
    ),
    "a redirect": (Answer(status=307, error="", headers={"Location": "/"}), UpstreamError, {}),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_reported_in_our_words(case: str, upstream: Upstream, connect: Connect) -> None:
    answer, kind, members = REFUSALS[case]
    upstream.script(answer)
    with pytest.raises(ApiError) as caught:
        await collect(connect(), turn())
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in members} == members


async def test_a_date_to_try_again_is_understood(upstream: Upstream, connect: Connect) -> None:
    upstream.script(refusal(429, "Slow", Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"))
    with pytest.raises(RateLimited) as caught:
        await collect(connect(), turn())
    assert (caught.value.retry_after or 0) > 1_000_000


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_our_key_is_never_shown(status: int, upstream: Upstream, connect: Connect) -> None:
    upstream.script(refusal(status, "Incorrect API key provided: sk-secret"))
    with pytest.raises(ApiError) as caught:
        await collect(connect(api_key="sk-secret"), turn())
    assert "sk-secret" not in str(caught.value) + caught.value.message
    assert isinstance(caught.value, InvalidRequest if status == 400 else UpstreamError)


BROKEN: dict[str, tuple[Answer, type[ApiError], str]] = {
    "cut off between events": (Answer("Hello", size=1, cut_after=3), UpstreamError, "broke off"),
    "ended without a reason": (
        Answer(raw=[data({"content": "He"})]),
        UpstreamError,
        "before it was complete",
    ),
    "ended within an event": (
        Answer(raw=[b'data: {"choices": [{"de']),
        UpstreamError,
        "before it was complete",
    ),
    "no JSON": (Answer(raw=[b"data: what?\n\n"]), UpstreamError, "no chat completion: 'what\\?'"),
    "wrong types, and nothing else": (
        Answer(raw=[data({"content": 7}), b"data: [DONE]\n\n"]),
        UpstreamError,
        "without having said anything",
    ),
    "a web page": (Answer(raw=[b"<html>"], content_type="text/html"), UpstreamError, "web page"),
    "an error in the middle": (
        Answer("He", error={"error": {"message": "GPU lost"}}),
        UpstreamError,
        "The upstream failed: GPU lost",
    ),
    "an error of old servers": (
        Answer("He", error={"object": "error", "message": "GPU lost", "code": 500}),
        UpstreamError,
        "GPU lost",
    ),
    "an error as a field of its own": (
        Answer(raw=[b'error: {"error": "GPU lost"}\n\n']),
        UpstreamError,
        "GPU lost",
    ),
    "an error next to choices": (
        Answer(
            raw=[b'data: {"error": {"message": "GPU lost"}, "choices": [{"finish_reason": "error"}]}\n\n']
        ),
        UpstreamError,
        "GPU lost",
    ),
    "too long, told in the middle": (
        Answer("He", error={"error": {"message": "exceeds the available context size"}}),
        InvalidRequest,
        "context window",
    ),
    "rate limited in the middle": (
        Answer("He", error={"error": {"message": "Slow", "code": 429}}),
        RateLimited,
        "Slow",
    ),
    "given up": (Answer("He", finish="error"), UpstreamError, "gave up"),
    "a call without a name": (
        Answer(raw=[data({"tool_calls": [piece(0, None, "{}")]}), b"data: [DONE]\n\n"]),
        UpstreamError,
        "without having said anything",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_answer_is_an_error(case: str, upstream: Upstream, connect: Connect) -> None:
    answer, kind, message = BROKEN[case]
    upstream.default = answer
    with pytest.raises(ApiError, match=message) as caught:
        await collect(connect(), turn())
    assert type(caught.value) is kind or issubclass(type(caught.value), kind)


async def test_what_came_before_the_break_is_emitted(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("Hello", size=1, cut_after=3))
    seen: list[Delta] = []

    async def read() -> None:
        async for batch in connect().stream(turn()):
            seen.extend(batch)

    with pytest.raises(UpstreamError):
        await read()
    assert merged(seen) == [TextDelta("He")]


async def test_an_upstream_that_is_down_is_named_without_its_password(connect: Connect) -> None:
    port = Port()  # nobody listens there
    with pytest.raises(UpstreamError, match=f"http://127.0.0.1:{port.number}/v1 cannot be reached") as caught:
        await collect(connect(f"http://me:secret@127.0.0.1:{port.number}/v1"), turn())
    assert "secret" not in caught.value.message


async def test_an_upstream_that_is_silent_times_out(upstream: Upstream, connect: Connect) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))
    with pytest.raises(UpstreamTimeout, match="silent for more than"):
        await collect(connect(read_timeout=0.5), turn())
    await upstream.last.gone()


async def test_an_upstream_that_never_ends_its_stream_is_ended(upstream: Upstream, connect: Connect) -> None:
    chunk = b'data: {"choices":[{"delta":{"content":"and on "}}]}\n\n'
    upstream.script(Answer(raw=[chunk * 100] * 100_000, content_type="text/event-stream"))

    with pytest.raises(UpstreamError, match=r"more than 65536 bytes for one answer \(limits\.answer_bytes\)"):
        await collect(connect(answer_bytes=65_536), turn())
    await upstream.last.gone()


async def test_an_upstream_that_falls_silent_times_out(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("Hello", gate=Gate(after=2)))
    with pytest.raises(UpstreamTimeout):
        await collect(connect(read_timeout=0.5), turn())


# ---- answers in one piece ---------------------------------------------------------------------------


async def test_an_answer_that_nobody_reads_along_comes_in_one_piece(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer("Hello", size=1))
    assert await collect(connect(), turn(whole=True)) == [TextDelta("Hello"), *STOP]
    assert upstream.last.body["stream"] is False


async def test_what_was_taken_up_is_told_while_the_answer_in_one_piece_is_still_to_come(
    upstream: Upstream, connect: Connect
) -> None:
    gate, body = Gate(), json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    halves = [body[:20].encode(), body[20:].encode()]
    upstream.script(Answer(raw=halves, gate=gate, content_type="application/json"))
    batches = connect().stream(turn(whole=True))
    assert await anext(batches) == ()
    gate.open()
    assert [batch async for batch in batches] == [[TextDelta("Hi"), Finished("stop")]]


# Answers in one piece that are faults.
FAULTY: dict[str, Any] = {
    "an error": {"error": {"message": "boom", "code": 503}},
    "a limit": {"error": {"message": "slow", "code": 429, "type": "rate_limit"}},
    "a broken end": {"choices": [{"message": {"content": "Hi"}, "finish_reason": "error"}]},
    "no choices": {"choices": []},
    "no object": [1, 2],
}


def whole_answer(said: Any, late: bool) -> tuple[Answer, Gate]:
    """An answer in one piece, all of whose bytes come with its head, or behind a gate."""
    gate, told = Gate(), json.dumps(said).encode()
    if late:
        return Answer(raw=[told[:2], told[2:]], gate=gate, content_type="application/json"), gate
    return Answer(plain=True, error=said), gate


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("case", FAULTY)
def test_what_a_stream_becomes_does_not_hang_on_when_the_bytes_of_a_fault_come(
    case: str, late: bool, client: OpenAI, upstream: Upstream
) -> None:
    answer, gate = whole_answer(FAULTY[case], late)
    upstream.script(answer)
    with client.responses.create(model="m", input="Hi", stream=True) as events:
        gate.open()
        created = next(events)
        assert isinstance(created, ResponseCreatedEvent)
        assert next(events).type == "response.in_progress"
        with pytest.raises(APIError):
            next(events)
    assert client.responses.retrieve(created.response.id).status == "failed"


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("case", FAULTY)
async def test_a_fault_in_an_answer_is_raised_when_that_was_taken_up(
    case: str, whole: bool, late: bool, upstream: Upstream, connect: Connect
) -> None:
    answer, gate = whole_answer(FAULTY[case], late)
    upstream.script(answer)
    batches = connect().stream(turn(whole=whole))
    assert await anext(batches) == ()
    gate.open()
    with pytest.raises(ApiError):
        assert [batch async for batch in batches] == []


@pytest.mark.parametrize("dialect", [LLAMA_CPP, OPENAI], ids=["llama_cpp", "openai"])
async def test_a_server_that_would_not_stop_is_asked_for_a_stream(
    upstream: Upstream, connect: Connect, dialect: Dialect
) -> None:
    upstream.script(Answer("Hello"))
    await collect(connect(dialect=dialect), turn(whole=True))
    assert upstream.last.body["stream"] is True


async def test_a_server_that_turns_out_not_to_stop_is_asked_once(
    upstream: Upstream, connect: Connect
) -> None:
    backend = connect()
    upstream.script(Answer("Hello", headers={"Server": "llama.cpp"}), Answer("Hello"))
    for _ in range(2):
        assert await collect(backend, turn(whole=True)) == [TextDelta("Hello"), *STOP]
    assert [request.body["stream"] for request in upstream.requests] == [False, True]


@pytest.mark.parametrize("status", [504, 524])
async def test_a_proxy_that_does_not_wait_for_whole_answers_gets_streams(
    upstream: Upstream, connect: Connect, status: int
) -> None:
    backend = connect()
    upstream.script(Answer(status=status, error="<html>"), Answer("Hello"), Answer("Hello"))
    for _ in range(2):
        assert await collect(backend, turn(whole=True)) == [TextDelta("Hello"), *STOP]
    assert [request.body["stream"] for request in upstream.requests] == [False, True, True]


@pytest.mark.parametrize("headers", [{"Server": "llama.cpp"}, {"x-litellm-version": "1"}])
@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_is_refused_says_nothing_against_answers_in_one_piece(
    status: int, headers: dict[str, str], upstream: Upstream, connect: Connect
) -> None:
    backend = connect()
    upstream.script(
        Answer(status=status, error={"error": {"message": "no"}}, headers=headers), Answer("Hello")
    )
    with pytest.raises(ApiError):
        await collect(backend, turn(whole=True))
    await collect(backend, turn(whole=True))
    assert [request.body["stream"] for request in upstream.requests] == [False, False]


@pytest.mark.parametrize("attempts", [-1, 0, 1, 2, 3])
async def test_a_server_that_cannot_is_asked_as_often_as_it_may_be_and_once_at_least(
    attempts: int, upstream: Upstream, connect: Connect
) -> None:
    upstream.default = refusal(503, "Loading model")
    async with asyncio.timeout(60):
        with pytest.raises(UpstreamError):
            await collect(connect(attempts=attempts), turn())
    assert len(upstream.requests) == max(1, attempts)


async def test_nothing_is_asked_before_the_upstream_is_ready(upstream: Upstream, connect: Connect) -> None:
    async def not_ready() -> None:
        raise Unavailable("The model is loading.")

    with pytest.raises(Unavailable):
        await collect(connect(ready=not_ready), turn())
    assert upstream.requests == []


# ---- connections ------------------------------------------------------------------------------------


async def test_closing_the_stream_hangs_up_at_once(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("Hello", size=1, gate=Gate(after=3)))
    batches = connect().stream(turn())
    await anext(batches)
    await batches.aclose()
    await upstream.last.gone()


async def test_cancelling_the_reader_hangs_up_at_once(upstream: Upstream, connect: Connect) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))
    task = asyncio.create_task(collect(connect(), turn()))
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.last.gone()


async def test_a_connection_is_used_again(upstream: Upstream, connect: Connect) -> None:
    backend = connect()
    for _ in range(3):
        upstream.script(Answer("Hello"))
        await collect(backend, turn())
    assert len({request.connection for request in upstream.requests}) == 1


async def test_a_unix_socket_is_as_good(tmp_path: Path, connect: Connect) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = data({"content": (await request.json())["model"]}, "stop") + b"data: [DONE]\n\n"
        return web.Response(body=body, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    backend = connect("http://localhost/v1", unix_socket=str(tmp_path / "s"))
    assert await collect(backend, turn()) == [TextDelta("m"), Finished("stop")]
    await backend.close()
    await runner.cleanup()


# ---- models and tokens ------------------------------------------------------------------------------


async def test_models_are_listed(upstream: Upstream, connect: Connect) -> None:
    upstream.models = ("a", "models/b")
    assert await connect().models() == [Model("a", 1700000000, "tests"), Model("b", 1700000000, "tests")]


@pytest.mark.parametrize("dialect", [VLLM, LLAMA_CPP], ids=lambda dialect: dialect.name)
async def test_tokens_are_counted_by_the_upstream(
    dialect: Dialect, upstream: Upstream, connect: Connect
) -> None:
    upstream.tokenizer = dialect.tokenizer
    asked = turn("one two three", functions=(ADD,))
    assert await connect(dialect=dialect).count_tokens(asked) == 4
    assert upstream.others[0].body["tools"]


@pytest.mark.parametrize("dialect", [GENERIC, VLLM, LLAMA_CPP], ids=lambda dialect: dialect.name)
async def test_without_a_tokenizer_tokens_are_not_known(dialect: Dialect, connect: Connect) -> None:
    assert await connect(dialect=dialect).count_tokens(turn()) is None


async def test_an_upstream_that_lists_nothing_is_an_error(upstream: Upstream, connect: Connect) -> None:
    with pytest.raises(UpstreamError):
        await connect(upstream.base_url + "/nowhere").models()


async def test_every_dialect_passes_a_real_server(upstream: Upstream, connect: Connect) -> None:
    upstream.extensions = frozenset({"chat_template_kwargs", "reasoning", "thinking", "enable_thinking"})
    upstream.default = Answer("ok")
    said = (
        Message("system", (TextPart("Be brief."),)),
        Message("developer", (TextPart("Be kind."),)),
        Message("user", (TextPart("1+1?"),)),
        Message("assistant", (), (Call("c1", "add", '{"a": 1}'),), "Easy."),
        Message("tool", (TextPart("2"),), call_id="c1"),
    )
    for dialect in DIALECTS.values():
        asked = Turn("m", said, (ADD,), effort="low", max_tokens=5, parallel=False, sampling=Sampling(0.0))
        answer = [TextDelta("ok"), *([USAGE] if dialect.stream_options else []), Finished("stop")]
        assert await collect(connect(dialect=dialect), asked) == answer


async def test_a_connection_that_the_upstream_gave_up_is_replaced(connect: Connect) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first request of each connection, and hangs up on the second."""
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        body = data({"content": "ok"}, "stop") + b"data: [DONE]\n\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        backend = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        for _ in range(2):
            assert await collect(backend, turn()) == [TextDelta("ok"), Finished("stop")]
        await backend.close()
    assert connections == 2
