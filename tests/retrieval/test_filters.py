"""Filters over attributes: SQL and the predicate say the same, and what the API leaves open is decided."""

import json
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.retrieval.filters import (
    DEEPEST,
    MOST,
    Combine,
    Compare,
    Filter,
    FilterTooLarge,
    condition,
    fits,
)

KEYS = st.sampled_from(["a", "b", 'a"b', "$.a", "a.b", "", "ключ", "a'b", "[0]"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 2**63, -(2**63), 0.0, -0.0]),
)
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans(), st.sampled_from(["1", "true", "a"]))
ONE = st.builds(
    lambda operator, key, value: Compare(operator, key, [value]),
    st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
    KEYS,
    VALUES,
)
MANY = st.builds(Compare, st.sampled_from(["in", "nin"]), KEYS, st.lists(VALUES, max_size=4))
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(ONE, MANY),
    lambda inner: st.builds(Combine, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)),
    max_leaves=8,
)
DATABASE = sqlite3.connect(":memory:", check_same_thread=False)


def found(wanted: Filter, attributes: dict[str, object]) -> bool:
    """What SQLite says."""
    sql = condition(wanted, "attributes")
    parameters = {str(number): value for number, value in enumerate(sql.parameters, 1)}
    parameters["json"] = json.dumps(attributes)
    [[said]] = DATABASE.execute(f"SELECT {sql.text} FROM (SELECT $json AS attributes)", parameters)
    return bool(said)


@given(FILTERS, st.dictionaries(KEYS, VALUES, max_size=4))
@settings(deadline=None)
def test_sql_and_predicate_agree(wanted: Filter, attributes: dict[str, object]) -> None:
    assert found(wanted, attributes) == fits(wanted, attributes)


ATTRIBUTES: dict[str, object] = {"year": 2024, "draft": True, "name": "alpha"}
CASES: list[tuple[Filter, bool]] = [
    (Compare("eq", "year", [2024]), True),
    (Compare("eq", "year", [2024.0]), True),
    (Compare("eq", "year", ["2024"]), False),
    (Compare("ne", "year", ["2024"]), True),
    (Compare("gt", "year", [2023]), True),
    (Compare("gte", "year", [2024]), True),
    (Compare("lt", "year", [2024]), False),
    (Compare("lte", "year", ["zzz"]), False),
    (Compare("eq", "draft", [True]), True),
    (Compare("eq", "draft", [1]), False),
    (Compare("gt", "draft", [False]), False),
    (Compare("lt", "name", ["beta"]), True),
    (Compare("gt", "name", ["Zebra"]), True),
    (Compare("in", "name", ["alpha", "beta"]), True),
    (Compare("in", "name", []), False),
    (Compare("nin", "name", []), True),
    (Compare("eq", "missing", ["x"]), False),
    (Compare("gt", "missing", [0]), False),
    (Compare("in", "missing", ["x"]), False),
    (Compare("ne", "missing", ["x"]), True),
    (Compare("nin", "missing", ["x"]), True),
    (Combine("and", []), True),
    (Combine("or", []), False),
    (Combine("or", [Compare("eq", "year", [1]), Combine("and", [Compare("eq", "name", ["alpha"])])]), True),
]


@pytest.mark.parametrize(("wanted", "expected"), CASES)
def test_each_operator_means_what_is_documented(wanted: Filter, expected: bool) -> None:
    assert fits(wanted, ATTRIBUTES) is expected
    assert found(wanted, ATTRIBUTES) is expected


def test_a_filter_as_large_as_allowed_is_understood_by_sqlite() -> None:
    wide = Combine("or", [Compare("eq", "a", [number]) for number in range(MOST)])
    assert found(wide, {"a": MOST - 1})
    assert found(Compare("in", "a", list(range(MOST))), {"a": MOST - 1})
    deep: Filter = Compare("eq", "a", [1])
    for _ in range(DEEPEST - 1):
        deep = Combine("and", [deep])
    assert found(deep, {"a": 1})


def test_a_filter_that_is_too_large_is_refused_in_words() -> None:
    with pytest.raises(FilterTooLarge, match=f"at most {MOST} values"):
        condition(Compare("in", "a", list(range(3 * MOST))), "attributes")
    deep: Filter = Compare("eq", "a", [1])
    for _ in range(50_000):
        deep = Combine("and", [deep])
    with pytest.raises(FilterTooLarge, match=f"at most {DEEPEST} levels"):
        condition(deep, "attributes")


def test_placeholders_begin_where_they_are_told() -> None:
    sql = condition(Compare("eq", "a", ["x"]), "f.attributes", first=7)
    assert sql.parameters == ("a", "x")
    assert "$7" in sql.text
    assert "$8" in sql.text
    assert "json_each(f.attributes)" in sql.text
