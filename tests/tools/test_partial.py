"""Strings out of JSON that is cut anywhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.tools.partial import Piece, StringReader, decode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', "\\", "\n\t\r\b\f", "é€😀", "a\u0000b", "😀" * 3, "//"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def strings(value: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], str]:
    """All strings of a value, by their places."""
    if isinstance(value, str):
        return {path: value}
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return {at: text for key, held in members for at, text in strings(held, (*path, key)).items()}


def read(*pieces: str) -> dict[tuple[str | int, ...], str]:
    """All strings that the reader gives, each of which must end."""
    reader, found, ended = StringReader(), {}, set()
    for piece in (piece for text in pieces for piece in reader.feed(text)):
        assert piece.path not in ended
        found[piece.path] = found.get(piece.path, "") + piece.text
        if piece.ended:
            ended.add(piece.path)
    assert ended == found.keys()
    return found


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_every_string_is_found_at_its_place(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read(text) == strings(value)


@given(values, st.booleans(), st.data())
def test_any_cut_gives_the_same(value: Any, ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(*pieces) == strings(value)
    assert read(*text) == strings(value)


@given(st.text(max_size=40))
def test_what_is_no_json_does_no_harm(text: str) -> None:
    whole = list(StringReader().feed(text))
    reader = StringReader()
    apart = [piece for char in text for piece in reader.feed(char)]
    assert "".join(piece.text for piece in whole) == "".join(piece.text for piece in apart)


def test_text_is_given_as_soon_as_it_is_there() -> None:
    reader = StringReader()
    assert list(reader.feed('{"input": "Hel')) == [Piece(("input",), "Hel", False)]
    assert list(reader.feed("lo\\")) == [Piece(("input",), "lo", False)]
    assert list(reader.feed('n"}')) == [Piece(("input",), "\n", True)]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        (' {"a": "\\ud83d\\ude00"} ', {"a": "😀"}),
    ],
)
def test_arguments_are_decoded(arguments: str, value: Any) -> None:
    assert decode(arguments) == value


@pytest.mark.parametrize(
    "arguments",
    ["[1]", '"a"', '{"a": 1', '{"a": 1} x', '{"a": "\\ud83d"}', '{"a": NaN}', "nonsense", "[" * 99999],
)
def test_what_is_wrong_with_arguments_is_said_in_words(arguments: str) -> None:
    assert isinstance(decode(arguments), str)
