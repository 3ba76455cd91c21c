"""Calls that models write in their text (docs/internals/upstreams.md section 8): read whole, cut anywhere,
and by the official client."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from tests.backends.sifting import CUT, STOP, F, G, indexes, read, turn, understood
from tests.backends.written import ALONE, JSON, MARKED, TAGGED, Called
from tests.conftest import Running, checked_client
from tests.scripted import Answer, Upstream
from tests.scripted import Called as NativeCall

from antiphon.backends.call_heads import FIRST_MARKS, OPENINGS
from antiphon.backends.chat_completions import ChatCompletions
from antiphon.backends.dialects import GENERIC, OPENAI, Dialect
from antiphon.backends.syntaxes import ALONE as ALONE_SYNTAXES
from antiphon.backends.syntaxes import ANYWHERE
from antiphon.backends.text_calls import TextCalls
from antiphon.config import BackendSettings, Config, Server
from antiphon.model import (
    Delta,
    Finished,
    Function,
    NamedFunction,
    ReasoningDelta,
    TextDelta,
    TextRun,
    single,
)

# ---- each syntax, and its neighbours ----------------------------------------------------------------

ARGUMENTS: dict[str, dict[str, Any]] = {
    "none": {},
    "text and a number": {"city": "Rome", "days": 3},
    "all types": {"exact": True, "where": {"lat": 1.5, "of": {"a": []}}, "tags": ["a", 1], "days": -2},
    "a number that is a text": {"city": "3"},
    "nested quotes": {"city": 'He said "it\'s" and \\ went \\"on\\"'},
    "unicode": {"city": "Zürich 東京 \U0001f600"},
    "line breaks": {"city": "a\n\nb\n  c"},
    "brackets": {"city": "}]{[ <b>x</b> [1] f(a=1)"},
}
MARKS = (
    "</tool_call></function></parameter><tool_call><|tool_call_end|><|call|><|end|>```[TOOL_CALLS]"
    "<｜tool▁call▁end｜></｜DSML｜invoke><|python_end|></invoke>"
)
SYNTAXES = {**MARKED, **ALONE}
CUTS = st.lists(st.integers(0, 400), max_size=12)


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_call_is_read(syntax: str, arguments: str) -> None:
    calls: list[Called] = [("get_weather", ARGUMENTS[arguments])]
    assert understood(read(SYNTAXES[syntax](calls))) == [*calls, {"calls"}]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_several_calls_are_read(syntax: str) -> None:
    calls: list[Called] = [("f", {"city": "a"}), ("get_weather", {"city": "b"}), ("f", {"city": "a"})]
    assert understood(read(SYNTAXES[syntax](calls) + "\n")) == [*calls, {"calls"}]


@pytest.mark.parametrize("syntax", [name for name in MARKED if name != "Hermes, unclosed"])
def test_text_before_and_behind_a_call_stays(syntax: str) -> None:
    calls: list[Called] = [("f", {"city": "a"})]
    text = f"Let me <see>:\n\n{MARKED[syntax](calls)}\nDone [1]."
    assert understood(read(text)) == ["Let me <see>:", *calls, "\nDone [1].", {"calls"}]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_call_of_a_function_that_is_not_on_offer_stays_text(syntax: str) -> None:
    text = f" \n{SYNTAXES[syntax]([('mail', {'city': 'a'}), ('mail', {})])}\n"
    assert read(text) == [text, {"stop"}]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_breaks_off_stays_text_unless_it_is_a_call_already(syntax: str) -> None:
    whole = SYNTAXES[syntax]([("f", {"city": "Rome"})])
    for end in range(1, len(whole)):
        found = read(whole[:end])
        assert found == [whole[:end], {"stop"}] or understood(found)[0] == ("f", {"city": "Rome"})


@pytest.mark.parametrize("syntax", [name for name in SYNTAXES if "first" not in name])
def test_a_call_that_runs_out_of_tokens_is_half_a_call(syntax: str) -> None:
    whole = SYNTAXES[syntax]([("f", {"days": 12, "city": "Rome is a city"})])
    found = read(whole[: whole.index("is a city")], end=CUT)
    if "Python" in syntax or syntax == "Llama 4":  # Python that is cut off says nothing for certain
        assert isinstance(found[0], str)
        return
    name, arguments = found[0]
    assert name == "f"
    assert json.loads(arguments + ('"}' if "Rome" in arguments else "}"))["days"] == 12
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)
    assert found[1] == {"length"}


@pytest.mark.parametrize("syntax", [*JSON, "Llama 4", *ALONE])
def test_a_mark_in_a_string_is_part_of_the_string(syntax: str) -> None:
    calls: list[Called] = [("f", {"city": MARKS}), ("f", {"city": "b"})]
    assert understood(read(SYNTAXES[syntax](calls))) == [*calls, {"calls"}]


@pytest.mark.parametrize("syntax", TAGGED)
def test_a_closing_mark_in_a_value_between_tags_is_part_of_the_value(syntax: str) -> None:
    calls: list[Called] = [("f", {"city": "a </tool_call></function></invoke></parameter> b", "days": 1})]
    assert understood(read(TAGGED[syntax](calls))) == [*calls, {"calls"}]


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(deadline=None, max_examples=8)
@given(cuts=CUTS, names=st.lists(st.sampled_from(["f", "get_weather", "mail"]), min_size=1, max_size=3))
def test_any_chunking_says_the_same(syntax: str, cuts: list[int], names: list[str]) -> None:
    text = f"\n {SYNTAXES[syntax]([(name, {'city': MARKS}) for name in names])} \n"
    assert read(text, cuts) == read(text)
    assert read(f"Hm <{text}> [x", cuts) == read(f"Hm <{text}> [x")
    assert read(text, range(len(text))) == read(text)


PIECES = st.lists(
    st.sampled_from(
        [
            "<tool_call>",
            "</tool_call>",
            "<function=f>",
            "<parameter=city>",
            "</parameter>",
            "</function>",
            '{"name": "f", "arguments": {}}',
            '{"name": "f", "parameters": ',
            "[TOOL_CALLS]",
            "[ARGS]",
            "<|channel|>commentary to=f",
            "<|message|>",
            "<arg_key>",
            "[f(",
            "f",
            "{",
            "}",
            "[",
            "]",
            "<",
            '"',
            " ",
            "\n" * 70,
            "text",
            ";",
        ]
    )
)


@settings(deadline=None, max_examples=150)
@given(PIECES, st.lists(st.integers(0, 300)), st.sampled_from([STOP, CUT]))
def test_any_chunking_of_broken_syntax_says_the_same(
    pieces: list[str], cuts: list[int], end: Finished
) -> None:
    text = "".join(pieces)
    assert read(text, cuts, end) == read(text, (), end) == read(text, range(len(text)), end)


@settings(deadline=None, max_examples=100)
@given(PIECES)
def test_text_without_a_call_comes_through_byte_for_byte(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = read(text, range(0, len(text), 3), functions=(Function("another"),))
    assert found == [text, {"stop"}] if text else found == [{"stop"}]


# ---- single findings --------------------------------------------------------------------------------


DSML = '<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="x" string="{}">3</｜DSML｜parameter>'


def call(text: str) -> tuple[str, Any]:
    [found, _] = understood(read(text))
    assert isinstance(found, tuple), found
    return found


@pytest.mark.parametrize(
    ("value", "schema", "meant"),
    [
        ("3", {"type": "string"}, "3"),
        ("3", {"type": "integer"}, 3),
        ("3.5", {"type": "number"}, 3.5),
        ("three", {"type": "integer"}, "three"),
        ("True", {"type": "boolean"}, True),
        ("false", {"type": "boolean"}, False),
        ("yes", {"type": "boolean"}, "yes"),
        ('{"a": [1]}', {"type": "object"}, {"a": [1]}),
        ("{a: 1}", {"type": "object"}, "{a: 1}"),
        ("[1, 2]", {"type": "array"}, [1, 2]),
        ("[1, 2]", {"type": "string"}, "[1, 2]"),
        ("null", {"type": ["string", "null"]}, None),
        ("None", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
        ("3", {"type": ["integer", "string"]}, 3),
        ("[3]", {"type": ["integer", "string"]}, "[3]"),
        ("3", {"enum": ["3"]}, "3"),
        ("3", {}, "3"),
        ("3", True, "3"),
        ("[" * 100_000, {"type": "array"}, "[" * 100_000),
        ("123456789012345678901234567890", {"type": "integer"}, 123456789012345678901234567890),
    ],
)
def test_a_value_between_tags_is_what_the_schema_says(value: str, schema: Any, meant: Any) -> None:
    function = Function("f", "", {"properties": {"x": schema}})
    text = f"<function=f><parameter=x>\n{value}\n</parameter></function>"
    assert understood(read(text, functions=(function,)))[0] == ("f", {"x": meant})


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (DSML.format("false"), {"x": 3}),
        (DSML.format("true"), {"x": "3"}),
        ("<tool_call>f <arg_key>city</arg_key> <arg_value>a b</arg_value> </tool_call>", {"city": "a b"}),
        ("<tool_call>f</tool_call>", {}),
        ('<tool_call>{"name": "f"}</tool_call>', {}),
        ('<tool_call>{"name": "f", "arguments": "{\\"city\\": 1}"}</tool_call>', {"city": 1}),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', {}),
        ("<|tool_call_begin|>f:1<|tool_call_argument_begin|>{}", {}),
        ("<|tool_calls_section_begin|><|tool_call_begin|> functions.f:0 <|tool_call_argument_begin|> {}", {}),
        ("<|channel|>analysis to=functions.f<|message|>{}", {}),
        ("<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}", {}),
        ("<｜tool▁calls▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```", {}),
        ('[TOOL_CALLS] {"name": "f", "arguments": {}}', {}),
        ('<function_calls><invoke name="f">\n<parameter name="city">a</parameter></invoke>', {"city": "a"}),
        ("[f(city='it\\'s', tags=[1, (2, None)])]", {"city": "it's", "tags": [1, [2, None]]}),
        ("[f(city='\\d')]", {"city": "\\d"}),
        ("[f(where={'a': true, 'b': -1.5})]", {"where": {"a": True, "b": -1.5}}),
        ("[f(\n  days = -3 ,\n  city = \"\"\"a\nb\"\"\",\n)]", {"days": -3, "city": "a\nb"}),
    ],
)  # fmt: skip
def test_a_variant_is_read(text: str, arguments: Any) -> None:
    assert call(text) == ("f", arguments)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {oops}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {}</tool_call> and so on',
        '[TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "mail", "arguments": {}}]',
        "[TOOL_CALLS][]",
        "<function=f>\n<parameter=a>1</parameter> but then <b></function>",
        "<tool_call>f is how calls are written</tool_call>",
        '{"name": "f", "parameters": {}} is how one calls it.',
        '{"name": "f", "age": 3}',
        '{"name": "f"}',
        '[{"name": "f", "parameters": {}}, 3]',
        "[f(city='a')](https://example.org)",
        "[f(city='a'), 3]",
        "[f('a')]",
        "[f(city=x)]",
        "[f(city=open('/etc/passwd'))]",
        "[f(city=f'{1}')]",
        "[f(city=b'1')]",
        "[f(city=1+1)]",
        "[f(**{'a': 1})]",
        "[f(days=1e999)]",
        "[f(city={1, 2})]",
        "[f(city=not not not 1)]",
        "[f(city='\\ud83d')]",
        "[f()()]",
        "[f(a=" + "[" * 100 + "]" * 100 + ")]",
        "[f(a=" + "-" * 30_000 + "1)]",
        "[f(a=" + "b." * 30_000 + "c)]",
        "[f(a=" + "9" * 5_000 + ")]",
        '[f(a="""\\""" """, b=' + "-" * 30_000 + '1, c=""" """)]',
        "[f(city='" + "a" * 70_000 + "')]",
        "f(city='a')",
    ],
)
def test_what_only_looks_like_a_call_is_text(text: str) -> None:
    assert read(text) == [text, {"stop"}]


