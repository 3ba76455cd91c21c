"""Reasoning in the text: its forms, the channels of Harmony, and models whose template opens it."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai import OpenAI
from tests.scripted import Answer, Upstream

from antiphon.backends.think import FORMS, ThinkForm, ThinkSplitter, opened_by_template
from antiphon.model import ReasoningDelta, TextDelta
from antiphon.protocol.content import Logprob


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]


def read(text: str, cuts: Sequence[int] = (), opened: bool = False) -> list[Any]:
    """What a text says: reasoning as ("reasoning", text), and text."""
    splitter, found = ThinkSplitter(opened), list[Any]()
    pieces = [delta for piece in cut(text, cuts) for delta in splitter.feed(piece)]
    for delta in [*pieces, *splitter.flush()]:
        last = found[-1] if found else None
        if isinstance(delta, TextDelta):
            found[-1:] = [last + delta.text] if isinstance(last, str) else [*found[-1:], delta.text]
        elif isinstance(last, tuple):
            found[-1] = ("reasoning", last[1] + delta.text)
        else:
            found.append(("reasoning", delta.text))
    return found


# ---- forms ----


@pytest.mark.parametrize("form", FORMS)
def test_reasoning_is_set_apart(form: ThinkForm) -> None:
    text = f"\n{form.opens}\nHm, {form.opens}?{form.closes}\n\nHi {form.opens}x{form.closes}"
    whole = [("reasoning", f"Hm, {form.opens}?"), f"Hi {form.opens}x{form.closes}"]
    for size in range(1, 30):
        assert read(text, range(0, len(text), size)) == whole


@pytest.mark.parametrize("form", FORMS)
def test_reasoning_is_not_looked_for_behind_the_beginning(form: ThinkForm) -> None:
    text = f"Use {form.opens}x{form.closes}"
    assert read(text, range(len(text))) == [text]


@pytest.mark.parametrize(
    "text", ["[1, 2]", "<b>", "<thin>", "[THINKING]", "◁x▷", "<|x|>", "<think", "<|chan"]
)
def test_text_that_begins_like_a_form_is_text(text: str) -> None:
    assert read(text) == read(text, range(len(text))) == [text]


# ---- Harmony ----

CALL = (
    '<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": "<b>"}<|call|>'
)
HARMONY: dict[str, tuple[str, list[Any]]] = {
    "analysis and final": (
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
        [("reasoning", "Hm"), "Hi"],
    ),
    "final alone": ("<|channel|>final<|message|>Hi", ["Hi"]),
    "the role too": ("<|start|>assistant<|channel|>final<|message|>Hi<|end|>", ["Hi"]),
    "analysis that breaks off": ("<|channel|>analysis<|message|>Hm, <", [("reasoning", "Hm, <")]),
    "two thoughts": (
        "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B<|end|>",
        [("reasoning", "A\n\nB")],
    ),
    "a preamble": (
        "<|channel|>commentary<|message|>First<|end|><|start|>assistant<|channel|>final<|message|>Then",
        ["First\n\nThen"],
    ),
    "no end between": (
        "<|channel|>analysis<|message|>Hm<|channel|>final <|constrain|>json<|message|>{}",
        [("reasoning", "Hm"), "{}"],
    ),
    "a call": (f"<|channel|>analysis<|message|>Hm<|end|>{CALL}", [("reasoning", "Hm"), CALL]),
    "no message": ("<|channel|>analysis", ["<|channel|>analysis"]),
    "no header": ("<|channel|> is a mark. " + "a" * 300, ["<|channel|> is a mark. " + "a" * 300]),
}


@pytest.mark.parametrize("case", HARMONY)
def test_channels_are_reasoning_and_text(case: str) -> None:
    text, items = HARMONY[case]
    for size in range(1, 40):
        assert read(text, range(0, len(text), size)) == items
    assert read(text) == items


HEADERS = ["<|channel|>", "<|start|>", "assistant", "analysis", "final", " to=f", "<|message|>"]
OTHERS = [
    "<|end|>",
    "<|call|>",
    "Hm",
    "<",
    "<|",
    "\n",
    "a" * 200,
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
]
PIECES = st.lists(st.sampled_from([*HEADERS, *OTHERS]))


@example(["<|channel|>"] * 5 + ["a" * 200, "<|message|>"], [258], False)  # the end of the longest header
@settings(deadline=None, max_examples=150)
@given(PIECES, st.lists(st.integers(0, 300)), st.booleans())
def test_any_chunking_says_the_same(pieces: list[str], cuts: list[int], opened: bool) -> None:
    text = "".join(pieces)
    assert read(text, cuts, opened) == read(text, (), opened) == read(text, range(len(text)), opened)


def test_logprobs_follow_the_text_of_their_channel() -> None:
    splitter = ThinkSplitter()
    tokens = [
        "<|channel|>",
        "analysis",
        "<|message|>",
        "Hm",
        "<|end|>",
        "<|channel|>",
        "final",
        "<|message|>",
        "H",
        "i",
    ]
    found = [
        delta
        for each in tokens
        for delta in splitter.feed(each, [Logprob(token=each, bytes=[], logprob=-1.0, top_logprobs=[])])
    ]
    assert found[0] == ReasoningDelta("Hm")
    assert [[t.token for t in delta.logprobs] for delta in found[1:] if isinstance(delta, TextDelta)] == [
        ["H"],
        ["i"],
    ]


def test_a_client_gets_reasoning_call_and_text_of_harmony(client: OpenAI, upstream: Upstream) -> None:
    text, _ = HARMONY["a call"]
    tools: Any = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    for size in (0, 1, 9):
        upstream.script(Answer(text, size=size))
        thought, call = client.responses.create(model="m", input="Hi", tools=tools).output
        assert thought.type == "reasoning"
        assert thought.content
        assert thought.content[0].text == "Hm"
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("f", {"a": "<b>"})


# ---- opened by the template ----


@pytest.mark.parametrize(
    ("model", "opened"),
    [
        ("deepseek-ai/DeepSeek-R1-0528", True),
        ("deepseek-r1:7b", True),
        ("Qwen/QwQ-32B", True),
        ("qwen3-235b-a22b-thinking-2507", True),
        ("MiniMaxAI/MiniMax-M2", True),
        ("qwen3-32b", False),
        ("deepseek-v3.1", False),
        ("gpt-oss-20b", False),
        ("kimi-k2-thinking", False),
        pytest.param("qwen3 " * 100_000, False, id="a name that would take hours to look through"),
    ],
)
def test_models_whose_template_opens_the_reasoning_are_known(model: str, opened: bool) -> None:
    assert opened_by_template(model) is opened


def items(client: OpenAI, upstream: Upstream, answer: Answer, model: str = "deepseek-r1") -> list[Any]:
    upstream.script(answer)
    response = client.responses.create(model=model, input="Hi")
    return [(item.type, item.content[0].text) for item in response.output]  # type: ignore[index, union-attr]


@pytest.mark.parametrize("size", [0, 1, 6])
def test_an_answer_may_begin_within_reasoning(size: int, client: OpenAI, upstream: Upstream) -> None:
    found = items(client, upstream, Answer("Hm.\n</think>\n\nHi", size=size))
    assert found == [("reasoning", "Hm.\n"), ("message", "Hi")]


@pytest.mark.parametrize("size", [0, 1, 6])
def test_a_model_that_is_not_known_for_it_does_not(size: int, client: OpenAI, upstream: Upstream) -> None:
    found = items(client, upstream, Answer("Hm.\n</think>\n\nHi", size=size), model="m")
    assert found == [("message", "Hm.\n</think>\n\nHi")]


def test_a_server_that_sets_reasoning_apart_is_believed(client: OpenAI, upstream: Upstream) -> None:
    found = items(client, upstream, Answer("Hi", reasoning="Hm", size=1))
    assert found == [("reasoning", "Hm"), ("message", "Hi")]


def test_an_opening_tag_may_come_all_the_same(client: OpenAI, upstream: Upstream) -> None:
    found = items(client, upstream, Answer("<think>\nHm</think>Hi", size=2))
    assert found == [("reasoning", "Hm"), ("message", "Hi")]


@pytest.mark.parametrize("size", [0, 2])
def test_an_answer_is_never_reasoning_alone_for_a_name(size: int, client: OpenAI, upstream: Upstream) -> None:
    found = items(client, upstream, Answer("Hi there <", size=size))
    assert found == [("reasoning", "Hi there <"), ("message", "Hi there <")]


def test_reasoning_that_runs_out_of_tokens_is_reasoning(client: OpenAI, upstream: Upstream) -> None:
    assert items(client, upstream, Answer("Hm, hm", finish="length")) == [("reasoning", "Hm, hm")]
