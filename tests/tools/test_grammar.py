"""Texts against grammars."""

import pytest
from tests.tools.grammars import CASES, PATCH, Case

from antiphon.tools.grammar import fault_of_grammar, fault_of_text


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.syntax} {case.name}")
def test_a_text_is_in_the_language_of_a_grammar_or_it_is_not(case: Case) -> None:
    assert fault_of_grammar(case.syntax, case.definition) is None
    for text in case.good:
        assert fault_of_text(case.syntax, case.definition, text) is None
    for text in case.bad:
        assert fault_of_text(case.syntax, case.definition, text)


@pytest.mark.parametrize(
    ("syntax", "definition"),
    [
        ("lark", "start: missing"),
        ("lark", "begin: 'a'"),
        ("lark", "nonsense"),
        ("regex", "a("),
        ("regex", "(?!a)b"),
        ("regex", r"(a)\1"),
    ],
)
def test_a_grammar_that_makes_no_sense_is_told_apart(syntax: str, definition: str) -> None:
    assert fault_of_grammar(syntax, definition)  # type: ignore[arg-type]


def test_the_place_of_a_fault_is_said() -> None:
    fault = fault_of_text("lark", PATCH, "*** Begin Patch\n*** Add File: a\nhi\n*** End Patch\n")
    assert fault == "It does not match at line 3, column 1, after '*** Begin Patch\\n*** Add File: a\\n'."


def test_a_text_that_stops_early_is_told_so() -> None:
    assert fault_of_text("regex", "ab+c", "abb") == "It ends too early, after 'abb'."
    assert fault_of_text("regex", "a", "") == "It ends too early, after nothing."


def test_a_long_text_is_checked_in_good_time() -> None:
    text = "*** Begin Patch\n*** Add File: a\n" + "+a line of a file\n" * 5000 + "*** End Patch\n"
    assert fault_of_text("lark", PATCH, text) is None
