"""Functions for models that know none: through a real upstream, and cut anywhere."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripted import Answer, Called, Gate, Upstream

from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import GENERIC, VLLM
from antiphon.backends.emulated import EmulatedTools
from antiphon.backends.hermes import REMINDER
from antiphon.backends.offer import Offer
from antiphon.backends.splitters import NamedSplitter, ObjectSplitter
from antiphon.backends.text_calls import TextCalls
from antiphon.backends.value_scanner import ValueScanner
from antiphon.model import (
    Call,
    CallArguments,
    CallStarted,
    Capabilities,
    Delta,
    Deltas,
    Finished,
    Function,
    Grammar,
    JsonSchema,
    Message,
    NamedFunction,
    ReasoningDelta,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
)
from antiphon.protocol.errors import ModelFault

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = Function("add", "Adds.", SCHEMA)
SUB = Function("sub")
USAGE = UsageDelta(7, 5)

Connect = Callable[..., EmulatedTools]


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncIterator[Connect]:
    made: list[EmulatedTools] = []

    def make(can: Capabilities | None = None, **options: Any) -> EmulatedTools:
        inner = ChatCompletions(
            upstream.base_url, dialect=GENERIC, can=lambda _: can or Capabilities(tools=False)
        )
        made.append(EmulatedTools(inner, **options))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


def turn(*messages: Message, **more: Any) -> Turn:
    return Turn("m", messages or (Message("user", (TextPart("Hi"),)),), **{"functions": (ADD, SUB)} | more)


async def collect(backend: EmulatedTools, asked: Turn) -> list[Delta]:
    return merged([delta async for batch in backend.stream(asked) for delta in batch])


def merged(deltas: Sequence[Delta]) -> list[Delta]:
    """Adjacent pieces of one kind as one."""
    found: list[Delta] = []
    for delta in deltas:
        match found[-1] if found else None, delta:
            case (TextDelta(a), TextDelta(b)):
                found[-1] = TextDelta(a + b)
            case (CallArguments(i, a), CallArguments(j, b)) if i == j:
                found[-1] = CallArguments(i, a + b)
            case _:
                found.append(delta)
    return found


def called(index: int, name: str, arguments: str) -> list[Delta]:
    return [CallStarted(index, name), CallArguments(index, arguments)]


def tagged(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


CALLS = Finished("calls")
STOP = Finished("stop")

# ---- free text --------------------------------------------------------------------------------------

FREE: dict[str, tuple[str, list[Delta], bool]] = {
    "no call": ("Just text.", [TextDelta("Just text.")], False),
    "one call": (tagged("add", '{"a": 1}'), called(0, "add", '{"a": 1}'), True),
    "text, then a call": (
        "Let me see.\n\n" + tagged("add", '{"a": 1}') + "\n",
        [TextDelta("Let me see."), *called(0, "add", '{"a": 1}')],
        True,
    ),
    "two calls": (
        tagged("add", '{"a": 1}') + "\n" + tagged("sub", "{}"),
        [*called(0, "add", '{"a": 1}'), *called(1, "sub", "{}")],
        True,
    ),
    "arguments as a string": (tagged("add", '"{\\"a\\": 1}"'), called(0, "add", '{"a": 1}'), True),
    "a tag that is none": ("a <tool_ca> b <", [TextDelta("a <tool_ca> b <")], False),
    "a call that was not closed": (
        '<tool_call>{"name": "sub", "arguments": {}}',
        called(0, "sub", "{}"),
        True,
    ),
    "broken JSON": ("<tool_call>{oops</tool_call>", [TextDelta("<tool_call>{oops</tool_call>")], False),
    "arguments that are no object": (tagged("add", "[1]"), [TextDelta(tagged("add", "[1]"))], False),
    "an unknown function": (tagged("mul", "{}"), [TextDelta(tagged("mul", "{}"))], False),
}


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("case", FREE)
async def test_calls_are_found_in_free_text(
    case: str, size: int, upstream: Upstream, connect: Connect
) -> None:
    text, deltas, calls = FREE[case]
    upstream.script(Answer(text, size=size))
    assert await collect(connect(), turn()) == [*deltas, USAGE, CALLS if calls else STOP]


async def test_a_model_that_runs_out_of_tokens_in_a_call_has_made_half_a_call(
    upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer('<tool_call>{"name": "add", "arguments": {"a', finish="length"))
    assert await collect(connect(), turn()) == [*called(0, "add", '{"a'), USAGE, Finished("length")]


async def test_without_parallel_calls_the_model_is_stopped_after_the_first(
    upstream: Upstream, connect: Connect
) -> None:
    answer = tagged("add", '{"a": 1}') + tagged("sub", "{}")
    upstream.script(Answer(answer + " and more", size=len(answer), gate=Gate(after=2)))
    assert await collect(connect(), turn(parallel=False)) == [*called(0, "add", '{"a": 1}'), CALLS]
    await upstream.last.gone()


async def test_reasoning_passes(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(tagged("sub", "{}"), reasoning="Hm"))
    assert await collect(connect(), turn()) == [ReasoningDelta("Hm"), *called(0, "sub", "{}"), USAGE, CALLS]


# ---- forced calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5])
async def test_a_function_by_name_is_a_form(size: int, upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(' {"a": "}\\""} \n', size=size))
    assert await collect(connect(), turn(choice=NamedFunction("add"))) == [
        *called(0, "add", '{"a": "}\\""}'),
        USAGE,
        CALLS,
    ]
    form = upstream.last.body["response_format"]["json_schema"]
    assert (form["name"], form["schema"]) == ("add", SCHEMA)
    assert "tools" not in upstream.last.body


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "add", "arguments": {"a": {"b": "}"}}}',
        ' { "name" :"add",\n"arguments":{"a": {"b": "}"}} } ',
    ],
)
async def test_a_required_call_streams(text: str, size: int, upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(text, size=size))
    assert await collect(connect(), turn(choice="required")) == [
        *called(0, "add", '{"a": {"b": "}"}}'),
        USAGE,
        CALLS,
    ]
    schema = upstream.last.body["response_format"]["json_schema"]["schema"]
    assert [form["properties"]["name"] for form in schema["anyOf"]] == [{"const": "add"}, {"const": "sub"}]


async def test_a_required_call_is_emitted_before_it_is_complete(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer('{"name": "add", "arguments": {"a": 1}}', size=35, gate=Gate(after=2)))
    batches = connect().stream(turn(choice="required"))
    assert await anext(batches) == [CallStarted(0, "add"), CallArguments(0, '{"a": ')]
    await batches.aclose()  # type: ignore[attr-defined]


async def test_members_in_another_order_are_a_call_too(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer('{"arguments": {}, "name": "sub"}'))
    assert await collect(connect(), turn(choice="required")) == [*called(0, "sub", "{}"), USAGE, CALLS]


async def test_a_forced_call_cut_off_is_half_a_call(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer('{"name": "add", "arguments": {"a', finish="length"))
    assert await collect(connect(), turn(choice="required")) == [
        *called(0, "add", '{"a'),
        USAGE,
        Finished("length"),
    ]


@pytest.mark.parametrize("choice", ["auto", "none", "required", NamedFunction("sub")])
async def test_a_model_that_cannot_be_forced_is_not_forced_though_no_function_is_left(
    choice: Any, upstream: Upstream, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(Answer("Hello"))
    backend, asked = connect(Capabilities(forced_tools=False)), []
    stream = backend.inner.stream

    def recorded(turn: Turn) -> Deltas:
        asked.append(turn.choice)
        return stream(turn)

    monkeypatch.setattr(backend.inner, "stream", recorded)
    assert await collect(backend, turn(functions=(), choice=choice)) == [TextDelta("Hello"), USAGE, STOP]
    assert asked == ["none" if choice == "none" else "auto"]


@pytest.mark.parametrize("choice", ["required", NamedFunction("sub")])
async def test_a_server_that_takes_a_form_and_does_not_keep_it_is_asked_in_words(
    choice: Any, upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer("I would rather not.", size=3), Answer(tagged("sub", "{}")))
    assert await collect(connect(), turn(choice=choice, format=FORM)) == [
        *called(0, "sub", "{}"),
        USAGE.plus(USAGE),
        CALLS,
    ]
    assert "response_format" in upstream.requests[0].body
    assert "response_format" not in upstream.last.body


async def test_a_call_that_no_way_brings_is_a_failure(upstream: Upstream, connect: Connect) -> None:
    upstream.script(*[Answer("I would rather not.")] * 3)
    with pytest.raises(ModelFault, match="had to call a function, and answered in words"):
        await collect(connect(), turn(choice="required"))


def test_references_in_schemas_still_lead_where_they_led(upstream: Upstream, connect: Connect) -> None:
    node = {
        "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
        "$ref": "#/$defs/n",
    }
    told, _ = connect()._rewritten(turn(functions=(Function("walk", "", node), ADD), choice="required"))
    assert isinstance(told.format, JsonSchema)
    walk = told.format.schema["anyOf"][0]["properties"]["arguments"]
    assert walk == {"$ref": "#/$defs/s0"}
    moved = told.format.schema["$defs"]["s0"]
    assert moved["$ref"] == "#/$defs/s0/$defs/n"
    assert moved["$defs"]["n"]["properties"]["next"]["$ref"] == "#/$defs/s0/$defs/n"


async def test_without_schemas_a_forced_call_is_asked_for(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(tagged("sub", "{}")))
    backend = connect(Capabilities(tools=False, json_schema=False))
    assert await collect(backend, turn(choice="required")) == [*called(0, "sub", "{}"), USAGE, CALLS]
    assert "response_format" not in upstream.last.body


async def test_a_call_that_nothing_enforces_is_asked_for_again(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("I would rather not."), Answer(tagged("sub", "{}")))
    backend = connect(Capabilities(tools=False, json_schema=False))

    assert await collect(backend, turn(choice="required")) == [
        *called(0, "sub", "{}"),
        USAGE.plus(USAGE),
        CALLS,
    ]
    assert upstream.last.body["messages"][-1] == {"role": "user", "content": REMINDER}


@pytest.mark.parametrize("choice", ["required", NamedFunction("add")])
async def test_a_call_that_nothing_enforces_and_that_never_comes_is_a_failure(
    choice: Any, upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer("I would rather not."), Answer("No."))
    backend = connect(Capabilities(tools=False, json_schema=False))

    with pytest.raises(ModelFault, match="had to call a function, and answered in words"):
        await collect(backend, turn(choice=choice))


async def test_a_call_that_nothing_enforces_may_be_cut_off(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("I would rather", finish="length"))
    backend = connect(Capabilities(tools=False, json_schema=False))

    assert await collect(backend, turn(choice="required")) == [
        TextDelta("I would rather"),
        USAGE,
        Finished("length"),
    ]


# ---- a form for the answer, and functions -----------------------------------------------------------

FORM = JsonSchema("colour", {"enum": ["red"]})


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(
    ("text", "deltas", "end"),
    [
        ('{"answer": "red"}', [TextDelta('"red"')], STOP),
        ('{"answer": 42 }', [TextDelta("42")], STOP),
        ('{"answer": {"x": [1]}}', [TextDelta('{"x": [1]}')], STOP),
        ('{"name": "sub", "arguments": {}}', called(0, "sub", "{}"), CALLS),
    ],
)
async def test_an_answer_in_a_form_leaves_room_for_calls(
    text: str, deltas: list[Delta], end: Finished, size: int, upstream: Upstream, connect: Connect
) -> None:
    upstream.script(Answer(text, size=size))
    assert await collect(connect(), turn(format=FORM)) == [*deltas, USAGE, end]
    forms = upstream.last.body["response_format"]["json_schema"]["schema"]["anyOf"]
    assert forms[0]["properties"] == {"answer": {"enum": ["red"]}}


def test_a_grammar_leaves_no_room_for_calls(connect: Connect) -> None:
    told, scanner = connect()._rewritten(turn(format=Grammar("regex", "a+")))
    assert (told.format, scanner) == (Grammar("regex", "a+"), None)


# ---- what the model reads ---------------------------------------------------------------------------


async def test_functions_calls_and_results_are_sent_as_text(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer("3"))
    said = (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("1+2?"),)),
        Message("assistant", (TextPart("Let me see."),), (Call("c", "add", '{"a":1}'), Call("d", "sub", ""))),
        Message("tool", (TextPart("3"),), call_id="c"),
        Message("tool", (TextPart("4"),), call_id="d"),
    )
    await collect(connect(), turn(*said, functions=(ADD,)))
    system, _, assistant, results = upstream.last.body["messages"]
    assert system["content"].startswith("Be brief.\n\nYou may call functions")
    told = system["content"].split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(told)["function"] == {"name": "add", "description": "Adds.", "parameters": SCHEMA}
    assert assistant == {
        "role": "assistant",
        "content": 'Let me see.\n<tool_call>\n{"name":"add","arguments":{"a":1}}\n</tool_call>\n'
        '<tool_call>\n{"name":"sub","arguments":{}}\n</tool_call>',
    }
    assert results == {
        "role": "user",
        "content": '<tool_response>\n{"name":"add","content":"3"}\n</tool_response>\n'
        '<tool_response>\n{"name":"sub","content":"4"}\n</tool_response>',
    }


async def test_with_the_choice_none_no_function_is_offered(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(tagged("sub", "{}")))
    deltas = await collect(connect(), turn(choice="none"))
    assert deltas == [TextDelta(tagged("sub", "{}")), USAGE, STOP]
    assert upstream.last.body["messages"] == [{"role": "user", "content": "Hi"}]


async def test_a_model_that_knows_functions_is_left_alone(upstream: Upstream, connect: Connect) -> None:
    upstream.script(Answer(calls=[Called("add")]))
    await collect(connect(Capabilities()), turn(choice="required"))
    assert upstream.last.body["tool_choice"] == "required"


async def test_a_model_that_cannot_be_forced_is_held_to_a_form(upstream: Upstream, connect: Connect) -> None:
    backend = connect(Capabilities(forced_tools=False))
    upstream.script(Answer('{"name": "sub", "arguments": {}}'), Answer("ok"))
    assert CALLS in await collect(backend, turn(choice="required"))
    assert "tools" not in upstream.last.body
    await collect(backend, turn())
    assert "tools" in upstream.last.body


def test_emulated_functions_are_a_capability(connect: Connect) -> None:
    assert connect(Capabilities(tools=False, grammar=True)).capabilities("m") == Capabilities(grammar=True)


async def test_what_is_counted_is_what_is_sent(upstream: Upstream, connect: Connect) -> None:
    assert await connect().count_tokens(turn()) is None


# ---- cut anywhere -----------------------------------------------------------------------------------

PIECES = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", '{"name": "sub", "arguments": {}}', "<tool_", " \n", "text", "<", "}"]
    )
)


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]


def scan(scanner: Any, text: str, cuts: list[int]) -> list[Delta]:
    out: list[Delta] = []
    for piece in cut(text, cuts):
        scanner.feed(piece, (), out)
    scanner.finish(out, cut=False)
    return merged(out)


def sift(calls: TextCalls, text: str, cuts: list[int]) -> list[Delta]:
    batches: list[list[Delta]] = [[TextDelta(piece)] for piece in cut(text, cuts)]
    return merged([delta for batch in [*batches, [STOP]] for delta in calls.feed(batch)])


@settings(deadline=None)
@given(PIECES, st.lists(st.integers(0, 200)), st.booleans())
def test_any_cut_of_the_text_gives_the_same_calls(pieces: list[str], cuts: list[int], one: bool) -> None:
    text, offer, most = "".join(pieces), Offer([SUB]), 1 if one else None
    assert sift(TextCalls(turn(), most), text, cuts) == sift(TextCalls(turn(), most), text, [])
    for head in ("", '{"name": "sub", "arguments": ', '{"answer": '):
        assert scan(ObjectSplitter(offer), head + text, cuts) == scan(ObjectSplitter(offer), head + text, [])
    assert scan(NamedSplitter("sub"), text, cuts) == scan(NamedSplitter("sub"), text, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(JSON, st.integers(0, 50), st.sampled_from(["}", " }", "\n}\n", ", 1"]))
def test_the_end_of_a_value_is_found(value: Any, cut: int, after: str) -> None:
    text = json.dumps(value)
    scanner = ValueScanner()
    whole = f" {text}{after}"
    assert scanner.feed(whole[:cut]) + scanner.feed(whole[cut:]) == text
    assert scanner.done


# ---- text held to a grammar -------------------------------------------------------------------------

TELEPHONE = Grammar("regex", r"\d{3}-\d{4}")
DIAL = Function("dial", "Dials.", {"type": "object"}, grammar=TELEPHONE)


@pytest.mark.parametrize("tools", [True, False])
async def test_a_forced_call_is_held_to_the_grammar_of_its_text(upstream: Upstream, tools: bool) -> None:
    upstream.lenient = True
    upstream.script(Answer('555-"1\n', size=2))
    can = Capabilities(tools=tools, regex=True)
    inner = ChatCompletions(upstream.base_url, dialect=VLLM, can=lambda _: can)
    backend = EmulatedTools(inner)

    told = await collect(backend, turn(functions=(ADD, DIAL), choice=NamedFunction("dial")))

    await inner.close()
    assert told[:2] == [CallStarted(0, "dial"), CallArguments(0, '{"input":"555-\\"1\\n"}')]
    assert upstream.last.body["structured_outputs"] == {"regex": TELEPHONE.definition}
    assert "tools" not in upstream.last.body


async def test_a_server_without_such_grammars_gets_the_function_as_it_is(
    connect: Connect, upstream: Upstream
) -> None:
    upstream.script(Answer(calls=[Called("dial")]))
    forced = turn(functions=(DIAL,), choice=NamedFunction("dial"))

    await collect(connect(Capabilities(grammar=True)), forced)

    assert upstream.last.body["tool_choice"]["function"] == {"name": "dial"}
