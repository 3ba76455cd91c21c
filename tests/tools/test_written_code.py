"""The text of a call's arguments, whatever a model writes there in whatever pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.tools.printed import LONGEST, shortened
from antiphon.tools.written_code import WrittenText, unfenced


def read(*pieces: str) -> tuple[str, str, str | None]:
    """What is given while it is written, what is given at its end, and what is wrong."""
    written = WrittenText("code")
    given = "".join(piece for each in pieces for piece in written.feed(each))
    rest = written.end()
    assert written.text == given + rest
    return given, rest, written.fault


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"code": "a"}', "a"),
        (' {"code": "a\\nb"}', "a\nb"),
        ('{"why": "b", "code": "a"}', "a"),
        ('{"code": "a", "other": {"code": "b"}}', "a"),
        ("a = 1", "a = 1"),
        ('"a\\nb"', "a\nb"),
        ('"""a"""', '"""a"""'),
        ("'a'", "'a'"),
    ],
)
def test_it_is_given_while_it_is_written(arguments: str, text: str) -> None:
    assert read(arguments) == (text, "", None)
    assert read(*arguments) == (text, "", None)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"python": "a"}', "a"), ('{"code": ["a", "b"]}', "a\nb"), ('{"source": "a", "n": 1}', "a")],
)
def test_what_has_another_form_is_given_at_the_end(arguments: str, text: str) -> None:
    assert read(arguments) == ("", text, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "has no code"),
        ("{}", "has no code"),
        ('{"code": " "}', "has no code"),
        ('{"a": "1", "b": "2"}', "has no code"),
        ('{"code": "a', "not valid JSON"),
        ('{"code": "a"} and more', "not valid JSON"),
        ('"a', "not valid JSON"),
    ],
)
def test_what_is_not_whole_is_wrong(arguments: str, words: str) -> None:
    for pieces in ([arguments], list(arguments)):
        fault = read(*pieces)[2]
        assert fault is not None
        assert words in fault


_written = st.one_of(
    st.builds(lambda text: json.dumps({"code": text}), st.text()),
    st.builds(lambda text: json.dumps(text), st.text()),
    st.text(st.sampled_from('{}[]":\\ncode a,\n\t')),
    st.text(),
)


@given(_written, st.data())
def test_however_arguments_are_cut_the_same_is_read(arguments: str, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(arguments))))
    places = [0, *sorted(cuts), len(arguments)]

    given, rest, fault = read(*(arguments[begin:end] for begin, end in pairwise(places)))

    whole = read(arguments)
    assert (given + rest, fault) == (whole[0] + whole[1], whole[2])


@given(st.text())
def test_what_is_written_as_asked_is_read_as_it_was(text: str) -> None:
    given, _, fault = read(json.dumps({"code": text}))

    assert given == text
    assert (fault is None) is bool(text.strip())


def test_a_fence_is_taken_off() -> None:
    assert unfenced("```python\na\nb\n```") == "a\nb"
    assert unfenced("\n```\na\n```\n") == "a"
    for text in ("a", "```a```", "```\na", "a\n```\nb\n```", "```\n```"):
        assert unfenced(text) == text


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert shortened("a" * LONGEST) == "a" * LONGEST
    short = shortened("a" * LONGEST + "b" * LONGEST)
    assert short.startswith("a" * 100)
    assert short.endswith("b" * 100)
    assert f"[{LONGEST} characters are left out here]" in short
    assert len(shortened("a" * 5000, window=1000)) < 1100