@pytest.mark.parametrize("form", ["json_object"])
def test_an_answer_that_has_to_be_json_is_no_call(form: Any) -> None:
    text = ALONE["objects"]([("f", {})])
    assert read(text, format=form) == [text, {"stop"}]


def test_a_function_that_must_be_called_is_the_only_one_on_offer() -> None:
    text = MARKED["Hermes"]([("f", {})])
    assert read(text, choice=NamedFunction("get_weather")) == [text, {"stop"}]
    assert read(text, choice=NamedFunction("f")) == [("f", "{}"), {"calls"}]


# ---- held back no longer than needed ----------------------------------------------------------------


def held(text: str) -> int:
    """The most characters that are ever held back while a text comes one by one."""
    calls, out, most = TextCalls(turn()), 0, 0
    for number, char in enumerate(text, 1):
        out += sum(len(delta.text) for delta in calls.feed([TextDelta(char)]) if isinstance(delta, TextDelta))
        most = max(most, number - out)
    return most


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("Plain words, and then more of them.", 1),
        ('{"answer": {"a": [1, 2]}, "b": "x"}', 2),
        ('{"name": "Bob", "parameters": {"a": 1}}', 13),
        ('[{"name": "Bob", "age": 3}, {"name": "Ann"}]', 14),
        ("[1, 2, [3, 4]]", 2),
        ("[get_wea(x)] is not [f] or [g(1)](url)", 8),
        ("if (a < b && c[0] > {d}) { return <div>x</div>; }", 2),
        ("std::vector<int> a; a << b; <tools> <toolbox>", 6),
        ('<tool_call>{"name": "mail", "arguments": {"a": 1}}</tool_call> and more', 25),
        ("<tool_call> is the tag of Hermes, and <function=x> that of Qwen", 14),
        ("[TOOL_CALL] is no mark, [TOOL_CALLS] is: [TOOL_CALLS] (sic)", 17),
    ],
)
def test_text_that_is_no_call_is_held_until_that_is_known(text: str, most: int) -> None:
    assert held(text) == most


