"""Filters over the attributes of files: as a condition of SQL, and as a predicate that says the same.

What the API leaves open is decided so:

- A key that is missing fits nothing, and so fits `ne` and `nin`.
- Only values of one type are equal or in an order: a number, a string, a truth. A truth is no number, and is
  in no order. Strings are in the order of their code points.
- Nothing of this is an error: a comparison that makes no sense is false.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Value: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, Value]
Operator: TypeAlias = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]

MOST = 256
"""Values that one filter compares with, and groups of comparisons, together."""
DEEPEST = 32
"""Levels of `and` and `or`."""


class Compare(Struct, frozen=True):
    """The attribute `key` beside values: one, but for `in` and `nin` any number."""

    operator: Operator
    key: str
    values: Sequence[Value]


class Combine(Struct, frozen=True):
    """Without any filters `and` fits everything, and `or` nothing."""

    operator: Literal["and", "or"]
    filters: Sequence["Filter"]


Filter: TypeAlias = Compare | Combine


class FilterTooLarge(ValueError):
    """A filter has too many parts; the message says how many there may be."""


class Condition(Struct, frozen=True):
    """SQL that is true for the rows that fit, and the parameters of its placeholders."""

    text: str
    parameters: tuple[str | int | float, ...] = ()


# What SQLite is asked of the column. A test is of the type of a value, and of the comparison with it.
_ENTRY = "EXISTS (SELECT 1 FROM json_each({column}) AS entry WHERE entry.key = {key} AND ({test}))"
_TESTS: Mapping[type, str] = {
    str: "entry.type = 'text' AND entry.value {order} {value}",
    float: "entry.type IN ('integer', 'real') AND entry.value {order} {value}",
    bool: "entry.type IN ('true', 'false') AND entry.value {order} {value}",
}

_NEGATED: Mapping[Operator, Operator] = {"ne": "eq", "nin": "in"}
_SIGNS: Mapping[Operator, str] = {"eq": "=", "in": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_LARGEST = 2**63


def condition(wanted: Filter, column: str, first: int = 1) -> Condition:
    """The filter as SQL of SQLite, over a column that holds attributes as a JSON object. Its placeholders are
    `$n`, from `first` on. Raises FilterTooLarge."""
    check(wanted)
    writer = _Writer(column, first)
    return Condition(writer.text(wanted), tuple(writer.parameters))


def fits(wanted: Filter, attributes: Attributes) -> bool:
    """Whether a file with these attributes is wanted."""
    if isinstance(wanted, Combine):
        inner = (fits(one, attributes) for one in wanted.filters)
        return all(inner) if wanted.operator == "and" else any(inner)
    if wanted.operator in _NEGATED:
        return not fits(Compare(_NEGATED[wanted.operator], wanted.key, wanted.values), attributes)
    if wanted.key not in attributes:
        return False
    sign = _SIGNS[wanted.operator]
    return any(_holds(attributes[wanted.key], sign, value) for value in wanted.values)


def check(wanted: Filter) -> None:
    """Raises FilterTooLarge."""
    parts, level = 0, [wanted]
    for _ in range(DEEPEST):
        parts += sum(max(1, len(one.values)) if isinstance(one, Compare) else 1 for one in level)
        if parts > MOST + DEEPEST:
            raise FilterTooLarge(f"A filter may compare with at most {MOST} values.")
        level = [inner for one in level if isinstance(one, Combine) for inner in one.filters]
        if not level:
            return
    raise FilterTooLarge(f"A filter may have at most {DEEPEST} levels.")


def _holds(mine: Value, sign: str, value: Value) -> bool:
    kind = _kind(mine)
    if kind is not _kind(value) or (kind is bool and sign != "="):
        return False
    return _ORDERS[sign](_stored(mine), _stored(value))


def _kind(value: Value) -> type:
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float


def _stored(value: Value) -> str | int | float:
    """As databases hold it: integers have 64 bits there, and what is larger is a floating point number."""
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return float(value)
    return value


class _Writer:
    """Writes SQL, and gathers its parameters."""

    def __init__(self, column: str, first: int) -> None:
        self.parameters: list[str | int | float] = []
        self._column = column
        self._first = first

    def text(self, wanted: Filter) -> str:
        if isinstance(wanted, Combine):
            return self._combined(wanted)
        if wanted.operator in _NEGATED:
            return f"NOT {self._entry(Compare(_NEGATED[wanted.operator], wanted.key, wanted.values))}"
        return self._entry(wanted)

    def _combined(self, wanted: Combine) -> str:
        if not wanted.filters:
            return "1 = 1" if wanted.operator == "and" else "1 = 0"
        return "(" + f" {wanted.operator.upper()} ".join(self.text(one) for one in wanted.filters) + ")"

    def _entry(self, wanted: Compare) -> str:
        key = self._placeholder(wanted.key)
        sign = _SIGNS[wanted.operator]
        tests = [self._test(sign, value) for value in wanted.values]
        test = " OR ".join(tests) or "1 = 0"
        return _ENTRY.format(column=self._column, key=key, test=test)

    def _test(self, sign: str, value: Value) -> str:
        kind = _kind(value)
        if kind is bool and sign != "=":
            return "1 = 0"
        return _TESTS[kind].format(order=sign, value=self._placeholder(_stored(value)))

    def _placeholder(self, value: str | int | float) -> str:
        self.parameters.append(value)
        return f"${self._first + len(self.parameters) - 1}"
