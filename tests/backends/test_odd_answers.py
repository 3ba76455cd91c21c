"""What real servers send beside the specification, and what is read of it (docs/internals/upstreams.md)."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from tests.backends.reading import read
from tests.scripted import Answer, Upstream

from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.model import CallArguments, CallStarted, Delta, Finished, ReasoningDelta, TextDelta, UsageDelta
from antiphon.protocol.errors import ApiError, UpstreamError

NAMES = frozenset({"f", "g", "get_weather"})
DONE = b"data: [DONE]\n\n"


def raw(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def chunk(delta: Any, reason: Any = None, **more: Any) -> bytes:
    return raw({"choices": [{"delta": delta, "finish_reason": reason, **more}]})


def calls(*pieces: Any, reason: Any = None) -> bytes:
    return chunk({"tool_calls": list(pieces)}, reason)


def piece(index: Any = None, name: Any = None, arguments: Any = None, call_id: Any = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    found = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {key: value for key, value in found.items() if value is not None}


STOP = chunk({}, "stop") + DONE
CALLED = chunk({}, "tool_calls") + DONE


def call(name: str, arguments: str, index: int = 0) -> tuple[Any, ...]:
    return (name, arguments)


# What comes, and the items that it makes: text, ("reasoning", text), or a call.
ANSWERS: dict[str, tuple[bytes, list[Any]]] = {
    # ---- calls ----
    "a second call under index 0 whose tail has index 1": (
        calls(piece(0, "f", '{"a":1}', "x"))
        + calls(piece(0, "g", "", "y"))
        + calls(piece(1, None, '{"b":'))
        + calls(piece(1, None, "2}"))
        + CALLED,
        [call("f", '{"a":1}'), call("g", '{"b":2}')],
    ),
    "arguments before the name": (
        calls(piece(0, None, '{"a":', "x")) + calls(piece(0, "f", "1}")) + CALLED,
        [call("f", '{"a":1}')],
    ),
    "arguments before the name, without an index": (
        calls(piece(None, None, '{"a":')) + calls(piece(None, "f", "1}")) + CALLED,
        [call("f", '{"a":1}')],
    ),
    "an empty entry beside good text": (
        calls({}) + chunk({"content": "Hi"}) + calls({"index": 0}) + STOP,
        ["Hi"],
    ),
    "text between the pieces of a call": (
        calls(piece(0, "f", '{"a":', "x")) + chunk({"content": "Hm"}) + calls(piece(0, None, "1}")) + CALLED,
        [call("f", '{"a":1}'), "Hm"],
    ),
    "reasoning between the pieces of a call": (
        calls(piece(0, "f", '{"a":', "x"))
        + chunk({"reasoning_content": "Hm"})
        + calls(piece(0, None, "1}"))
        + CALLED,
        [call("f", '{"a":1}'), ("reasoning", "Hm")],
    ),
    "cumulative arguments": (
        calls(piece(0, "f", '{"n"', "x"))
        + calls(piece(0, None, '{"n":1'))
        + calls(piece(0, None, '{"n":1}'))
        + CALLED,
        [call("f", '{"n":1}')],
    ),
    "arguments that look cumulative and are not": (
        calls(piece(0, "f", '{"n":', "x"))
        + calls(piece(0, None, '{"n":1}'))
        + calls(piece(0, None, "}"))
        + CALLED,
        [call("f", '{"n":{"n":1}}')],
    ),
    "arguments sent whole again at the end": (
        calls(piece(0, "f", '{"n":', "x"))
        + calls(piece(0, None, "1}"))
        + calls(piece(0, "f", '{"n":1}', "x"))
        + CALLED,
        [call("f", '{"n":1}')],
    ),
    "an empty object before the real arguments": (
        calls(piece(0, "f", "{}", "x")) + calls(piece(0, None, '{"n":1}')) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "an empty object that is meant": (calls(piece(0, "f", "{}", "x")) + CALLED, [call("f", "{}")]),
    "white space behind a call": (
        calls(piece(0, "f", '{"n":1}', "x")) + chunk({"content": "\n"}) + chunk({"content": " "}) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "white space behind arguments": (
        calls(piece(0, "f", '{"n":1}', "x")) + calls(piece(0, None, "\n")) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "text behind a call": (
        calls(piece(0, "f", '{"n":1}', "x")) + chunk({"content": "\n"}) + chunk({"content": "Done"}) + CALLED,
        [call("f", '{"n":1}'), "\nDone"],
    ),
    "arguments as an object, and a number as id": (
        calls(piece(0, "f", {"n": 1}, 7)) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "an index as text": (
        calls(piece("0", "f", '{"n"', "x")) + calls(piece("0", None, ":1}")) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "the name in every piece": (
        calls(piece(0, "f", '{"n"', "x")) + calls(piece(0, "f", ":1}", "x")) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "a name with an ornament of its template": (
        calls(piece(0, "get_weather<|channel|>commentary", "{}", "x")) + CALLED,
        [call("get_weather", "{}")],
    ),
    "a name in a namespace that nobody offered": (
        calls(piece(0, "functions.get_weather", "{}", "x")) + CALLED,
        [call("get_weather", "{}")],
    ),
    "parallel calls under one index, without ids": (
        calls(piece(0, "f", '{"n":1}', ""), piece(0, "f", '{"n":2}', ""))
        + calls(piece(0, "g", '{"n":3}', ""))
        + CALLED,
        [call("f", '{"n":1}'), call("f", '{"n":2}'), call("g", '{"n":3}')],
    ),
    "the arguments of a second call under the index of the first": (
        calls(piece(0, "f", "", "x"))
        + calls(piece(0, "", '{"n":1}'))
        + calls(piece(0, "", '{"n":2}'))
        + CALLED,
        [call("f", '{"n":1}'), call("f", '{"n":2}')],
    ),
    "a third call under one index that is as the first": (
        calls(piece(0, "f", '{"n":1}'), piece(0, "f", '{"n":2}'), piece(0, "f", '{"n":1}')) + CALLED,
        [call("f", '{"n":1}'), call("f", '{"n":2}'), call("f", '{"n":1}')],
    ),
    "calls of one id without an index": (
        calls(piece(None, "f", '{"n":1}', "x"), piece(None, "f", '{"n":2}', "x"))
        + calls(piece(None, "g", '{"n":2}', "x"))
        + CALLED,
        [call("f", '{"n":1}'), call("f", '{"n":2}'), call("g", '{"n":2}')],
    ),
    "pieces of a call without an index, each with its name and id": (
        calls(piece(None, "f", '{"n"', "x")) + calls(piece(None, "f", ":1}", "x")) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "the name in every piece, with neither an index nor an id": (
        calls(piece(None, "f", '{"n"')) + calls(piece(None, "f", ":1}")) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "arguments as JSON in a string": (
        calls(piece(0, "f", '"{\\"n', "x")) + calls(piece(0, None, '\\":1}"')) + CALLED,
        [call("f", '{"n":1}')],
    ),
    "no arguments": (
        calls(piece(0, "f", None, "x")) + calls(piece(1, "g", "null", "y")) + CALLED,
        [call("f", "{}"), call("g", "{}")],
    ),
    "no arguments in pieces, and then a call": (
        calls(piece(0, "f", "{", "x"))
        + calls(piece(0, None, "}"))
        + calls(piece(0, None, '{"n":1}'))
        + CALLED,
        [call("f", "{}"), call("f", '{"n":1}')],
    ),
    # ---- signs of life ----
    "data that is nothing, and bare words": (
        b"data: \n\n"
        + b"data:\n\ndata: [PING]\n\ndata: null\n\n"
        + chunk({"content": "a"})
        + b"event: heartbeat\ndata: 1\n\ndata: []\n\ndata: : PROCESSING\n\ndata: keep-alive\n\n"
        + chunk({"content": "b"})
        + STOP,
        ["ab"],
    ),
    # ---- odd members ----
    "a character in two halves": (
        chunk({"content": "a\ud83d"}) + chunk({"content": "\ude00b"}) + chunk({"content": "c"}) + STOP,
        ["a\U0001f600bc"],
    ),
    "half a character": (chunk({"content": "a\ud83d"}) + chunk({"content": "b"}) + STOP, ["a\ufffdb"]),
    "half a character at the end": (chunk({"content": "a\ud83d"}) + STOP, ["a\ufffd"]),
    "the second half of a character": (chunk({"content": "\ude00b"}) + STOP, ["\ufffdb"]),
    "bytes that are no UTF-8": (raw(b'{"choices": [{"delta": {"content": "a\xff"}}]}') + STOP, ["a\ufffd"]),
    "reasoning as a list": (
        chunk({"reasoning": [{"type": "text", "text": "Hm"}]}) + chunk({"content": "Hi"}) + STOP,
        [("reasoning", "Hm"), "Hi"],
    ),
    "reasoning as an object": (
        chunk({"reasoning": {"text": "Hm"}}) + chunk({"content": "Hi"}) + STOP,
        [("reasoning", "Hm"), "Hi"],
    ),
    "an index that counts tokens": (
        chunk({"content": "a"}, index=0)
        + chunk({"content": "b"}, index=1)
        + chunk({"content": "c"}, index=2)
        + STOP,
        ["abc"],
    ),
    "an index of null": (chunk({"content": "a"}, index=None) + STOP, ["a"]),
    "choices in another order": (
        raw(
            {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}
        )
        + STOP,
        ["yes"],
    ),
    "logprobs as a list": (chunk({"content": "a"}, logprobs=[]) + STOP, ["a"]),
    "a logprob of minus infinity": (
        raw(
            b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-Infinity}]}}]}'
        )
        + STOP,
        ["a"],
    ),
    "a finish reason that is a number": (chunk({"content": "a"}, 0) + STOP, ["a"]),
    "content as an object": (chunk({"content": {"type": "text", "text": "a"}}) + STOP, ["a"]),
    "content as a list of strings": (chunk({"content": ["a", "b"]}) + STOP, ["ab"]),
    "usage as a list": (chunk({"content": "a"}) + raw({"choices": [], "usage": []}) + STOP, ["a"]),
    "[DONE] with a blank": (chunk({"content": "a"}, "stop") + b"data: [DONE] \n\n", ["a"]),
    "single line breaks between events": (
        (chunk({"content": "a"}) + chunk({"content": "b"}, "stop") + DONE).replace(b"\n\n", b"\n"),
        ["ab"],
    ),
}


def merged(deltas: Sequence[Delta]) -> list[Any]:
    """What an answer says, however it was cut."""
    found: list[Any] = []
    for delta in deltas:
        if isinstance(delta, CallStarted):
            found.append((delta.name, ""))
        elif isinstance(delta, CallArguments):
            found[-1] = (found[-1][0], found[-1][1] + delta.text)
        elif isinstance(delta, TextDelta):
            _add(found, "", delta.text)
        elif isinstance(delta, ReasoningDelta):
            _add(found, "reasoning", delta.text)
    return found


def _add(found: list[Any], kind: str, text: str) -> None:
    last = found[-1] if found else None
    if kind:
        if isinstance(last, tuple) and last[0] == kind:
            found[-1] = (kind, last[1] + text)
        else:
            found.append((kind, text))
    elif isinstance(last, str):
        found[-1] = last + text
    else:
        found.append(text)


def deltas_of(stream: bytes, cuts: Sequence[int] = ()) -> list[Delta]:
    return read(stream, cuts, think_tags=True, names=NAMES)


@pytest.mark.parametrize("case", ANSWERS)
def test_an_odd_answer_is_read(case: str) -> None:
    stream, items = ANSWERS[case]
    assert merged(deltas_of(stream)) == items


@pytest.mark.parametrize("case", ANSWERS)
@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_chunking_of_an_odd_answer_says_the_same(case: str, cuts: list[int]) -> None:
    stream, items = ANSWERS[case]
    assert merged(deltas_of(stream, cuts)) == items


@pytest.mark.parametrize("case", ANSWERS)
def test_a_client_gets_the_items_of_an_odd_answer(case: str, client: OpenAI, upstream: Upstream) -> None:
    stream, items = ANSWERS[case]
    upstream.script(Answer(raw=[stream]))
    tools: Any = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in NAMES]
    response = client.responses.create(model="m", input="Hi", tools=tools)
    assert response.status == "completed"
    found: list[Any] = []
    for item in response.output:
        if item.type == "message":
            found.append(item.content[0].text)  # type: ignore[union-attr]
        elif item.type == "reasoning":
            found.append(("reasoning", item.content[0].text))  # type: ignore[index]
        elif item.type == "function_call":
            found.append((item.name, item.arguments))
    assert found == items


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_breaks_off_makes_an_incomplete_response(
    stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer(raw=[calls(piece(0, "f", '{"a": "b', "x")) + CALLED]))
    tools: Any = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    response: Any
    if stream:
        with client.responses.stream(model="m", input="Hi", tools=tools) as events:
            response = list(events)[-1].response  # type: ignore[union-attr]
    else:
        response = client.responses.create(model="m", input="Hi", tools=tools)
    assert (response.status, response.output[0].status) == ("incomplete", "incomplete")


# ---- usage ----

USAGES: dict[str, tuple[list[Any], UsageDelta]] = {
    "zeros behind the counts": (
        [{"prompt_tokens": 3, "completion_tokens": 2}, {"output_tokens": 0}, {}],
        UsageDelta(3, 2),
    ),
    "the names of another API": ([{"input_tokens": 3, "output_tokens": 2}], UsageDelta(3, 2)),
    "counts as text and with a fraction": (
        [{"prompt_tokens": "3", "completion_tokens": 2.0}],
        UsageDelta(3, 2),
    ),
    "cached tokens beside the details": (
        [{"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 1}],
        UsageDelta(3, 2, 1),
    ),
    "cache hits": (
        [{"prompt_tokens": 3, "completion_tokens": 2, "prompt_cache_hit_tokens": 1}],
        UsageDelta(3, 2, 1),
    ),
    "reasoning on top of the completion": (
        [
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            }
        ],
        UsageDelta(32, 103, 0, 94),
    ),
    "reasoning in the total alone": (
        [{"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}],
        UsageDelta(20, 603, 0, 405),
    ),
    "the place of Groq": (
        [{"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}],
        UsageDelta(3, 2),
    ),
    "the place of Moonshot": (
        [{"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 3}}]}],
        UsageDelta(3, 0),
    ),
    "counts that are none": ([{"prompt_tokens": "many", "completion_tokens": -1}], UsageDelta(0, 0)),
}


@pytest.mark.parametrize("case", USAGES)
def test_usage_is_merged_from_what_is_said_of_it(case: str) -> None:
    said, expected = USAGES[case]
    stream = chunk({"content": "a"}, "stop") + b"".join(
        raw(usage if usage.keys() & {"choices", "x_groq"} else {"choices": [], "usage": usage})
        for usage in said
    )
    assert deltas_of(stream + DONE)[-2:] == [expected, Finished("stop")]


# ---- answers that say nothing ----

EMPTY: dict[str, tuple[bytes, str]] = {
    "[DONE] alone": (DONE, "without having said anything"),
    "a role and [DONE]": (chunk({"role": "assistant"}) + DONE, "without having said anything"),
    "usage and [DONE]": (
        raw({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}) + DONE,
        "without having said anything",
    ),
    "no choices but words": (
        raw({"choices": None, "error_message": "out of credit"}) + DONE,
        "out of credit",
    ),
    "a detail": (raw({"detail": "Worker died"}) + DONE, "Worker died"),
    "an event named error with words alone": (
        b"event: error\ndata: model crashed\n\n" + DONE,
        "model crashed",
    ),
    "an event named error behind half a text": (
        chunk({"content": "Half"}) + b'event: error\ndata: {"message": "model crashed"}\n\n' + DONE,
        "model crashed",
    ),
    "the status of a server that gives it apart": (
        raw({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})
        + DONE,
        "insufficient balance",
    ),
    "a list of errors": (raw([{"error": {"code": 503, "message": "overloaded"}}]) + DONE, "overloaded"),
    "an error of a choice": (
        chunk({"content": "Half"}, "error", error={"code": 502, "message": "provider died"}) + DONE,
        "provider died",
    ),
    "an error beside a choice": (
        chunk({"content": "Half"})
        + raw({"choices": [{"delta": {}}], "x_groq": {"error": "over capacity"}})
        + DONE,
        "over capacity",
    ),
    "a call that the server could not read": (
        chunk({"content": ""}, "function_call_filter: MALFORMED_FUNCTION_CALL") + DONE,
        "MALFORMED_FUNCTION_CALL",
    ),
    "a reason that nobody knows": (chunk({"content": ""}, "OTHER") + DONE, "It says: OTHER"),
    "a provider that failed": (
        chunk({"content": "Half"}, "stop", native_finish_reason="network_error") + DONE,
        "network_error",
    ),
}


@pytest.mark.parametrize("case", EMPTY)
def test_an_answer_that_says_nothing_is_a_failure(case: str) -> None:
    stream, words = EMPTY[case]
    with pytest.raises(ApiError, match=words):
        deltas_of(stream)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"choices": []}', b'{"status": "ok"}', b'{"detail": "Worker died"}']
)
def test_an_empty_answer_in_one_piece_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="without having said anything"):
        ChatStreamParser().whole(body)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("MAX_TOKENS", "length"),
        ("model_context_window_exceeded", "length"),
        ("repetition", "length"),
        ("content_filter: PROHIBITED_CONTENT", "content_filter"),
        ("SAFETY", "content_filter"),
        ("sensitive", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("eos_token", "stop"),
        ("OTHER", "stop"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_end_is_what_it_means_under_any_name(reason: str, end: str, streamed: bool) -> None:
    if streamed:
        found = deltas_of(chunk({"content": "Hi"}, reason) + DONE)
    else:
        answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": reason}]}
        found = ChatStreamParser().whole(json.dumps(answer).encode())
    assert found == [TextDelta("Hi"), Finished(end)]  # type: ignore[arg-type]


def test_two_calls_with_one_id_can_be_told_apart(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        Answer(raw=[calls(piece(0, "f", '{"n":1}', "x"), piece(1, "g", '{"n":2}', "x")) + CALLED])
    )
    tools: Any = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in NAMES]
    made: Any = client.responses.create(model="m", input="Hi", tools=tools).output
    assert made[0].call_id == "x"
    assert made[1].call_id not in ("x", "")


def test_calls_of_one_id_in_an_answer_of_one_piece_are_all_made(client: OpenAI, upstream: Upstream) -> None:
    said = [piece(None, "f", '{"n":1}', "call"), piece(None, "f", '{"n":2}', "call")]
    message = {"role": "assistant", "content": None, "tool_calls": said}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    upstream.script(Answer(raw=[json.dumps(body).encode()], content_type="application/json"))
    tools: Any = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    made: Any = client.responses.create(model="m", input="Hi", tools=tools).output
    assert [item.arguments for item in made] == ['{"n":1}', '{"n":2}']
    assert len({item.call_id for item in made}) == 2


@pytest.mark.parametrize(
    "stream",
    [
        b"".join(calls(piece(0, "f", f'{{"n":{n}}}')) for n in range(4000)),
        b"".join(calls(piece(0, "f", f'{{"n":{n}}}', f"call_{n}")) for n in range(4000)),
        calls(piece(0, "f", '"{', "x")) + calls(piece(0, None, '\\"word\\"')) * 20_000,
        raw(b" " * 20_000 + b"x"),
    ],
    ids=["calls under one index", "with ids", "arguments in a string", "blanks before nonsense"],
)
def test_an_odd_answer_costs_by_its_length(stream: bytes) -> None:
    begun = time.process_time()
    with suppress(UpstreamError):
        deltas_of(stream + CALLED)
    assert time.process_time() - begun < 3.0


def test_a_call_that_is_cut_before_its_arguments_has_none(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(raw=[calls(piece(0, "f", "", "x")) + chunk({}, "length") + DONE]))
    tools: Any = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    response = client.responses.create(model="m", input="Hi", tools=tools)
    assert response.status == "incomplete"
    assert [getattr(item, "arguments", "") for item in response.output] == [""]


@pytest.mark.parametrize("stream", [False, True])
def test_sources_of_a_text_are_its_annotations(stream: bool, client: OpenAI, upstream: Upstream) -> None:
    cited = {"url": "https://a.example/", "title": "A", "start_index": 0, "end_index": 3}
    noted = [{"type": "url_citation", "url_citation": cited}, {"type": "unheard"}, "odd"]
    whole = {"choices": [{"message": {"content": "See.", "annotations": noted}, "finish_reason": "stop"}]}
    pieces = chunk({"content": "See."}) + chunk({"content": "", "annotations": noted}) + STOP
    upstream.script(Answer(raw=[pieces if stream else json.dumps(whole).encode()]))
    text: Any = client.responses.create(model="m", input="Hi").output[0]
    assert [each.model_dump() for each in text.content[0].annotations] == [{"type": "url_citation", **cited}]


def test_an_odd_member_in_an_answer_of_many_lines_costs_itself_alone() -> None:
    answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop", "index": "0"}]}
    found = ChatStreamParser().whole(json.dumps(answer, indent=2).encode())
    assert found == [TextDelta("Hi"), Finished("stop")]


def test_an_empty_text_with_a_proper_end_is_an_answer(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(raw=[chunk({"role": "assistant", "content": ""}) + STOP]))
    assert client.responses.create(model="m", input="Hi").status == "completed"


# ---- bodies that are not what they are called ----

WHOLE = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (WHOLE, "text/plain"),
        (WHOLE, "text/event-stream"),
        (chunk({"content": "Hi"}) + STOP, "application/json"),
        (chunk({"content": "Hi"}) + STOP, "text/plain"),
    ],
)
def test_a_body_is_read_as_what_it_is(
    body: bytes, kind: str, stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer(raw=[body], content_type=kind))
    if stream:
        with client.responses.stream(model="m", input="Hi") as events:
            text = events.get_final_response().output_text
    else:
        text = client.responses.create(model="m", input="Hi").output_text
    assert text == "Hi"