def test_ordinary_text_passes_as_it_came() -> None:
    calls = TextCalls(turn())
    calls.feed([TextDelta("Hello")])
    batch: list[Delta] = [TextDelta(" there"), ReasoningDelta("Hm"), TextDelta(", (a) {b}")]
    assert calls.feed(batch) is batch


def test_all_marks_begin_with_what_the_hot_path_looks_for() -> None:
    assert all(mark.startswith(("<", "[T")) for mark in FIRST_MARKS)


def test_a_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte in pieces of four characters, of whatever kind: no piece makes us look at more than a
    bounded part of what came before."""
    looked = 0

    class Counted:
        def find(self, text: str, at: int = 0) -> Any:
            nonlocal looked
            looked += len(text) - at
            return OPENINGS.find(text, at)

    monkeypatch.setattr("antiphon.backends.text_calls.OPENINGS", Counted())
    size = 1_000_000
    for pattern in ("word", "a <b", "[x] ", "\n\n\n\n", "<<<<", "<tool_call>", "<|channel|>x to=f", "{[<"):
        looked, text = 0, (pattern * (size // len(pattern)))[: size // 10]
        assert read(text, range(0, len(text), 4)) == [text, {"stop"}]
        assert looked < 20 * len(text), pattern


@pytest.mark.parametrize(
    "begin",
    [
        '<tool_call>{"name": "f", "arguments": {"city": "',
        "<tool_call>f<arg_key>",
        "<function=f>\n<parameter=city>",
        '{"name": "f", "parameters": {"city": "',
    ],
)
def test_no_more_than_a_limit_is_held_back(begin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.backends.call_bodies.MAX_BODY", 200_000)
    text = begin + "ab\\n" * 100_000
    assert 199_000 <= held(text) <= 200_000 + len(begin)
    assert read(text, range(0, len(text), 4)) == read(text) == [text, {"stop"}]


def test_a_body_is_read_a_bounded_number_of_times() -> None:
    text = "<function=f>\n<parameter=city>" + "</function>" * 1_000
    assert held(text) < len(text) / 10
    assert read(text) == [text, {"stop"}]


def test_the_document_names_all_syntaxes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "internals" / "upstreams.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.partition("## 8.")[2].splitlines()]
    assert [row for row in rows if any(row == syntax.name for syntax in ANYWHERE + ALONE_SYNTAXES)] == [
        syntax.name for syntax in ANYWHERE + ALONE_SYNTAXES
    ]


HERMES = MARKED["Hermes"]

# ---- over HTTP --------------------------------------------------------------------------------------

TOOLS: Any = [
    {"type": "function", "name": each.name, "parameters": each.parameters, "strict": False} for each in (F, G)
]


def output(response: Any) -> list[Any]:
    found: list[Any] = []
    for item in response.output:
        if item.type == "message":
            found.append(item.content[0].text)
        elif item.type == "reasoning":
            found.append(ReasoningDelta(item.content[0].text))
        elif item.type == "function_call":
            found.append((item.name, json.loads(item.arguments)))
    return found


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_client_gets_calls(syntax: str, size: int, client: OpenAI, upstream: Upstream) -> None:
    calls: list[Called] = [("f", {"city": 'a "b"'}), ("get_weather", {"days": 3})]
    upstream.default = Answer(SYNTAXES[syntax](calls), size=size)
    response = client.responses.create(model="m", input="Hi", tools=TOOLS)
    assert (response.status, output(response)) == ("completed", calls)
    with client.responses.stream(model="m", input="Hi", tools=TOOLS) as events:
        streamed = events.get_final_response()
    assert (streamed.status, output(streamed)) == ("completed", calls)
    assert streamed.usage
    assert streamed.usage.output_tokens == 5


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_call_is_text_where_none_was_asked_for(syntax: str, client: OpenAI, upstream: Upstream) -> None:
    text = SYNTAXES[syntax]([("f", {"city": "a"})])
    upstream.default = Answer(text, size=5)
    for more in ({}, {"tools": TOOLS, "tool_choice": "none"}, {"tools": TOOLS[1:]}):
        given: Any = more
        assert client.responses.create(model="m", input="Hi", **given).output_text == text


def test_the_next_turn_knows_the_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Let me see.\n" + HERMES([("f", {"city": "a"})]), size=3), Answer("Rain."))
    first = client.responses.create(model="m", input="Hi", tools=TOOLS)
    assert output(first) == ["Let me see.", ("f", {"city": "a"})]
    answer: Any = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "rain"}  # type: ignore[union-attr]
    client.responses.create(model="m", input=[answer], previous_response_id=first.id, tools=TOOLS)
    _, said, result = upstream.last.body["messages"]
    assert said["content"] == "Let me see."
    assert said["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"city": "a"}'}
    assert result["content"] == "rain"


def test_a_call_that_came_both_ways_reaches_the_client_once(client: OpenAI, upstream: Upstream) -> None:
    known = [NativeCall("f", '{"city":"a"}')]
    upstream.script(Answer(HERMES([("f", {"city": "a"}), ("f", {"city": "b"})]), known, size=4))
    response = client.responses.create(model="m", input="Hi", tools=TOOLS)
    assert output(response) == [("f", {"city": "a"}), ("f", {"city": "b"})]


def test_half_a_call_makes_an_incomplete_response(client: OpenAI, upstream: Upstream) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"city": "a'
    upstream.script(Answer(text, size=4, finish="length"))
    response = client.responses.create(model="m", input="Hi", tools=TOOLS)
    assert (response.status, response.output[0].status) == ("incomplete", "incomplete")  # type: ignore[union-attr]


def test_a_setting_leaves_the_text_as_it_is(tmp_path: Path, upstream: Upstream) -> None:
    text = HERMES([("f", {"city": "a"})])
    upstream.default = Answer(text)
    backend = BackendSettings(base_url=upstream.base_url, default=True, text_calls=False)
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"upstream": backend})
    with Running(config) as running, checked_client(running.url) as client:
        assert client.responses.create(model="m", input="Hi", tools=TOOLS).output_text == text


@pytest.mark.parametrize(("dialect", "calls"), [(GENERIC, True), (OPENAI, False)])
async def test_what_surely_never_comes_is_not_looked_for(
    dialect: Dialect, calls: bool, upstream: Upstream
) -> None:
    upstream.script(Answer(HERMES([("f", {})])))
    backend = ChatCompletions(upstream.base_url, dialect=dialect)
    found = [delta async for batch in backend.stream(turn()) for delta in single(batch)]
    await backend.close()
    assert bool(indexes(found)) is calls


@settings(deadline=None)
@given(
    texts=st.lists(st.text("ab <[T\n", min_size=1, max_size=4), min_size=1, max_size=6), fresh=st.booleans()
)
def test_a_run_of_text_says_what_its_deltas_say(texts: list[str], fresh: bool) -> None:
    def said(batch: list[Delta]) -> list[Delta]:
        calls = TextCalls(turn())
        begun = [] if fresh else calls.feed([TextDelta("Hello")])
        return [*begun, *single(calls.feed(batch)), *calls.feed([Finished("stop")])]

    run = TextRun("".join(texts), pieces=[msgspec.json.encode(text)[1:-1] for text in texts])
    assert said([run]) == said([TextDelta(text) for text in texts])


def test_a_run_without_marks_passes_as_it_came() -> None:
    calls = TextCalls(turn())
    calls.feed([TextDelta("Hello")])
    batch: list[Delta] = [TextRun(" there, you", pieces=[b" there", b", you"])]
    assert calls.feed(batch) is batch
